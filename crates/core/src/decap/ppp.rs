//! PPP over Ethernet (RFC 2516) and PPP inside other things.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::ppp::{Ppp, Pppoe};

pub(super) fn pppoe<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Pppoe::read(span.bytes())?;
    walk.wrap(Kind::Pppoe, Some(header.session.into()))?;
    ppp(walk, span.limit(header.total).skip(Pppoe::LEN)?)
}

/// A PPP frame: part of what carries it, no layer of its own.
pub(super) fn ppp<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    walk.enter(Kind::Ppp, &span);
    let header = Ppp::read(span.bytes())?;
    walk.carried(header.ethertype, span.skip(header.len)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::craft::*;
    use crate::wire::Fault;

    fn pppoe(payload: &[u8]) -> Vec<u8> {
        ethernet(
            0x8864,
            &[&[0x11, 0, 0x3b, 0x1a, 0, payload.len() as u8][..], payload].concat(),
        )
    }

    #[test]
    fn ip_in_ppp_in_ethernet() {
        let packet = pppoe(&[&[0, 0x21][..], &inner_ip()].concat());
        holds_when_cut(&packet, &inner_ip(), "pppoe 15130");
        holds(
            &[&packet[..], &[0; 20]].concat(),
            &inner_ip(),
            "pppoe 15130",
        );
    }

    #[test]
    fn link_control_stays() {
        let packet = pppoe(&[0xc0, 0x21, 9, 1, 0, 8]);
        let seen = unwrap(&packet);
        assert_eq!(
            (seen.fault(), seen.frame),
            (Fault::Protocol(0xc021), packet)
        );
        assert_eq!(
            (seen.stuck.unwrap().layer, seen.stuck.unwrap().offset),
            (Kind::Ppp, 20)
        );
    }
}
