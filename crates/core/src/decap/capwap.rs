//! CAPWAP data (RFC 5415): what wireless stations send, on the way from access point to controller.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::wlan::{Capwap, Wlan};
use crate::wire::Fault;

const IEEE_802_11: u8 = 1;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Capwap::read(span.bytes())?;
    walk.wrap(Kind::Capwap, None)?;
    let inside = span.skip(header.len)?;
    if !header.native {
        return inside.ethernet();
    }
    if header.binding != IEEE_802_11 {
        return Err(Fault::Protocol(header.binding.into()));
    }
    let frame = Wlan::read(inside.bytes())?;
    walk.carried(frame.ethertype, inside.skip(frame.len)?)
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    #[test]
    fn a_stations_packet_and_a_frame_in_its_own_format() {
        let station = [
            &[0x08, 1][..],
            &[0; 22],
            &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
            &inner_ip(),
        ]
        .concat();
        let native = [&[0, 0x10, 0x43, 0, 0, 0, 0, 0][..], &station].concat();
        holds_when_cut(
            &over_udp(5247, &native),
            &inner_ip(),
            "capwap 172.16.0.1>172.16.0.2",
        );
        let bridged = [&[0, 0x10, 0x42, 0, 0, 0, 0, 0][..], &inner_frame()].concat();
        holds_when_cut(
            &over_udp(5247, &bridged),
            &inner_frame(),
            "capwap 172.16.0.1>172.16.0.2",
        );
        assert_eq!(
            unwrap(&over_udp(5247, &[1, 0x10, 0x42, 0, 0, 0, 0, 0])).fault(),
            Fault::Encrypted
        );
    }
}
