//! IPv4 with options (RFC 791) and IPv6 with extension headers (RFC 8200), seen as one thing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{at, head, require, Fault};

/// Protocol numbers (IANA) that mean something here.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// IPv4 in IP.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IP.
    pub const IPV6: u8 = 41;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Generic routing encapsulation.
    pub const GRE: u8 = 47;
    /// Encapsulating security payload.
    pub const ESP: u8 = 50;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// IPv6 mobility header.
    pub const MOBILITY: u8 = 135;
}

const MOST_EXTENSIONS: usize = 16;

/// Source and destination, as they stand in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addresses {
    /// IPv4.
    V4([u8; 4], [u8; 4]),
    /// IPv6.
    V6([u8; 16], [u8; 16]),
}

impl Addresses {
    /// Source and destination.
    pub fn pair(self) -> (IpAddr, IpAddr) {
        match self {
            Self::V4(source, destination) => (
                Ipv4Addr::from(source).into(),
                Ipv4Addr::from(destination).into(),
            ),
            Self::V6(source, destination) => (
                Ipv6Addr::from(source).into(),
                Ipv6Addr::from(destination).into(),
            ),
        }
    }
}

/// Whether a packet is part of a larger datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// It is whole.
    Whole,
    /// The first one: the payload begins here, and goes on elsewhere.
    First,
    /// A later one, at that offset in bytes: the payload is the middle of something.
    Later(u32),
}

/// An IP header, with everything up to the payload read.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    /// What the payload is (behind all extension headers).
    pub protocol: u8,
    /// Source and destination.
    pub addresses: Addresses,
    /// Part of a larger datagram or not.
    pub fragment: Fragment,
    /// Where the payload begins.
    pub header: usize,
    /// Length of the whole packet as the header has it; None for an offloaded one, which has none.
    pub total: Option<usize>,
}

impl Ip {
    /// Read either version.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        match head::<1>(bytes)?[0] >> 4 {
            4 => Self::v4(bytes),
            6 => Self::v6(bytes),
            version => Err(Fault::Version(version)),
        }
    }

    /// Whether it is TCP right behind the fixed header, told by a glance: most packets are, and hold nothing else.
    #[inline]
    pub fn is_tcp(bytes: &[u8]) -> bool {
        bytes.first_chunk::<20>().is_some_and(|h| match h[0] >> 4 {
            4 => h[9] == protocol::TCP,
            6 => h[6] == protocol::TCP,
            _ => false,
        })
    }

    #[inline]
    fn v4(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<20>(bytes)?;
        let header = usize::from(h[0] & 15) * 4;
        if header < 20 {
            return Err(Fault::Length {
                says: header,
                least: 20,
            });
        }
        require(bytes, header)?;
        let pieces = u16::from_be_bytes([h[6], h[7]]);
        let found = Self {
            protocol: h[9],
            addresses: Addresses::V4([h[12], h[13], h[14], h[15]], [h[16], h[17], h[18], h[19]]),
            fragment: fragment(u32::from(pieces & 0x1fff) * 8, pieces & 0x2000 != 0),
            header,
            total: length(usize::from(u16::from_be_bytes([h[2], h[3]])), header)?,
        };
        if found.protocol == protocol::AUTHENTICATION {
            return found.extended(bytes);
        }
        Ok(found)
    }

    #[inline]
    fn v6(bytes: &[u8]) -> Result<Self, Fault> {
        let h = head::<40>(bytes)?;
        let payload = usize::from(u16::from_be_bytes([h[4], h[5]]));
        let found = Self {
            protocol: h[6],
            addresses: Addresses::V6(*at::<16>(bytes, 8)?, *at::<16>(bytes, 24)?),
            fragment: Fragment::Whole,
            header: 40,
            total: (payload != 0).then_some(40 + payload),
        };
        found.extended(bytes)
    }

    /// Step over extension headers until the payload, or until a fragment that has none.
    #[inline]
    fn extended(mut self, bytes: &[u8]) -> Result<Self, Fault> {
        for _ in 0..MOST_EXTENSIONS {
            let unit = match self.protocol {
                protocol::HOP_BY_HOP
                | protocol::ROUTING
                | protocol::DESTINATION
                | protocol::MOBILITY => 8,
                protocol::FRAGMENT => 0,
                protocol::AUTHENTICATION => 4,
                _ => return Ok(self),
            };
            let extension = at::<8>(bytes, self.header)?;
            self.protocol = extension[0];
            self.header += match unit {
                8 => usize::from(extension[1]) * 8 + 8,
                4 => usize::from(extension[1]) * 4 + 8,
                _ => {
                    let pieces = u16::from_be_bytes([extension[2], extension[3]]);
                    self.fragment = fragment(u32::from(pieces & 0xfff8), pieces & 1 != 0);
                    8
                }
            };
            if matches!(self.fragment, Fragment::Later(_)) {
                return Ok(self);
            }
            require(bytes, self.header)?;
        }
        Err(Fault::TooMany(MOST_EXTENSIONS))
    }
}

