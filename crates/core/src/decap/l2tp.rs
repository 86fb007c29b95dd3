//! L2TP version 2 (RFC 2661): PPP over UDP.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::{ppp, Inside};
use crate::wire::l2tp::L2tp;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = L2tp::read(span.bytes())?;
    let id = u32::from(header.tunnel) << 16 | u32::from(header.session);
    walk.wrap(Kind::L2tp, Some(id))?;
    ppp::ppp(walk, span.limit_to(header.total).skip(header.len)?)
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;

    #[test]
    fn ip_in_ppp_in_udp() {
        let data = [&[0, 2, 0, 7, 0, 9, 0xff, 3, 0, 0x21][..], &inner_ip()].concat();
        holds_when_cut(
            &over_udp(1701, &data),
            &inner_ip(),
            "l2tp 458761 172.16.0.1>172.16.0.2",
        );
    }
}
