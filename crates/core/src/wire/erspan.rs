//! ERSPAN type II and III (draft-foschiano-erspan-03); type I has no header at all.

use super::{head, require, Fault};

/// Which way the mirrored frame passed the port it was copied at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the switch.
    Ingress,
    /// Out of the switch.
    Egress,
}

/// The header of type II: 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Type2<'a> {
    head: &'a [u8; 8],
}

impl<'a> Type2<'a> {
    /// Length of the header.
    pub const LEN: usize = 8;

    /// Read it: version field 1.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<8>(bytes)?;
        version(head[0], 1)?;
        Ok(Self { head })
    }

    /// Session identifier, 10 bits.
    pub fn session(&self) -> u16 {
        session(self.head[2], self.head[3])
    }

    /// Port index, 20 bits.
    pub const fn index(&self) -> u32 {
        u32::from_be_bytes([0, self.head[5] & 15, self.head[6], self.head[7]])
    }
}

/// The header of type III: 12 bytes, and 8 more where its O bit says so.
#[derive(Clone, Copy, Debug)]
pub struct Type3<'a> {
    head: &'a [u8; 12],
}

impl<'a> Type3<'a> {
    /// Read it: version field 2, subheader included.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<12>(bytes)?;
        version(head[0], 2)?;
        let found = Self { head };
        require(bytes, found.header_len())?;
        Ok(found)
    }

    /// Length with the platform subheader.
    #[inline]
    pub const fn header_len(&self) -> usize {
        if self.head[11] & 1 != 0 {
            20
        } else {
            12
        }
    }

    /// Session identifier, 10 bits.
    pub fn session(&self) -> u16 {
        session(self.head[2], self.head[3])
    }

    /// The sender's clock, in units of `granularity`.
    pub const fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.head[4], self.head[5], self.head[6], self.head[7]])
    }

    /// Frame type: 0 Ethernet, 2 IP.
    #[inline]
    pub const fn frame_type(&self) -> u8 {
        self.head[10] >> 2 & 31
    }

    /// Hardware (engine) identifier, 6 bits.
    pub const fn hardware(&self) -> u8 {
        (self.head[10] & 3) << 4 | self.head[11] >> 4
    }

    /// Which way the frame passed the mirrored port.
    pub const fn direction(&self) -> Direction {
        if self.head[11] & 8 != 0 {
            Direction::Egress
        } else {
            Direction::Ingress
        }
    }

    /// Clock unit: 0 is 100 us, 1 is 100 ns, 2 is IEEE 1588, 3 is the sender's own.
    pub const fn granularity(&self) -> u8 {
        self.head[11] >> 1 & 3
    }
}

const fn version(first: u8, wanted: u8) -> Result<(), Fault> {
    match first >> 4 {
        version if version == wanted => Ok(()),
        version => Err(Fault::Version(version)),
    }
}

fn session(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high & 3, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_2() {
        let read = Type2::read(&[0x10, 1, 0x13, 0xff, 0, 0x0a, 0xbb, 0xcc]).unwrap();
        assert_eq!((read.session(), read.index()), (0x3ff, 0xa_bbcc));
        assert_eq!(Type2::read(&[0x20; 8]).unwrap_err(), Fault::Version(2));
    }

    #[test]
    fn type_3_bits() {
        let bytes = [
            0x20, 1, 0, 101, 0, 0, 0, 7, 0, 0, 0x8b, 0x4b, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let read = Type3::read(&bytes).unwrap();
        assert_eq!(
            (read.session(), read.timestamp(), read.frame_type()),
            (101, 7, 2)
        );
        assert_eq!(
            (read.hardware(), read.direction()),
            (0b11_0100, Direction::Egress)
        );
        assert_eq!((read.granularity(), read.header_len()), (1, 20));
        assert_eq!(
            Type3::read(&bytes[..19]).unwrap_err(),
            Fault::Short {
                needed: 20,
                had: 19
            }
        );
    }
}
