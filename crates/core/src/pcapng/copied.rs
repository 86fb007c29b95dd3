//! Blocks that another file had, written into ours: options are bytes in this machine's order, without their end.

use super::{block, high, low, Options, COMMENT, ENHANCED_PACKET, INTERFACE, STATISTICS};
use crate::read;

/// The largest head of an Enhanced Packet Block.
const HEAD: usize = 28;

/// One packet, its data in two parts.
#[derive(Clone, Copy, Debug)]
pub struct CopiedPacket<'a> {
    /// Number of the interface in this file.
    pub interface: u32,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Bytes on the wire.
    pub wire: u32,
    /// What was captured.
    pub data: [&'a [u8]; 2],
    /// Its options.
    pub options: &'a [u8],
}

impl<'a> CopiedPacket<'a> {
    /// A packet as it was read, now of interface `number`.
    #[inline]
    pub fn of(packet: &read::Packet<'a>, number: u32) -> Self {
        Self {
            interface: number,
            time: packet.time.unwrap_or(0),
            wire: packet.wire,
            data: [packet.data, &[]],
            options: packet.options,
        }
    }
}

/// Append a block of any type.
pub fn raw(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    block(out, kind, |out| {
        out.extend_from_slice(body);
        out.resize(out.len() + body.len().next_multiple_of(4) - body.len(), 0);
    });
}

/// Append an Interface Description Block with these options, and nanosecond resolution.
pub fn copied_interface(out: &mut Vec<u8>, link: u16, snaplen: u32, options: &[u8]) {
    block(out, INTERFACE, |out| {
        out.extend(link.to_ne_bytes());
        out.extend([0; 2]);
        out.extend(snaplen.to_ne_bytes());
        out.extend_from_slice(options);
        let mut more = Options(out);
        more.bytes(9, &[&[9]]); // if_tsresol: 10^-9 s
        more.end();
    });
}

/// Append an Enhanced Packet Block.
#[inline]
pub fn copied_packet(out: &mut Vec<u8>, packet: &CopiedPacket<'_>) {
    let [first, second] = packet.data;
    let captured = first.len() + second.len();
    let ended = if packet.options.is_empty() {
        0
    } else {
        packet.options.len() + 4
    };
    let length = (HEAD + captured.next_multiple_of(4) + ended + 4) as u32;
    let mut head = [0; HEAD];
    let words = [
        ENHANCED_PACKET,
        length,
        packet.interface,
        high(packet.time),
        low(packet.time),
        captured as u32,
        packet.wire,
    ];
    for (place, word) in head.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    out.reserve(length as usize);
    out.extend_from_slice(&head);
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    match captured % 4 {
        0 => {}
        1 => out.extend_from_slice(&[0; 3]),
        2 => out.extend_from_slice(&[0; 2]),
        _ => out.push(0),
    }
    if ended != 0 {
        out.extend_from_slice(packet.options);
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(&length.to_ne_bytes());
}

/// Append an Interface Statistics Block that says what another one said, of interface `number`.
pub fn copied_statistics(out: &mut Vec<u8>, number: u32, statistics: &read::Statistics<'_>) {
    block(out, STATISTICS, |out| {
        out.extend(number.to_ne_bytes());
        out.extend(high(statistics.time).to_ne_bytes());
        out.extend(low(statistics.time).to_ne_bytes());
        let mut options = Options(out);
        if !statistics.comment.is_empty() {
            options.bytes(COMMENT, &[statistics.comment]);
        }
        for (code, time) in [(2, statistics.start), (3, statistics.end)] {
            if let Some(time) = time {
                options.time(code, time);
            }
        }
        let counts = [
            (4, statistics.received),
            (5, statistics.dropped),
            (6, statistics.accepted),
            (7, statistics.os_dropped),
            (8, statistics.delivered),
        ];
        for (code, count) in counts {
            if let Some(count) = count {
                options.number(code, count);
            }
        }
        options.end();
    });
}

#[cfg(test)]
mod tests {
    use super::super::tests::whole;
    use super::*;

    #[test]
    fn copied_packets_are_whole_for_every_length() {
        let data = [7; 64];
        for length in 0..=64 {
            for options in [&[][..], &[1, 0, 4, 0, 1, 2, 3, 4]] {
                let mut out = Vec::new();
                let data = [&data[..length / 2], &data[length / 2..length]];
                let packet = CopiedPacket {
                    interface: 1,
                    time: 1 << 40,
                    wire: 70,
                    data,
                    options,
                };
                copied_packet(&mut out, &packet);
                assert_eq!(whole(&out), [ENHANCED_PACKET]);
            }
        }
    }

    #[test]
    fn any_body_is_padded() {
        for length in 0..9 {
            let mut out = Vec::new();
            raw(&mut out, 10, &[1; 9][..length]);
            assert_eq!(whole(&out), [10]);
        }
    }
}
