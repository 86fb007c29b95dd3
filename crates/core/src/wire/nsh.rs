//! The network service header (RFC 8300).

use super::{be24, head, require, Fault};

/// A service header; its metadata are checked to be there and not read.
#[derive(Clone, Copy, Debug)]
pub struct Nsh<'a> {
    head: &'a [u8; 8],
}

impl<'a> Nsh<'a> {
    /// Read it: version 0, metadata included.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<8>(bytes)?;
        if head[0] >> 6 != 0 {
            return Err(Fault::Version(head[0] >> 6));
        }
        let found = Self { head };
        if found.header_len() < 8 {
            return Err(Fault::Length {
                says: found.header_len(),
                least: 8,
            });
        }
        require(bytes, found.header_len())?;
        Ok(found)
    }

    /// Length with metadata.
    pub const fn header_len(&self) -> usize {
        (self.head[1] & 0x3f) as usize * 4
    }

    /// What it carries (the registry that VXLAN-GPE shares).
    pub const fn next_protocol(&self) -> u8 {
        self.head[3]
    }

    /// Service path identifier.
    pub fn path(&self) -> u32 {
        be24([self.head[4], self.head[5], self.head[6]])
    }
}