const fn fragment(offset: u32, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        (offset, _) => Fragment::Later(offset),
    }
}

/// A total length of 0 is what segmentation offload leaves.
const fn length(total: usize, header: usize) -> Result<Option<usize>, Fault> {
    match total {
        0 => Ok(None),
        total if total < header => Err(Fault::Length {
            says: total,
            least: header,
        }),
        total => Ok(Some(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(start: [u8; 10]) -> Vec<u8> {
        [&start[..], &[0, 0, 10, 0, 0, 1, 10, 0, 0, 2], &[0; 44]].concat()
    }

    #[test]
    fn options_and_lengths() {
        let read = Ip::read(&v4([0x46, 0, 0, 60, 0, 0, 0, 0, 64, 17])).unwrap();
        assert_eq!((read.header, read.total, read.protocol), (24, Some(60), 17));
        assert_eq!(read.addresses, Addresses::V4([10, 0, 0, 1], [10, 0, 0, 2]));
        assert_eq!(
            Ip::read(&v4([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17]))
                .unwrap()
                .total,
            None
        );
        let bad = Ip::read(&v4([0x45, 0, 0, 19, 0, 0, 0, 0, 64, 17])).unwrap_err();
        assert_eq!(
            bad,
            Fault::Length {
                says: 19,
                least: 20
            }
        );
        assert_eq!(
            Ip::read(&v4([0x44; 10])).unwrap_err(),
            Fault::Length {
                says: 16,
                least: 20
            }
        );
        assert_eq!(Ip::read(&[0x75]).unwrap_err(), Fault::Version(7));
    }

    #[test]
    fn fragments() {
        let read = |high, low| {
            Ip::read(&v4([0x45, 0, 0, 60, 0, 0, high, low, 64, 17]))
                .unwrap()
                .fragment
        };
        assert_eq!(read(0x40, 0), Fragment::Whole);
        assert_eq!(read(0x20, 0), Fragment::First);
        assert_eq!(read(0x20, 3), Fragment::Later(24));
        assert_eq!(read(0x00, 3), Fragment::Later(24));
    }

    #[test]
    fn extension_headers_are_walked() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 64, 0, 64];
        bytes.extend([0xfe; 32]);
        bytes.extend([43, 0, 0, 0, 0, 0, 0, 0]); // hop by hop
        bytes.extend([44, 1, 0, 0, 0, 0, 0, 0]); // routing, 16 bytes
        bytes.extend([0; 8]);
        bytes.extend([17, 0, 0, 1, 0, 0, 0, 9]); // fragment, the first
        let read = Ip::read(&bytes).unwrap();
        assert_eq!(
            (read.protocol, read.header, read.fragment),
            (17, 72, Fragment::First)
        );
        assert_eq!(
            Ip::read(&bytes[..70]).unwrap_err(),
            Fault::Short {
                needed: 72,
                had: 70
            }
        );
    }

    #[test]
    fn endless_extension_headers_end() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, 60, 64];
        bytes.extend([1; 32]);
        bytes.extend([60, 0, 0, 0, 0, 0, 0, 0].repeat(100));
        assert_eq!(Ip::read(&bytes).unwrap_err(), Fault::TooMany(16));
    }

    #[test]
    fn authentication_header_in_ipv4() {
        let mut bytes = v4([0x45, 0, 0, 64, 0, 0, 0, 0, 64, 51]);
        bytes[20..28].copy_from_slice(&[4, 4, 0, 0, 0, 0, 0, 0]);
        let read = Ip::read(&bytes).unwrap();
        assert_eq!((read.protocol, read.header), (4, 44));
    }
}
