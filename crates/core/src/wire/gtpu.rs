//! GTP-U version 1 with extension headers (3GPP TS 29.281).

use super::{at, head, require, Fault};

const G_PDU: u8 = 255;
const MOST_EXTENSIONS: usize = 16;

/// The header of a G-PDU: a tunnelled packet.
#[derive(Clone, Copy, Debug)]
pub struct Gtpu {
    /// Tunnel endpoint identifier.
    pub teid: u32,
    /// Length of the header with all extension headers.
    pub len: usize,
    /// Length of header and payload as the header has it.
    pub total: usize,
}

impl Gtpu {
    /// Read it.  Other messages than G-PDU (echo, end marker...) carry no packet.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<8>(bytes)?;
        if h[0] >> 5 != 1 {
            return Err(Fault::Version(h[0] >> 5));
        }
        if h[0] & 0x10 == 0 {
            return Err(Fault::Flags(h[0].into())); // GTP' of charging
        }
        if h[1] != G_PDU {
            return Err(Fault::Protocol(h[1].into()));
        }
        let mut found = Self {
            teid: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
            len: 8,
            total: 8 + usize::from(u16::from_be_bytes([h[2], h[3]])),
        };
        if h[0] & 7 != 0 {
            found.extensions(bytes, h[0] & 4 != 0)?;
        }
        if found.total < found.len {
            return Err(Fault::Length {
                says: found.total,
                least: found.len,
            });
        }
        Ok(found)
    }

    /// Any of the flags S, PN and E brings all of sequence number, N-PDU number and next type.
    fn extensions(&mut self, bytes: &[u8], follow: bool) -> Result<(), Fault> {
        let mut next = if follow { at::<1>(bytes, 11)?[0] } else { 0 };
        self.len = 12;
        require(bytes, self.len)?;
        for _ in 0..MOST_EXTENSIONS {
            if next == 0 {
                return Ok(());
            }
            let length = usize::from(at::<1>(bytes, self.len)?[0]) * 4;
            if length == 0 {
                return Err(Fault::Length { says: 0, least: 4 });
            }
            self.len += length;
            next = at::<1>(bytes, self.len - 1)?[0];
        }
        Err(Fault::TooMany(MOST_EXTENSIONS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_headers_are_walked() {
        let bytes = [
            0x34, 255, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0, 1, 0xc0, 1, 0, 0, 0,
        ];
        let read = Gtpu::read(&bytes).unwrap();
        assert_eq!((read.teid, read.len, read.total), (9, 20, 20));
        assert_eq!(
            Gtpu::read(&bytes[..15]).unwrap_err(),
            Fault::Short {
                needed: 16,
                had: 15
            }
        );
    }

    #[test]
    fn an_extension_header_of_no_length_ends() {
        let bytes = [0x34, 255, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0x85, 0, 0, 1, 0x85];
        assert_eq!(
            Gtpu::read(&bytes).unwrap_err(),
            Fault::Length { says: 0, least: 4 }
        );
    }

    #[test]
    fn other_messages_and_versions() {
        assert_eq!(
            Gtpu::read(&[0x32, 26, 0, 16, 0, 0, 0, 0]).unwrap_err(),
            Fault::Protocol(26)
        );
        assert_eq!(
            Gtpu::read(&[0x48, 32, 0, 16, 0, 0, 0, 0]).unwrap_err(),
            Fault::Version(2)
        );
        assert_eq!(
            Gtpu::read(&[0x20, 255, 0, 16, 0, 0, 0, 0]).unwrap_err(),
            Fault::Flags(0x20)
        );
    }
}
