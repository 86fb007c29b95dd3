//! The point-to-point protocol (RFC 1661, 1662) and its discovery on Ethernet (RFC 2516).

use super::ethernet::ethertype;
use super::{head, Fault};

/// What a PPP frame carries, in EtherTypes, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ppp {
    /// EtherType of the payload.
    pub ethertype: u16,
    /// Where it begins.
    pub len: usize,
}

impl Ppp {
    /// Read it, with or without address and control, with a protocol field of one or two bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let start = if bytes.starts_with(&[0xff, 0x03]) {
            2
        } else {
            0
        };
        let first = super::at::<1>(bytes, start)?[0];
        let (protocol, len) = if first & 1 == 1 {
            (u16::from(first), start + 1)
        } else {
            (
                u16::from_be_bytes(*super::at::<2>(bytes, start)?),
                start + 2,
            )
        };
        let ethertype = match protocol {
            0x0021 => ethertype::IPV4,
            0x0057 => ethertype::IPV6,
            0x0281 => ethertype::MPLS[0],
            0x0283 => ethertype::MPLS[1],
            other => return Err(Fault::Protocol(other.into())),
        };
        Ok(Self { ethertype, len })
    }
}

/// The header of a PPPoE session frame.
#[derive(Clone, Copy, Debug)]
pub struct Pppoe {
    /// Session identifier.
    pub session: u16,
    /// Length of header and payload.
    pub total: usize,
}

impl Pppoe {
    /// Length of the header.
    pub const LEN: usize = 6;

    /// Read it: version 1, type 1, session data.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<6>(bytes)?;
        if h[0] != 0x11 {
            return Err(Fault::Version(h[0]));
        }
        if h[1] != 0 {
            return Err(Fault::Protocol(h[1].into()));
        }
        Ok(Self {
            session: u16::from_be_bytes([h[2], h[3]]),
            total: Self::LEN + usize::from(u16::from_be_bytes([h[4], h[5]])),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_protocol() {
        for (bytes, len) in [
            (&[0x00, 0x21][..], 2),
            (&[0x21], 1),
            (&[0xff, 3, 0, 0x21], 4),
            (&[0xff, 3, 0x21], 3),
        ] {
            assert_eq!(
                Ppp::read(bytes).unwrap(),
                Ppp {
                    ethertype: ethertype::IPV4,
                    len
                }
            );
        }
        assert_eq!(
            Ppp::read(&[0xc0, 0x21]).unwrap_err(),
            Fault::Protocol(0xc021)
        );
        assert_eq!(
            Ppp::read(&[0xff, 3]).unwrap_err(),
            Fault::Short { needed: 3, had: 2 }
        );
    }
}
