//! A few well-formed inputs, built here: one of each sort is all a mutator needs.

use std::io::Write;

fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..],
        &ethertype.to_be_bytes(),
        payload,
    ]
    .concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let [high, low] = total.to_be_bytes();
    let head = [
        0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 172, 16, 0, 1, 172, 16, 0, 2,
    ];
    [&head[..], payload].concat()
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    [
        &[0x60, 0, 0, 0, high, low, next, 64][..],
        &[0xfd; 32],
        payload,
    ]
    .concat()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let ([a, b], [c, d]) = (
        port.to_be_bytes(),
        ((8 + payload.len()) as u16).to_be_bytes(),
    );
    [&[0xc3, 0x50, a, b, c, d, 0, 0][..], payload].concat()
}

fn over_udp(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    frame(0x0800, &ipv4(17, &udp(port, &[header, payload].concat())))
}

fn over_gre(header: &[u8], payload: &[u8]) -> Vec<u8> {
    frame(0x0800, &ipv4(47, &[header, payload].concat()))
}

#[allow(clippy::too_many_lines)] // a list
/// One packet of each encapsulation and a few nested ones, Ethernet, whole.
pub fn packets() -> Vec<Vec<u8>> {
    let ip = ipv4(17, &udp(53, b"a question"));
    let inner = frame(0x0800, &ip);
    let vxlan = over_udp(4789, &[8, 0, 0, 0, 0, 0x13, 0x89, 0], &inner);
    let six = ipv6(58, &[128, 0, 0, 0]);
    let ppp = [&[0x11, 0, 0, 9, 0, 0, 0, 0x21][..], &ip].concat();
    let made = [
        vxlan.clone(),
        over_udp(
            4790,
            &[0x0c, 0, 0, 4, 0, 0, 7, 0, 0, 2, 2, 3, 0, 0, 9, 255],
            &inner,
        ),
        over_udp(
            6081,
            &[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 8, 0x80, 1, 0, 0, 0, 1],
            &vxlan,
        ),
        over_udp(6081, &[0, 0, 8, 0, 0, 0, 7, 0], &ip),
        over_gre(
            &[0xb0, 0, 0x65, 0x58, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9],
            &inner,
        ),
        over_gre(
            &[
                0x10, 0, 0x88, 0xbe, 0, 0, 0, 3, 0x10, 1, 0x10, 100, 0, 0, 0, 5,
            ],
            &vxlan,
        ),
        over_gre(
            &[
                0x10, 0, 0x22, 0xeb, 0, 0, 0, 3, 0x20, 1, 0, 101, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0,
                0, 0, 0, 0, 0,
            ],
            &inner,
        ),
        over_gre(&[0, 0, 0x88, 0xbe], &inner),
        over_gre(
            &[
                0x30, 0x81, 0x88, 0x0b, 0, 48, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0x21,
            ],
            &ip,
        ),
        over_udp(
            2152,
            &[0x34, 255, 0, 46, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0, 1, 0],
            &ip,
        ),
        over_udp(
            1701,
            &[
                0x4a, 2, 0, 60, 0, 7, 0, 9, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 3, 0, 0x21,
            ],
            &ip,
        ),
        over_udp(
            3544,
            &[
                0, 1, 2, 2, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2,
            ],
            &six,
        ),
        over_udp(37008, &[1, 0, 0, 1, 10, 1, 0xd0, 0, 1], &inner),
        over_udp(
            5247,
            &[
                0, 0x10, 0x43, 0, 0, 0, 0, 0, 8, 1, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3,
                3, 3, 3, 3, 0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0,
            ],
            &ip,
        ),
        frame(
            0x8847,
            &[&[0, 1, 0, 64, 0, 1, 0xf1, 64, 0, 0, 0, 0][..], &inner].concat(),
        ),
        frame(0x8864, &ppp),
        frame(
            0x88a8,
            &[&[0, 9, 0x88, 0xe7, 0, 0, 0, 5][..], &inner].concat(),
        ),
        frame(0x8903, &[&[0, 0x60][..], &inner].concat()),
        frame(
            0x86dd,
            &ipv6(
                0,
                &[
                    &[
                        60, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 1,
                    ][..],
                    &six,
                ]
                .concat(),
            ),
        ),
        frame(
            0x0800,
            &ipv4(103, &[&[0x21, 0, 0, 0, 0, 0, 0, 0][..], &ip].concat()),
        ),
    ];
    made.iter()
        .map(|packet| [&[0][..], packet].concat())
        .collect()
}

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let length = (body.len().next_multiple_of(4) + 12) as u32;
    let word = |number: u32| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    [
        &word(kind)[..],
        &word(length),
        body,
        &padding,
        &word(length),
    ]
    .concat()
}

