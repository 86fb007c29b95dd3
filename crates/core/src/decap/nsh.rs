//! The network service header (RFC 8300), and the registry of next protocols it shares with VXLAN-GPE.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::nsh::Nsh;
use crate::wire::Fault;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Nsh::read(span.bytes())?;
    walk.wrap(Kind::Nsh, Some(header.path()))?;
    next(
        walk,
        header.next_protocol(),
        span.skip(header.header_len())?,
    )
}

/// What a next-protocol number leads to.
pub(super) fn next<'a>(walk: &mut Walk, number: u8, span: Span<'a>) -> Inside<'a> {
    match number {
        1 | 2 => span.ip(),
        3 => span.ethernet(),
        4 => walk.carried(0x894f, span),
        5 => walk.carried(0x8847, span),
        other => Err(Fault::Protocol(other.into())),
    }
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    #[test]
    fn in_ethernet_with_metadata() {
        let header = [
            0, 6, 1, 1, 0, 3, 9, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4,
        ];
        let packet = ethernet(0x894f, &[&header[..], &inner_ip()].concat());
        holds_when_cut(&packet, &inner_ip(), "nsh 777");
        let nested = ethernet(0x894f, &[0, 2, 2, 4, 0, 0, 1, 0].repeat(20));
        assert_eq!(unwrap(&nested).fault(), Fault::Depth(8));
    }
}
