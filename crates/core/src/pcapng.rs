//! Writing pcapng blocks (draft-ietf-opsawg-pcapng), each appended whole to a byte buffer.

use std::net::IpAddr;

mod copied;

pub use copied::{copied_interface, copied_packet, copied_statistics, raw, CopiedPacket};

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
/// Block type of an Interface Description Block.
pub const INTERFACE: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const COMMENT: u16 = 1; // opt_comment

/// `LINKTYPE_ETHERNET`
pub const ETHERNET: u16 = 1;

/// The longest option value that is written; longer text is cut at a character.
const LONGEST: usize = 4096;

/// What a Section Header Block says (section 4.1); empty text is left out.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Section {
    pub hardware: String,
    pub os: String,
    pub application: String,
    pub comment: String,
}

/// What an Interface Description Block says (section 4.2).
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Interface {
    pub linktype: u16,
    pub snaplen: u32,
    pub name: String,
    pub description: String,
    pub mac: Option<[u8; 6]>,
    /// With prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    pub filter: String,
    pub os: String,
}

/// What an Interface Statistics Block says (section 4.6); times in nanoseconds since the epoch.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Statistics {
    pub interface: u32,
    pub time: u64,
    pub start: u64,
    pub end: u64,
    /// `isb_ifrecv`: packets the device counted.
    pub received: Option<u64>,
    /// `isb_filteraccept`
    pub accepted: u64,
    /// `isb_osdrop`: lost by the kernel.
    pub os_dropped: u64,
    /// `isb_usrdeliv`: written.
    pub delivered: u64,
    pub comment: String,
}

/// One packet; its data comes in three parts, so that a VLAN tag can be put back without a copy.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Packet<'a> {
    pub interface: u32,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Bytes on the wire.
    pub length: u32,
    /// The `epb_flags` word (section 4.3.1); 0 is left out.
    pub flags: u32,
    /// Packets lost on this interface since the one before.
    pub dropped: u64,
    pub data: [&'a [u8]; 3],
    /// Hardly any packet has one.
    pub comment: &'a str,
}

impl Packet<'_> {
    /// Captured bytes.
    #[inline]
    pub fn captured(&self) -> usize {
        self.data.iter().map(|part| part.len()).sum()
    }
}

/// Options of a block: code, length, value, padding.
struct Options<'a>(&'a mut Vec<u8>);

impl Options<'_> {
    fn bytes(&mut self, code: u16, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.0.extend(code.to_ne_bytes());
        self.0.extend((length as u16).to_ne_bytes());
        for part in parts {
            self.0.extend_from_slice(part);
        }
        pad(self.0, length);
    }

    fn text(&mut self, code: u16, text: &str) {
        if !text.is_empty() {
            self.bytes(code, &[cut(text).as_bytes()]);
        }
    }

    fn number(&mut self, code: u16, number: u64) {
        self.bytes(code, &[&number.to_ne_bytes()]);
    }

    fn time(&mut self, code: u16, time: u64) {
        self.bytes(code, &[&high(time).to_ne_bytes(), &low(time).to_ne_bytes()]);
    }

    fn end(self) {
        self.0.extend([0; 4]);
    }
}

/// Append one block around what `body` writes.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_ne_bytes());
    out.extend([0; 4]);
    body(out);
    let length = ((out.len() - start + 4) as u32).to_ne_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend(length);
}

/// Append a Section Header Block of unspecified section length.
pub fn section(out: &mut Vec<u8>, section: &Section) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_ne_bytes());
        out.extend(1u16.to_ne_bytes());
        out.extend(0u16.to_ne_bytes());
        out.extend(u64::MAX.to_ne_bytes());
        let mut options = Options(out);
        options.text(COMMENT, &section.comment);
        options.text(2, &section.hardware);
        options.text(3, &section.os);
        options.text(4, &section.application);
        options.end();
    });
}

