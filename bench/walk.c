/* The floor for anything that reads a pcap file: pass over every record, look at two bytes of each. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, LARGEST = 1 << 18, FILE_HEADER = 24, RECORD_HEADER = 16 };

int main(int argc, char **argv) {
    int file = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    unsigned char *buffer = malloc(CHUNK + LARGEST);
    size_t have = 0, at = FILE_HEADER;
    uint64_t packets = 0, seen = 0;
    ssize_t more;
    if (file < 0 || !buffer) return 1;
    while ((more = read(file, buffer + have, CHUNK)) > 0) {
        have += (size_t)more;
        uint32_t length;
        while (at + RECORD_HEADER <= have) {
            memcpy(&length, buffer + at + 8, sizeof length);
            if (length >= LARGEST || at + RECORD_HEADER + length > have) break;
            seen += length > 13 ? buffer[at + RECORD_HEADER + 12] : 0;
            packets++;
            at += RECORD_HEADER + length;
        }
        memmove(buffer, buffer + at, have - at);
        have -= at;
        at = 0;
    }
    printf("%llu %llu\n", (unsigned long long)packets, (unsigned long long)seen);
    return 0;
}
