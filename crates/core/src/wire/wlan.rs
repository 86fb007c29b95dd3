//! IEEE 802.11 data frames, as CAPWAP (RFC 5415) carries them.

use super::{at, head, require, Fault};

/// Where the payload of a data frame begins, and its EtherType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wlan {
    /// EtherType behind LLC and SNAP.
    pub ethertype: u16,
    /// Where the payload begins.
    pub len: usize,
}

impl Wlan {
    /// Read a data frame up to and including LLC and SNAP.  Some controllers swap the two bytes of frame control.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let &[first, second] = head::<2>(bytes)?;
        Self::of(bytes, first, second)
            .or_else(|fault| Self::of(bytes, second, first).map_err(|_| fault))
    }

    fn of(bytes: &[u8], control: u8, flags: u8) -> Result<Self, Fault> {
        if control & 0x4f != 0x08 {
            return Err(Fault::Protocol(control.into())); // management, control, or data that carries none
        }
        if flags & 0x40 != 0 {
            return Err(Fault::Encrypted);
        }
        let (quality, four_addresses) = (control & 0x80 != 0, flags & 3 == 3);
        let more_control = quality && flags & 0x80 != 0;
        let len = 24
            + 6 * usize::from(four_addresses)
            + 2 * usize::from(quality)
            + 4 * usize::from(more_control);
        match at::<8>(bytes, len)? {
            [0xaa, 0xaa, 0x03, 0, 0, 0, high, low] => Ok(Self {
                ethertype: u16::from_be_bytes([*high, *low]),
                len: len + 8,
            }),
            [first, second, ..] => Err(Fault::Protocol(
                u16::from_be_bytes([*first, *second]).into(),
            )),
        }
    }
}

/// The header of a CAPWAP data message.
#[derive(Clone, Copy, Debug)]
pub struct Capwap {
    /// Length of the header.
    pub len: usize,
    /// The payload is in the radio's own format; else it is IEEE 802.3.
    pub native: bool,
    /// The radio's format: 1 is IEEE 802.11.
    pub binding: u8,
}

impl Capwap {
    /// Read it: no DTLS, whole or the first fragment.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<8>(bytes)?;
        match (h[0] >> 4, h[0] & 15) {
            (0, 0) => {}
            (0, 1) => return Err(Fault::Encrypted),
            (version, _) => return Err(Fault::Version(version)),
        }
        let flags = u32::from_be_bytes([0, h[1], h[2], h[3]]);
        let len = usize::from(h[1] >> 3) * 4;
        if len < 8 {
            return Err(Fault::Length {
                says: len,
                least: 8,
            });
        }
        require(bytes, len)?;
        let offset = u32::from(u16::from_be_bytes([h[6], h[7]]) >> 3) * 8;
        if flags & 0x80 != 0 && offset != 0 {
            return Err(Fault::Fragment(offset));
        }
        if flags & 0x08 != 0 {
            return Err(Fault::Protocol(flags)); // keep-alive
        }
        Ok(Self {
            len,
            native: flags & 0x100 != 0,
            binding: h[2] >> 1 & 31,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_frames() {
        let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        let plain = [&[0x08, 1][..], &[0; 22], &snap].concat();
        assert_eq!(
            Wlan::read(&plain).unwrap(),
            Wlan {
                ethertype: 0x0800,
                len: 32
            }
        );
        let swapped = [&[0x11, 0x08][..], &[0; 22], &snap].concat();
        assert_eq!(Wlan::read(&swapped).unwrap().len, 32);
        let quality = [&[0x88, 3][..], &[0; 30], &snap].concat();
        assert_eq!(Wlan::read(&quality).unwrap().len, 40);
        let secret = [&[0x08, 0x41][..], &[0; 30]].concat();
        assert_eq!(Wlan::read(&secret).unwrap_err(), Fault::Encrypted);
        assert_eq!(Wlan::read(&[0x80, 0]).unwrap_err(), Fault::Protocol(0x80));
    }

    #[test]
    fn capwap_headers() {
        let read = Capwap::read(&[0, 0x10, 0x43, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!((read.len, read.native, read.binding), (8, true, 1));
        assert_eq!(
            Capwap::read(&[1, 0x10, 0x43, 0, 0, 0, 0, 0]).unwrap_err(),
            Fault::Encrypted
        );
        assert_eq!(
            Capwap::read(&[0, 0x08, 0x43, 0, 0, 0, 0, 0]).unwrap_err(),
            Fault::Length { says: 4, least: 8 }
        );
        assert_eq!(
            Capwap::read(&[0, 0x10, 0x42, 0x80, 0, 0, 0, 0x10]).unwrap_err(),
            Fault::Fragment(16)
        );
    }
}
