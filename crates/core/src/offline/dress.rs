//! Giving a frame the link layer that the output can hold.

use crate::decap::{Frame, FrameKind};
use crate::wire::cooked;
use crate::wire::ethernet::{self, ethertype};

/// What becomes of a packet that has no link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawIp {
    /// It stays raw IP.
    Raw,
    /// It gets an Ethernet header with addresses of zeros.
    Ethernet,
}

/// A frame in two parts, and its link type.
#[derive(Clone, Copy, Debug)]
pub struct Dressed<'a> {
    /// Link type.
    pub link: u16,
    /// An Ethernet header that is put before it.
    pub header: Option<[u8; ethernet::LEN]>,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Length on the wire, header included.
    pub wire: usize,
}

impl<'a> Dressed<'a> {
    /// A frame as it is.
    #[inline]
    pub fn plain(frame: &Frame<'a>) -> Self {
        let span = frame.span;
        Self {
            link: frame.kind.link(),
            header: None,
            bytes: span.bytes(),
            wire: span.wire(),
        }
    }

    /// The header's bytes.
    #[inline]
    pub fn head(&self) -> &[u8] {
        self.header.as_ref().map_or(&[], |header| header)
    }
}

/// Dress a frame.  With `uniform` other link layers become Ethernet too, where they say what they carry: a pcap
/// file has one link type.
#[inline]
pub fn dress<'a>(frame: &Frame<'a>, raw_ip: RawIp, uniform: bool) -> Dressed<'a> {
    let (plain, span) = (Dressed::plain(frame), frame.span);
    match frame.kind {
        FrameKind::Ip if raw_ip == RawIp::Ethernet => with_header(plain, ip_version(span.bytes())),
        FrameKind::Link(_) if uniform => match cooked::read(plain.link, span.bytes()) {
            Some(Ok(found)) => match span.skip(found.len) {
                Ok(rest) => with_header(
                    Dressed {
                        bytes: rest.bytes(),
                        wire: rest.wire(),
                        ..plain
                    },
                    found.ethertype,
                ),
                Err(_) => plain,
            },
            _ => plain,
        },
        _ => plain,
    }
}

fn ip_version(bytes: &[u8]) -> u16 {
    match bytes.first().map(|first| first >> 4) {
        Some(6) => ethertype::IPV6,
        _ => ethertype::IPV4,
    }
}

/// Behind an EtherType below 0x0600 there is LLC, and Ethernet has the length there.
fn with_header(frame: Dressed<'_>, number: u16) -> Dressed<'_> {
    let number = if number < 0x0600 {
        frame.bytes.len().min(1500) as u16
    } else {
        number
    };
    let [high, low] = number.to_be_bytes();
    let header = Some([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low]);
    Dressed {
        link: 1,
        header,
        wire: frame.wire + ethernet::LEN,
        ..frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::Span;

    #[test]
    fn a_cooked_packet_becomes_ethernet_where_it_must() {
        let cooked = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 6, 0, 1, 8, 0];
        let frame = Frame {
            kind: FrameKind::Link(113),
            span: Span::new(&cooked, 30),
        };
        assert_eq!(dress(&frame, RawIp::Ethernet, false).header, None);
        let dressed = dress(&frame, RawIp::Ethernet, true);
        assert_eq!(
            (dressed.link, dressed.bytes, dressed.wire),
            (1, &cooked[16..], 28)
        );
        assert_eq!(dressed.head()[12..], [8, 6]);
    }

    #[test]
    fn raw_ip_gets_a_header_when_asked() {
        let frame = Frame {
            kind: FrameKind::Ip,
            span: Span::new(&[0x60, 0, 0, 0], 40),
        };
        assert_eq!(dress(&frame, RawIp::Raw, true).header, None);
        let dressed = dress(&frame, RawIp::Ethernet, false);
        assert_eq!(
            (dressed.wire, &dressed.head()[12..]),
            (54, &[0x86, 0xdd][..])
        );
    }
}