/// Append an Interface Description Block with nanosecond resolution.
pub fn interface(out: &mut Vec<u8>, interface: &Interface) {
    block(out, INTERFACE, |out| {
        out.extend(interface.linktype.to_ne_bytes());
        out.extend(0u16.to_ne_bytes());
        out.extend(interface.snaplen.to_ne_bytes());
        let mut options = Options(out);
        options.text(2, &interface.name);
        options.text(3, &interface.description);
        for &(address, prefix) in &interface.addresses {
            match address {
                IpAddr::V4(v4) => options.bytes(4, &[&v4.octets(), &netmask(prefix)]),
                IpAddr::V6(v6) => options.bytes(5, &[&v6.octets(), &[prefix.min(128)]]),
            }
        }
        if let Some(mac) = interface.mac {
            options.bytes(6, &[&mac]);
        }
        options.bytes(9, &[&[9]]); // if_tsresol: 10^-9 s
        if !interface.filter.is_empty() {
            options.bytes(11, &[&[0], cut(&interface.filter).as_bytes()]); // 0: a libpcap filter string
        }
        options.text(12, &interface.os);
        options.end();
    });
}

/// Append a Name Resolution Block (section 4.4); nothing without names.
pub fn names(out: &mut Vec<u8>, names: &[(IpAddr, String)]) {
    if names.is_empty() {
        return;
    }
    block(out, NAME_RESOLUTION, |out| {
        for (address, name) in names {
            let name = cut(name).as_bytes();
            match address {
                IpAddr::V4(v4) => Options(out).bytes(1, &[&v4.octets(), name, &[0]]),
                IpAddr::V6(v6) => Options(out).bytes(2, &[&v6.octets(), name, &[0]]),
            }
        }
        out.extend([0; 4]); // nrb_record_end
    });
}

/// Bytes of an Enhanced Packet Block for so many captured bytes, with flags and a drop count.
pub const fn packet_size(captured: usize) -> usize {
    28 + captured.next_multiple_of(4) + 8 + 12 + 4 + 4
}

/// Append an Enhanced Packet Block (section 4.3).
#[inline]
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    if !packet.comment.is_empty() {
        commented(out, packet);
        return;
    }
    let captured = packet.captured();
    let padding = captured.next_multiple_of(4) - captured;
    let (tail, options) = packet_tail(packet, padding);
    let length = 28 + captured + options + 4;
    out.reserve(length);
    let mut head = [0; 28];
    let words = [
        ENHANCED_PACKET,
        length as u32,
        packet.interface,
        high(packet.time),
        low(packet.time),
        captured as u32,
        packet.length,
    ];
    for (bytes, word) in head.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    out.extend_from_slice(&head);
    for part in packet.data {
        if !part.is_empty() {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(&tail[..options]);
    out.extend_from_slice(&(length as u32).to_ne_bytes());
}

/// A packet with a comment; in no hurry.
fn commented(out: &mut Vec<u8>, packet: &Packet<'_>) {
    block(out, ENHANCED_PACKET, |out| {
        out.extend(packet.interface.to_ne_bytes());
        out.extend(high(packet.time).to_ne_bytes());
        out.extend(low(packet.time).to_ne_bytes());
        out.extend((packet.captured() as u32).to_ne_bytes());
        out.extend(packet.length.to_ne_bytes());
        out.extend(packet.data.concat());
        pad(out, packet.captured());
        let mut options = Options(out);
        options.text(COMMENT, packet.comment);
        if packet.flags != 0 {
            options.bytes(2, &[&packet.flags.to_ne_bytes()]);
        }
        if packet.dropped != 0 {
            options.number(4, packet.dropped);
        }
        options.end();
    });
}

/// Padding and options of a packet, and how many bytes they take.
#[inline]
fn packet_tail(packet: &Packet<'_>, padding: usize) -> ([u8; 28], usize) {
    let mut tail = [0; 28];
    let mut end = padding;
    if packet.flags != 0 {
        tail[end..end + 4].copy_from_slice(&option_word(2, 4));
        tail[end + 4..end + 8].copy_from_slice(&packet.flags.to_ne_bytes());
        end += 8;
    }
    if packet.dropped != 0 {
        tail[end..end + 4].copy_from_slice(&option_word(4, 8));
        tail[end + 4..end + 12].copy_from_slice(&packet.dropped.to_ne_bytes());
        end += 12;
    }
    let ended = if end > padding { 4 } else { 0 };
    (tail, end + ended)
}

#[inline]
fn option_word(code: u16, length: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (code.to_ne_bytes(), length.to_ne_bytes());
    [a, b, c, d]
}

/// Append an Interface Statistics Block.
pub fn statistics(out: &mut Vec<u8>, statistics: &Statistics) {
    block(out, STATISTICS, |out| {
        out.extend(statistics.interface.to_ne_bytes());
        out.extend(high(statistics.time).to_ne_bytes());
        out.extend(low(statistics.time).to_ne_bytes());
        let mut options = Options(out);
        options.text(COMMENT, &statistics.comment);
        options.time(2, statistics.start);
        options.time(3, statistics.end);
        if let Some(received) = statistics.received {
            options.number(4, received);
        }
        options.number(6, statistics.accepted);
        options.number(7, statistics.os_dropped);
        options.number(8, statistics.delivered);
        options.end();
    });
}

/// The (kind, length) of the block at the start of `bytes`, when all of it is there.
pub fn peek(bytes: &[u8]) -> Option<(u32, usize)> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (kind, length) = (word(0)?, word(4)? as usize);
    (length >= 12 && length <= bytes.len()).then_some((kind, length))
}

