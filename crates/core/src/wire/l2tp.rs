//! L2TP version 2 data messages (RFC 2661).

use super::{at, head, require, Fault};

/// The header of a data message.
#[derive(Clone, Copy, Debug)]
pub struct L2tp {
    /// Tunnel identifier.
    pub tunnel: u16,
    /// Session identifier.
    pub session: u16,
    /// Length of the header with its padding.
    pub len: usize,
    /// Length of header and payload, where the header has it.
    pub total: Option<usize>,
}

const CONTROL: u8 = 0x80;
const LENGTH: u8 = 0x40;
const SEQUENCE: u8 = 0x08;
const OFFSET: u8 = 0x02;

impl L2tp {
    /// Read it.  Control messages carry no frame; version 3 hides the payload behind a cookie of unknown length.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<2>(bytes)?;
        if h[1] & 15 != 2 {
            return Err(Fault::Version(h[1] & 15));
        }
        if h[0] & CONTROL != 0 {
            return Err(Fault::Flags(h[0].into()));
        }
        let total = if h[0] & LENGTH == 0 {
            None
        } else {
            Some(usize::from(u16::from_be_bytes(*at::<2>(bytes, 2)?)))
        };
        let mut len = if total.is_some() { 4 } else { 2 };
        let ids = at::<4>(bytes, len)?;
        len += 4;
        len += if h[0] & SEQUENCE == 0 { 0 } else { 4 };
        if h[0] & OFFSET != 0 {
            len += 2 + usize::from(u16::from_be_bytes(*at::<2>(bytes, len)?));
        }
        require(bytes, len)?;
        match total {
            Some(says) if says < len => Err(Fault::Length { says, least: len }),
            _ => Ok(Self {
                tunnel: u16::from_be_bytes([ids[0], ids[1]]),
                session: u16::from_be_bytes([ids[2], ids[3]]),
                len,
                total,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields() {
        let all = [
            0x4a, 2, 0, 20, 0, 7, 0, 9, 0, 0, 0, 0, 0, 2, 0xee, 0xee, 0xff, 3, 0, 0x21,
        ];
        let read = L2tp::read(&all).unwrap();
        assert_eq!(
            (read.tunnel, read.session, read.len, read.total),
            (7, 9, 16, Some(20))
        );
        let bare = L2tp::read(&[0, 2, 0, 7, 0, 9]).unwrap();
        assert_eq!((bare.len, bare.total), (6, None));
        assert_eq!(
            L2tp::read(&[0xc8, 2, 0, 20]).unwrap_err(),
            Fault::Flags(0xc8)
        );
        assert_eq!(L2tp::read(&[0, 3, 0, 20]).unwrap_err(), Fault::Version(3));
    }
}
