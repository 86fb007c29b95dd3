//! GRE (RFC 2784, 2890), NVGRE (RFC 7637) and the GRE of PPTP (RFC 2637).

use super::kind::Kind;
use super::span::Span;
use super::table;
use super::walk::Walk;
use super::Inside;
use crate::wire::ethernet::ethertype;
use crate::wire::gre::Gre;

/// Below this virtual subnet identifiers are reserved (RFC 7637, 3.3): such a key is a plain GRE key.
const FIRST_SUBNET: u32 = 0x1000;

#[inline]
pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Gre::read(span.bytes())?;
    let inside = span.skip(header.len)?;
    walk.marks.sequence = header.sequence;
    walk.marks.key = header.key;
    if let Some(row) = table::of_gre(header.protocol) {
        // A mirror uses GRE as its first 4 or 8 bytes: one layer, not two.
        return walk.open(row.kind, row.open, inside);
    }
    let (kind, id) = identity(&header);
    walk.wrap(kind, id)?;
    walk.carried(header.protocol, inside)
}

#[inline]
fn identity(header: &Gre) -> (Kind, Option<u32>) {
    match header.key {
        Some(key) if header.enhanced => (Kind::Pptp, Some(key & 0xffff)),
        Some(key) if is_nvgre(header, key) => (Kind::Nvgre, Some(key >> 8)),
        key => (Kind::Gre, key),
    }
}

#[inline]
const fn is_nvgre(header: &Gre, key: u32) -> bool {
    header.protocol == ethertype::BRIDGED
        && !header.checksum
        && header.sequence.is_none()
        && key >> 8 >= FIRST_SUBNET
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    #[test]
    fn every_optional_field() {
        let (frame, ends) = (inner_frame(), "172.16.0.1>172.16.0.2");
        holds_when_cut(
            &over_gre(&[0, 0, 0x65, 0x58], &frame),
            &frame,
            &format!("gre {ends}"),
        );
        holds_when_cut(
            &over_gre(&[0x80, 0, 0x65, 0x58, 1, 2, 0, 0], &frame),
            &frame,
            &format!("gre {ends}"),
        );
        let all = [0xb0, 0, 0x65, 0x58, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9];
        holds_when_cut(&over_gre(&all, &frame), &frame, &format!("gre 5 {ends}"));
    }

    #[test]
    fn ip_of_both_versions_and_mpls() {
        let ends = "172.16.0.1>172.16.0.2";
        holds_when_cut(
            &over_gre(&[0, 0, 8, 0], &inner_ip()),
            &inner_ip(),
            &format!("gre {ends}"),
        );
        let six = ipv6(58, &[128, 0, 0, 0]);
        holds_when_cut(
            &over_gre(&[0, 0, 0x86, 0xdd], &six),
            &six,
            &format!("gre {ends}"),
        );
        let labelled = [&[0, 1, 0xf1, 64][..], &inner_ip()].concat();
        holds_when_cut(
            &over_gre(&[0, 0, 0x88, 0x47], &labelled),
            &inner_ip(),
            &format!("gre {ends} / mpls 31 {ends}"),
        );
    }

    #[test]
    fn a_large_key_around_ethernet_is_a_virtual_subnet() {
        let head = [0x20, 0, 0x65, 0x58, 0x12, 0x34, 0x56, 2];
        holds_when_cut(
            &over_gre(&head, &inner_frame()),
            &inner_frame(),
            "nvgre 1193046 172.16.0.1>172.16.0.2",
        );
    }

    #[test]
    fn pptp_carries_ppp() {
        let head = [
            0x30, 0x81, 0x88, 0x0b, 0, 48, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0x21,
        ];
        holds_when_cut(
            &over_gre(&head, &inner_ip()),
            &inner_ip(),
            "pptp 6 172.16.0.1>172.16.0.2",
        );
    }

    #[test]
    fn what_cannot_be_followed_stays() {
        let routed = over_gre(&[0x40, 0, 8, 0, 0, 0, 0, 0], &inner_ip());
        assert_eq!(
            (unwrap(&routed).fault(), unwrap(&routed).frame),
            (Fault::Flags(0x4000), routed)
        );
        let keepalive = over_gre(&[0, 0, 8, 0], &ipv4(47, &[0, 0, 0, 0]));
        let seen = unwrap(&keepalive);
        assert_eq!(
            (seen.fault(), seen.frame),
            (Fault::Protocol(0), ipv4(47, &[0, 0, 0, 0]))
        );
    }

    #[test]
    fn in_gre_in_gre_until_the_depth_limit() {
        let mut packet = inner_ip();
        for _ in 0..9 {
            packet = ipv4(47, &[&[0, 0, 8, 0][..], &packet].concat());
        }
        let seen = unwrap(&ethernet(0x0800, &packet));
        assert_eq!(
            (seen.fault(), seen.frame),
            (
                Fault::Depth(8),
                ipv4(47, &[&[0, 0, 8, 0][..], &inner_ip()].concat())
            )
        );
    }
}
