//! MPLS label stacks (RFC 3032) and the control word of pseudowires (RFC 4385, 4448).

use super::{at, Fault};

const MOST_LABELS: usize = 32;

/// A whole label stack.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// The label at the bottom: what the payload is known by.
    pub bottom: u32,
    /// Length of all entries.
    pub len: usize,
}

impl Stack {
    /// Read entries down to the one with the bottom-of-stack bit.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        for index in 0..MOST_LABELS {
            let entry = u32::from_be_bytes(*at::<4>(bytes, index * 4)?);
            if entry & 0x100 != 0 {
                return Ok(Self {
                    bottom: entry >> 12,
                    len: index * 4 + 4,
                });
            }
        }
        Err(Fault::TooMany(MOST_LABELS))
    }
}

/// What is at the bottom of a stack; nothing in the packet says so, it is guessed from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottom {
    /// An IP packet.
    Ip,
    /// An Ethernet frame behind a control word of 4 bytes.
    ControlWord,
    /// An Ethernet frame.
    Ethernet,
    /// An associated channel (operation and maintenance), or nothing that looks like a frame.
    Other(u8),
}

/// Guess as routers do: by the first nibble, then by whether an EtherType stands where a frame would have it.
pub fn guess(payload: &[u8]) -> Result<Bottom, Fault> {
    let first = super::head::<1>(payload)?[0];
    Ok(match first >> 4 {
        4 | 6 if is_ip(payload, first) => Bottom::Ip,
        0 if has_ethertype(payload, 4) => Bottom::ControlWord,
        1 => Bottom::Other(1),
        _ if has_ethertype(payload, 0) => Bottom::Ethernet,
        nibble => Bottom::Other(nibble),
    })
}

/// An address that begins with 4 or 6 looks like an IP version; a header length and a sane size rarely follow it.
fn is_ip(payload: &[u8], first: u8) -> bool {
    if first >> 4 == 6 {
        return !has_ethertype(payload, 0)
            || payload
                .get(6)
                .is_some_and(|next| matches!(next, 0 | 4 | 6 | 17 | 41 | 43 | 44 | 58..=60));
    }
    first & 15 >= 5
}

/// Whether the frame at `offset` says IPv4, IPv6, ARP, a VLAN tag, MPLS, PPPoE or an IEEE 802.3 length.
fn has_ethertype(payload: &[u8], offset: usize) -> bool {
    at::<2>(payload, offset + 12).is_ok_and(|&[high, low]| {
        let found = u16::from_be_bytes([high, low]);
        matches!(
            found,
            0x0800
                | 0x86dd
                | 0x0806
                | 0x8100
                | 0x88a8
                | 0x9100
                | 0x8847
                | 0x8848
                | 0x8863
                | 0x8864
                | 0x88cc
        ) || (usize::from(found) >= 3 && usize::from(found) <= 1500)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_end_at_the_bottom() {
        let read = Stack::read(&[0, 0, 0x10, 64, 0x01, 0xf4, 0x11, 64, 0x45]).unwrap();
        assert_eq!((read.bottom, read.len), (0x1f41, 8));
        assert_eq!(Stack::read(&[0; 200]).unwrap_err(), Fault::TooMany(32));
        assert_eq!(
            Stack::read(&[0; 6]).unwrap_err(),
            Fault::Short { needed: 8, had: 6 }
        );
    }

    #[test]
    fn guesses() {
        let ethernet = |first: u8, kind: [u8; 2]| {
            [&[first, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind[..]].concat()
        };
        assert_eq!(guess(&[0x45, 0, 0, 20]).unwrap(), Bottom::Ip);
        assert_eq!(guess(&ethernet(0x40, [8, 0])).unwrap(), Bottom::Ethernet);
        assert_eq!(guess(&ethernet(0x00, [8, 0])).unwrap(), Bottom::Ethernet);
        assert_eq!(
            guess(&[&[0; 4][..], &ethernet(0xaa, [0x86, 0xdd])].concat()).unwrap(),
            Bottom::ControlWord
        );
        assert_eq!(guess(&[0x10, 0, 0, 0x21]).unwrap(), Bottom::Other(1));
        assert_eq!(
            guess(&ethernet(0xaa, [0xff, 0xff])).unwrap(),
            Bottom::Other(10)
        );
    }
}
