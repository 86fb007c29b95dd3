//! Link layers that are not Ethernet, as capture files have them: what they carry, in EtherTypes.
//!
//! Numbers and layouts: <https://www.tcpdump.org/linktypes.html>.

use super::ethernet::ethertype;
use super::{at, head, Fault};

/// Link types by their number in capture files.
pub mod link {
    /// BSD loopback.
    pub const NULL: u16 = 0;
    /// Ethernet.
    pub const ETHERNET: u16 = 1;
    /// PPP.
    pub const PPP: u16 = 9;
    /// Raw IP.
    pub const RAW: u16 = 101;
    /// OpenBSD loopback.
    pub const LOOP: u16 = 108;
    /// Linux cooked capture.
    pub const LINUX_SLL: u16 = 113;
    /// Raw IPv4.
    pub const IPV4: u16 = 228;
    /// Raw IPv6.
    pub const IPV6: u16 = 229;
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: u16 = 276;

    /// Raw IP under any of the numbers it has had.
    pub const fn is_raw(link: u16) -> bool {
        matches!(link, 12 | 14 | RAW | IPV4 | IPV6)
    }
}

/// What a link-layer header leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// EtherType of the payload.
    pub ethertype: u16,
    /// Where it begins.
    pub len: usize,
}

/// Read the header of link type `link`; None when that link type is not known here.
pub fn read(link: u16, bytes: &[u8]) -> Option<Result<Link, Fault>> {
    Some(match link {
        link::NULL | link::LOOP => loopback(bytes),
        link::PPP | 50 => ppp(bytes),
        51 => Ok(Link {
            ethertype: 0x8864,
            len: 0,
        }),
        104 => hdlc(bytes),
        link::LINUX_SLL => at::<2>(bytes, 14).map(|kind| Link {
            ethertype: u16::from_be_bytes(*kind),
            len: 16,
        }),
        link::LINUX_SLL2 => at::<2>(bytes, 0).and_then(|kind| {
            super::require(bytes, 20)?;
            Ok(Link {
                ethertype: u16::from_be_bytes(*kind),
                len: 20,
            })
        }),
        219 => Ok(Link {
            ethertype: ethertype::MPLS[0],
            len: 0,
        }),
        _ if link::is_raw(link) => raw(bytes),
        _ => return None,
    })
}

/// Raw IP says which by itself.
fn raw(bytes: &[u8]) -> Result<Link, Fault> {
    match head::<1>(bytes)?[0] >> 4 {
        4 => Ok(Link {
            ethertype: ethertype::IPV4,
            len: 0,
        }),
        6 => Ok(Link {
            ethertype: ethertype::IPV6,
            len: 0,
        }),
        version => Err(Fault::Version(version)),
    }
}

/// An address family of the capturing host, in its byte order; IPv6 has a number of its own on every BSD.
fn loopback(bytes: &[u8]) -> Result<Link, Fault> {
    let h = head::<4>(bytes)?;
    let family = u32::from_le_bytes(*h).min(u32::from_be_bytes(*h));
    let ethertype = match family {
        2 => ethertype::IPV4,
        10 | 24 | 28 | 30 => ethertype::IPV6,
        other => return Err(Fault::Protocol(other)),
    };
    Ok(Link { ethertype, len: 4 })
}

fn ppp(bytes: &[u8]) -> Result<Link, Fault> {
    super::ppp::Ppp::read(bytes).map(|found| Link {
        ethertype: found.ethertype,
        len: found.len,
    })
}

/// Cisco HDLC: address, control, EtherType.
fn hdlc(bytes: &[u8]) -> Result<Link, Fault> {
    let h = head::<4>(bytes)?;
    Ok(Link {
        ethertype: u16::from_be_bytes([h[2], h[3]]),
        len: 4,
    })
}
