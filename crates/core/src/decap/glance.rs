//! The common case in one look: IPv4 in an untagged Ethernet frame, without options, whole, and as long as it says.
//!
//! Whatever is not quite that is left to the readers of each header, which say what is wrong with it.

use super::frame::Frame;
use super::span::Span;
use super::table::Ports;
use super::walk::Walk;
use crate::wire::ethernet::ethertype::IPV4;
use crate::wire::ip::{protocol, Addresses};
use crate::wire::Fault;

/// Ethernet, IPv4 and UDP headers.
const LEN: usize = 14 + 20 + 8;

/// What the fixed fields tell.
pub(super) enum Glance<'a> {
    /// TCP: nothing is in it.
    Tcp,
    /// A UDP datagram with all its headers.
    Datagram(Datagram<'a>),
    /// Something else, or something odd.
    Unclear,
}

pub(super) struct Datagram<'a>(&'a [u8; LEN]);

impl<'a> Glance<'a> {
    /// Look at an Ethernet frame.
    #[inline]
    pub(super) fn at(frame: &'a [u8]) -> Self {
        let Some(h) = frame.first_chunk::<LEN>() else {
            return Self::Unclear;
        };
        if be16(h[12], h[13]) != IPV4 || h[14] >> 4 != 4 {
            return Self::Unclear;
        }
        match h[23] {
            protocol::TCP => Self::Tcp,
            protocol::UDP if is_plain(h) => Self::Datagram(Datagram(h)),
            _ => Self::Unclear,
        }
    }
}

impl<'a> Datagram<'a> {
    /// The frame in it, if its port is in the table.
    #[inline]
    pub(super) fn inside(
        self,
        walk: &mut Walk,
        span: Span<'a>,
        ports: &Ports,
    ) -> Result<Option<Frame<'a>>, Fault> {
        let h = self.0;
        let Some((kind, open)) = ports.find(be16(h[34], h[35]), be16(h[36], h[37])) else {
            return Ok(None);
        };
        walk.carried_by(Addresses::V4(
            [h[26], h[27], h[28], h[29]],
            [h[30], h[31], h[32], h[33]],
        ));
        let packet = 14 + usize::from(be16(h[16], h[17]));
        let datagram = 34 + usize::from(be16(h[38], h[39]));
        let data = span.limit(packet.min(datagram)).skip(LEN)?;
        walk.open(kind, open, data).map(Some)
    }
}

/// No IP options, no fragment, and lengths that hold both headers (0 is what offload leaves).
#[inline]
fn is_plain(h: &[u8; LEN]) -> bool {
    h[14] == 0x45
        && be16(h[20] & 0x3f, h[21]) == 0
        && be16(h[16], h[17]) >= 28
        && be16(h[38], h[39]) >= 8
}

#[inline]
const fn be16(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::decap::Options;

    /// A tag makes the glance unclear; beside it the two must see the same.
    fn both_ways(packet: &[u8], wire: usize) {
        let (addresses, rest) = packet.split_at(12);
        let tagged = [addresses, &[0x81, 0, 0, 7], rest].concat();
        let options = Options::default();
        let (quick, slow) = (
            unwrap_with(&options, 1, packet, wire),
            unwrap_with(&options, 1, &tagged, wire + 4),
        );
        let (frame, length) = match slow.name.as_str() {
            "" => (packet, slow.wire - 4),
            _ => (&slow.frame[..], slow.wire),
        };
        assert_eq!(
            (&quick.frame[..], quick.wire, &quick.name),
            (frame, length, &slow.name),
            "{packet:02x?}"
        );
        assert_eq!(
            quick
                .stuck
                .map(|stuck| (stuck.layer, stuck.fault, stuck.cut)),
            slow.stuck
                .map(|stuck| (stuck.layer, stuck.fault, stuck.cut)),
            "{packet:02x?}"
        );
    }

    #[test]
    fn a_glance_sees_what_the_readers_see() {
        let vxlan = [&[0x08, 0, 0, 0, 0, 0x13, 0x89, 0][..], &inner_frame()].concat();
        let packet = over_udp(4789, &vxlan);
        let values = [
            0, 1, 7, 8, 20, 27, 28, 33, 0x40, 0x45, 0x46, 0x60, 0x80, 0xff,
        ];
        for at in 12..50 {
            for value in values {
                let mut changed = packet.clone();
                changed.splice(at..=at, [value]);
                both_ways(&changed, changed.len());
            }
        }
        for cut in 14..packet.len() {
            both_ways(&packet[..cut], packet.len());
            both_ways(&packet[..cut], cut);
        }
    }
}
