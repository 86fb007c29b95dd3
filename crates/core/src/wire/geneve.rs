//! Geneve (RFC 8926).

use super::{be24, head, require, Fault};

/// A Geneve header; its options are checked to be there and not read.
#[derive(Clone, Copy, Debug)]
pub struct Geneve<'a> {
    head: &'a [u8; 8],
}

impl<'a> Geneve<'a> {
    /// Read it: version 0, options included.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<8>(bytes)?;
        if head[0] >> 6 != 0 {
            return Err(Fault::Version(head[0] >> 6));
        }
        let found = Self { head };
        require(bytes, found.header_len())?;
        Ok(found)
    }

    /// Length of the header with its options.
    #[inline]
    pub const fn header_len(&self) -> usize {
        8 + (self.head[0] & 0x3f) as usize * 4
    }

    /// EtherType of the payload.
    #[inline]
    pub const fn protocol(&self) -> u16 {
        u16::from_be_bytes([self.head[2], self.head[3]])
    }

    /// The VNI.
    #[inline]
    pub fn vni(&self) -> u32 {
        be24([self.head[4], self.head[5], self.head[6]])
    }
}
