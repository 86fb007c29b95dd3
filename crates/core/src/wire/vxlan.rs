//! VXLAN (RFC 7348) and VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).

use super::{be24, head, Fault};

/// Length of both headers.
pub const LEN: usize = 8;
const INSTANCE: u8 = 0x08;
const NEXT_PROTOCOL: u8 = 0x04;

/// A VXLAN header, plain or generic.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan<'a> {
    head: &'a [u8; LEN],
}

impl<'a> Vxlan<'a> {
    /// Read a plain one: the flag that says that there is a VNI must be set.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<LEN>(bytes)?;
        if head[0] & INSTANCE == 0 {
            return Err(Fault::Flags(head[0].into()));
        }
        Ok(Self { head })
    }

    /// Read a generic one: version 0.
    pub fn read_generic(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<LEN>(bytes)?;
        if head[0] & 0x30 != 0 {
            return Err(Fault::Version(head[0] >> 4 & 3));
        }
        Ok(Self { head })
    }

    /// The VNI; None in a generic header that has none.
    #[inline]
    pub fn vni(&self) -> Option<u32> {
        (self.head[0] & INSTANCE != 0).then(|| be24([self.head[4], self.head[5], self.head[6]]))
    }

    /// What a generic header carries; None means Ethernet.
    pub fn next_protocol(&self) -> Option<u8> {
        (self.head[0] & NEXT_PROTOCOL != 0).then_some(self.head[3])
    }
}
