//! ERSPAN type I, II and III (draft-foschiano-erspan-03).

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::erspan::{Type2, Type3};
use crate::wire::Fault;

/// Types I and II are told apart by the S bit of GRE: type I has no header, and its first bytes are an address.
pub(super) fn type_1_or_2<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    if walk.marks.sequence.is_none() {
        walk.wrap(Kind::Erspan1, None)?;
        return span.ethernet();
    }
    let header = Type2::read(span.bytes())?;
    walk.wrap_indexed(
        Kind::Erspan2,
        Some(header.session().into()),
        Some(header.index()),
    )?;
    span.skip(Type2::LEN)?.ethernet()
}

pub(super) fn type_3<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Type3::read(span.bytes())?;
    walk.wrap(Kind::Erspan3, Some(header.session().into()))?;
    let inside = span.skip(header.header_len())?;
    let frame = match header.frame_type() {
        0 => inside.ethernet(),
        2 => inside.ip(),
        other => Err(Fault::Protocol(other.into())),
    }?;
    walk.marks.direction = Some(header.direction());
    walk.marks.timestamp = Some((header.timestamp(), header.granularity()));
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::decap::{Decap, Options};
    use crate::wire::erspan::Direction;
    use crate::wire::Fault;

    const II: [u8; 16] = [
        0x10, 0, 0x88, 0xbe, 0, 0, 0, 3, 0x10, 1, 0x10, 100, 0, 0, 0, 5,
    ];
    const III: [u8; 20] = [
        0x10, 0, 0x22, 0xeb, 0, 0, 0, 3, 0x20, 1, 0, 101, 0, 0, 0, 9, 0, 0, 0x80, 0x0a,
    ];

    #[test]
    fn type_1_has_no_header_even_where_the_address_looks_like_one() {
        let mut frame = inner_frame();
        frame[0] = 0x10;
        holds_when_cut(
            &over_gre(&[0, 0, 0x88, 0xbe], &frame),
            &frame,
            "erspan1 172.16.0.1>172.16.0.2",
        );
    }

    #[test]
    fn type_2() {
        let name = "erspan2 100 index 5 172.16.0.1>172.16.0.2";
        holds_when_cut(&over_gre(&II, &inner_frame()), &inner_frame(), name);
        let mut wrong = II;
        wrong[8] = 0x30;
        let packet = over_gre(&wrong, &inner_frame());
        assert_eq!(
            (unwrap(&packet).fault(), unwrap(&packet).frame),
            (Fault::Version(3), packet)
        );
    }

    #[test]
    fn type_3_with_and_without_subheader() {
        let name = "erspan3 101 172.16.0.1>172.16.0.2";
        holds_when_cut(&over_gre(&III, &inner_frame()), &inner_frame(), name);
        let mut longer = [&III[..], &[0xee; 8]].concat();
        longer[19] |= 1;
        holds_when_cut(&over_gre(&longer, &inner_frame()), &inner_frame(), name);
    }

    #[test]
    fn type_3_may_carry_ip_and_other_things() {
        let mut carries = III;
        carries[18] = 2 << 2;
        holds_when_cut(
            &over_gre(&carries, &inner_ip()),
            &inner_ip(),
            "erspan3 101 172.16.0.1>172.16.0.2",
        );
        carries[18] = 7 << 2;
        assert_eq!(
            unwrap(&over_gre(&carries, &inner_ip())).fault(),
            Fault::Protocol(7)
        );
    }

    #[test]
    fn what_type_3_says_of_the_packet_is_told() {
        let mut decap = Decap::new(&Options::default());
        let packet = over_gre(&III, &inner_frame());
        let marks = *decap.unwrap(1, &packet, packet.len() as u32).marks;
        assert_eq!(marks.direction, Some(Direction::Egress));
        assert_eq!((marks.timestamp, marks.sequence), (Some((9, 1)), Some(3)));
        let plain = inner_frame();
        assert_eq!(
            decap.unwrap(1, &plain, plain.len() as u32).marks.direction,
            None
        );
    }

    #[test]
    fn vxlan_inside() {
        let vxlan = over_udp(
            4789,
            &[&[8, 0, 0, 0, 0, 0, 9, 0][..], &inner_frame()].concat(),
        );
        let name = "erspan2 100 index 5 172.16.0.1>172.16.0.2 / vxlan 9 172.16.0.1>172.16.0.2";
        holds_when_cut(&over_gre(&II, &vxlan), &inner_frame(), name);
    }
}
