//! UDP (RFC 768).

use super::{head, Fault};

/// Length of the header.
pub const LEN: usize = 8;

/// A UDP header.
#[derive(Clone, Copy, Debug)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Length of header and data; None where offload or a jumbogram leaves 0.
    pub total: Option<usize>,
}

impl Udp {
    /// Read it.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<LEN>(bytes)?;
        let total = usize::from(u16::from_be_bytes([h[4], h[5]]));
        if total != 0 && total < LEN {
            return Err(Fault::Length {
                says: total,
                least: LEN,
            });
        }
        Ok(Self {
            source: u16::from_be_bytes([h[0], h[1]]),
            destination: u16::from_be_bytes([h[2], h[3]]),
            total: (total != 0).then_some(total),
        })
    }
}
