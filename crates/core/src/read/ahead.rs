use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::thread::Builder;

/// Reads (and decompresses) a file in a thread of its own, a few chunks ahead.
pub struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    spent: SyncSender<Vec<u8>>,
}

/// Bytes before the data of each chunk, where what is left of the chunk before it can be put.
pub const ROOM: usize = 32 << 10;
/// Chunks on their way; more would not make it faster.
const CHUNKS: usize = 3;

impl Ahead {
    /// Start the thread; chunks have `size` bytes of data.
    pub fn new(stream: Box<dyn Read + Send>, size: usize) -> io::Result<Self> {
        let (filled, full) = sync_channel(CHUNKS);
        let (spent, empty) = sync_channel::<Vec<u8>>(CHUNKS + 2);
        for _ in 0..CHUNKS {
            let _ = spent.send(vec![0; ROOM + size]);
        }
        // It is never waited for: it ends when nobody takes a chunk any more.
        Builder::new()
            .name("tapwright-read".into())
            .spawn(move || work(stream, &filled, &empty))?;
        Ok(Self { full, spent })
    }

    /// The next chunk: `ROOM` bytes of nothing, then data; empty at the end of the file.
    pub fn next(&mut self) -> io::Result<Vec<u8>> {
        self.full.recv().unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Give a chunk back when it is spent.
    pub fn give_back(&mut self, chunk: Vec<u8>) {
        let _ = self.spent.send(chunk);
    }
}

fn work(
    mut stream: Box<dyn Read + Send>,
    filled: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) {
    while let Ok(mut chunk) = empty.recv() {
        let whole = chunk.capacity();
        chunk.resize(whole, 0);
        let read = fill(&mut *stream, chunk.get_mut(ROOM..).unwrap_or_default());
        let (count, failure) = match read {
            Ok(count) => (count, None),
            Err((count, error)) => (count, Some(error)),
        };
        chunk.truncate(ROOM + count);
        let more = count > 0 && filled.send(Ok(chunk)).is_ok();
        if let Some(error) = failure {
            let _ = filled.send(Err(error));
            return;
        }
        if !more {
            return;
        }
    }
}

/// Read until it is full or the stream ends: how much, and why no more.
fn fill(stream: &mut dyn Read, into: &mut [u8]) -> Result<usize, (usize, io::Error)> {
    let mut count = 0;
    while let Some(room) = into.get_mut(count..).filter(|room| !room.is_empty()) {
        match stream.read(room) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((count, error)),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::buffer::Buffer;
    use std::io::{self, Cursor, Read};

    fn bytes(count: usize) -> Vec<u8> {
        (0..count)
            .map(|number| ((number * 31) >> 3) as u8)
            .collect()
    }

    /// Pass over a stream in pieces of these sizes, again and again: what was seen.
    fn walked(mut buffer: Buffer, sizes: &[usize]) -> Vec<u8> {
        let mut seen = Vec::new();
        for size in sizes.iter().cycle() {
            let Some(piece) = buffer.peek(*size) else {
                break;
            };
            seen.extend_from_slice(piece);
            let (begin, end) = buffer.pass(*size);
            assert_eq!(buffer.at((begin, end)), &seen[seen.len() - size..]);
        }
        seen.extend_from_slice(buffer.peek(buffer.left()).unwrap_or_default());
        seen
    }

    #[test]
    fn chunks_join_wherever_they_are_cut() {
        let all = bytes(700_000);
        for chunk in [1, 100, 4096, 65_536] {
            for sizes in [&[16, 700][..], &[3, 40_000, 1], &[300_000], &[4096]] {
                if chunk == 1 && sizes[0] > 100 {
                    continue;
                }
                let stream = Box::new(Cursor::new(all.clone()));
                let ahead = Buffer::ahead(stream, chunk, false).unwrap();
                assert!(walked(ahead, sizes) == all, "{chunk} {sizes:?}");
            }
        }
    }

    #[test]
    fn an_error_comes_after_what_was_read_before_it() {
        struct Broken(Cursor<Vec<u8>>);
        impl Read for Broken {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                match self.0.read(into)? {
                    0 => Err(io::Error::other("broken")),
                    count => Ok(count),
                }
            }
        }
        let stream = Box::new(Broken(Cursor::new(bytes(10_000))));
        let mut buffer = Buffer::ahead(stream, 4096, false).unwrap();
        assert!(buffer.peek(10_000).is_some());
        buffer.pass(10_000);
        assert!(buffer.peek(1).is_none());
        assert_eq!(buffer.ended().unwrap_err().to_string(), "broken");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_no_longer_wanted() {
        let mut buffer = Buffer::ahead(Box::new(io::repeat(7)), 4096, false).unwrap();
        assert!(buffer.peek(10_000).is_some());
    }
}