/// The (interface, captured, original length) of an Enhanced Packet Block; `None` for other blocks.
pub fn peek_packet(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    (word(0)? == ENHANCED_PACKET).then_some(())?;
    Some((word(8)?, word(20)?, word(24)?))
}

fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend(&[0; 3][..length.next_multiple_of(4) - length]);
}

/// Names come from strangers: no more than an option should hold, nothing after a zero.
fn cut(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn netmask(prefix: u8) -> [u8; 4] {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
        .to_be_bytes()
}

const fn high(time: u64) -> u32 {
    (time >> 32) as u32
}

const fn low(time: u64) -> u32 {
    time as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every block's length stands at both ends, is a multiple of four, and they fill the buffer.
    pub(super) fn whole(bytes: &[u8]) -> Vec<u32> {
        let (mut rest, mut kinds) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (kind, length) = peek(rest).expect("a whole block");
            assert_eq!(length % 4, 0);
            assert_eq!(rest[length - 4..length], (length as u32).to_ne_bytes());
            kinds.push(kind);
            rest = &rest[length..];
        }
        kinds
    }

    #[test]
    fn all_blocks_are_whole_whatever_their_text() {
        let mut out = Vec::new();
        for name in [
            "",
            "a",
            "web/eth0",
            "ünï\0hidden",
            &"x".repeat(100_000),
            &"é".repeat(5000),
        ] {
            section(
                &mut out,
                &Section {
                    comment: name.into(),
                    ..Section::default()
                },
            );
            let face = Interface {
                name: name.into(),
                filter: name.into(),
                mac: Some([2; 6]),
                addresses: vec![
                    ("10.0.0.5".parse().unwrap(), 24),
                    ("fe80::1".parse().unwrap(), 200),
                ],
                ..Interface::default()
            };
            interface(&mut out, &face);
            names(&mut out, &[("10.0.0.5".parse().unwrap(), name.into())]);
            statistics(
                &mut out,
                &Statistics {
                    comment: name.into(),
                    received: Some(1),
                    ..Statistics::default()
                },
            );
        }
        assert_eq!(whole(&out).len(), 24);
    }

    #[test]
    fn packets_are_whole_for_every_length_and_option() {
        let data = [7u8; 70];
        for length in 0..70 {
            for (flags, dropped, comment) in [
                (0, 0, ""),
                (1, 0, "stepped down"),
                (0, 5, ""),
                (2, u64::MAX, ""),
                (2, 7, "x"),
            ] {
                let mut out = Vec::new();
                let parts = [&data[..length / 2], &data[length / 2..length], &[]];
                packet(
                    &mut out,
                    &Packet {
                        interface: 3,
                        time: 1 << 40,
                        length: 99,
                        flags,
                        dropped,
                        data: parts,
                        comment,
                    },
                );
                assert_eq!(whole(&out), [ENHANCED_PACKET]);
                assert_eq!(peek_packet(&out), Some((3, length as u32, 99)));
                assert!(out.len() <= packet_size(length) + comment.len().next_multiple_of(4) + 4);
            }
        }
    }

    #[test]
    fn netmasks() {
        assert_eq!(netmask(0), [0, 0, 0, 0]);
        assert_eq!(netmask(24), [255, 255, 255, 0]);
        assert_eq!(netmask(99), [255; 4]);
    }
}