fn pcapng(big: bool) -> Vec<u8> {
    let half = |number: u16| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let word = |number: u32| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let option = |code: u16, value: &[u8]| {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&half(code)[..], &half(value.len() as u16), value, &padding].concat()
    };
    let section = [
        &word(0x1a2b_3c4d)[..],
        &half(1),
        &half(0),
        &[0xff; 8],
        &option(4, b"seed"),
        &[0; 4],
    ]
    .concat();
    let interface = [
        &half(1)[..],
        &half(0),
        &word(96),
        &option(2, b"eth0"),
        &option(9, &[9]),
        &option(14, &[0; 8]),
        &[0; 4],
    ]
    .concat();
    let enhanced = [
        &word(0)[..],
        &word(1),
        &word(2),
        &word(5),
        &word(9),
        b"hello\0\0\0",
        &option(2, &word(1)),
        &option(1, b"hey"),
        &[0; 4],
    ]
    .concat();
    let simple = [&word(6)[..], b"simple\0\0"].concat();
    let obsolete = [
        &half(0)[..],
        &half(3),
        &word(0),
        &word(9),
        &word(3),
        &word(3),
        b"old\0",
    ]
    .concat();
    let statistics = [
        &word(0)[..],
        &word(0),
        &word(9),
        &option(2, &[0; 8]),
        &option(4, &[0; 8]),
        &option(1, b"adds up"),
        &[0; 4],
    ]
    .concat();
    let names = [
        &option(1, b"\x0a\0\0\x05db-3\0")[..],
        &[0; 4],
        &option(2, b"dns"),
        &[0; 4],
    ]
    .concat();
    let secrets = [&word(0x544c_534b)[..], &word(6), b"SECRET\0\0"].concat();
    [
        block(0x0a0d_0d0a, &section, big),
        block(1, &interface, big),
        block(4, &names, big),
        block(10, &secrets, big),
        block(6, &enhanced, big),
        block(3, &simple, big),
        block(2, &obsolete, big),
        block(5, &statistics, big),
        block(0x0bad, &[0; 8], big),
        block(0x8000_0001, b"what", big),
    ]
    .concat()
}

fn pcap(magic: u32, big: bool) -> Vec<u8> {
    let word = |number: u32| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let more: &[u8] = if magic == 0xa1b2_cd34 { &[0; 8] } else { &[] };
    let record = [&word(1)[..], &word(2), &word(5), &word(9), more, b"hello"].concat();
    [
        &word(magic)[..],
        &version,
        &[0; 8],
        &word(65535),
        &word(1),
        &record,
        &record,
    ]
    .concat()
}

/// One file of each layout, byte order and compression.
pub fn files() -> Vec<Vec<u8>> {
    let mut made = vec![
        pcapng(false),
        pcapng(true),
        [pcapng(false), pcapng(true)].concat(),
    ];
    for magic in [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34] {
        made.extend([pcap(magic, false), pcap(magic, true)]);
    }
    let plain = pcapng(false);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    made.push(gzip.finish().unwrap());
    made.push(zstd::stream::encode_all(&plain[..], 1).unwrap());
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&plain).unwrap();
    made.push(lz4.finish().unwrap());
    made
}

/// Programs of libpcap and of the inner filter, each with a packet it may be about.
pub fn programs() -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> = Vec::new();
    for line in include_str!("programs.txt").lines() {
        match (line.starts_with('#'), made.last_mut()) {
            (true, _) => made.push(Vec::new()),
            (false, Some(program)) => program.extend(packed(line)),
            (false, None) => panic!("a program has a title"),
        }
    }
    let packets = packets();
    let about = made.iter().flat_map(|program| {
        let with =
            |packet: &Vec<u8>| [&[(program.len() / 8) as u8][..], program, &packet[1..]].concat();
        packets.iter().map(with)
    });
    about.filter(|seed| seed[0] > 0).collect()
}

/// An instruction as `tcpdump -ddd` prints it.
fn packed(line: &str) -> Vec<u8> {
    let numbers: Vec<u32> = line.split(' ').map(|word| word.parse().unwrap()).collect();
    let (code, k) = ((numbers[0] as u16).to_le_bytes(), numbers[3].to_le_bytes());
    [&code[..], &[numbers[1] as u8, numbers[2] as u8], &k].concat()
}
