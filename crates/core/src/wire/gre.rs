//! GRE (RFC 2784, 2890, 1701) and the enhanced GRE of PPTP (RFC 2637).

use super::ethernet::ethertype;
use super::{at, head, require, Fault};

/// A GRE header of either version.
#[derive(Clone, Copy, Debug)]
pub struct Gre {
    /// EtherType of the payload.
    pub protocol: u16,
    /// Version 1: PPTP.
    pub enhanced: bool,
    /// The checksum field is there.
    pub checksum: bool,
    /// The key (in PPTP: payload length and call).
    pub key: Option<u32>,
    /// The sequence number.
    pub sequence: Option<u32>,
    /// Length of the header.
    pub len: usize,
}

const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
const ACKNOWLEDGE: u8 = 0x80; // in the second byte, version 1 alone

impl Gre {
    /// Read it.  Source routing (RFC 1701) is refused: nothing sends it, and it would move everything behind it.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<4>(bytes)?;
        let version = h[1] & 7;
        let protocol = u16::from_be_bytes([h[2], h[3]]);
        if version > 1 || version == 1 && protocol != ethertype::PPP {
            return Err(Fault::Version(version));
        }
        if h[0] & ROUTING != 0 {
            return Err(Fault::Flags(u16::from_be_bytes([h[0], h[1]]).into()));
        }
        let mut found = Self {
            protocol,
            enhanced: version == 1,
            checksum: h[0] & CHECKSUM != 0,
            key: None,
            sequence: None,
            len: if h[0] & CHECKSUM != 0 { 8 } else { 4 },
        };
        found.key = found.word(bytes, h[0] & KEY != 0)?;
        found.sequence = found.word(bytes, h[0] & SEQUENCE != 0)?;
        found.len += if found.enhanced && h[1] & ACKNOWLEDGE != 0 {
            4
        } else {
            0
        };
        require(bytes, found.len)?;
        Ok(found)
    }

    #[inline]
    fn word(&mut self, bytes: &[u8], there: bool) -> Result<Option<u32>, Fault> {
        if !there {
            return Ok(None);
        }
        let word = u32::from_be_bytes(*at::<4>(bytes, self.len)?);
        self.len += 4;
        Ok(Some(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_in_order() {
        let all = [0xb0, 0, 0x65, 0x58, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9];
        let read = Gre::read(&all).unwrap();
        assert_eq!((read.key, read.sequence, read.len), (Some(5), Some(9), 16));
        assert_eq!(
            Gre::read(&all[..14]).unwrap_err(),
            Fault::Short {
                needed: 16,
                had: 14
            }
        );
    }

    #[test]
    fn routing_and_versions_are_refused() {
        assert_eq!(
            Gre::read(&[0x40, 0, 8, 0]).unwrap_err(),
            Fault::Flags(0x4000)
        );
        assert_eq!(Gre::read(&[0, 2, 8, 0]).unwrap_err(), Fault::Version(2));
        assert_eq!(Gre::read(&[0, 1, 8, 0]).unwrap_err(), Fault::Version(1));
    }

    #[test]
    fn pptp_acknowledgement_is_counted() {
        let bytes = [0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 6, 0, 0, 0, 26];
        let read = Gre::read(&bytes).unwrap();
        assert!(read.enhanced);
        assert_eq!((read.key, read.len), (Some(6), 12));
    }
}
