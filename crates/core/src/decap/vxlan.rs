//! VXLAN (RFC 7348) and VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::{nsh, Inside};
use crate::wire::vxlan::{Vxlan, LEN};

#[inline]
pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Vxlan::read(span.bytes())?;
    walk.wrap(Kind::Vxlan, header.vni())?;
    span.skip(LEN)?.ethernet()
}

pub(super) fn generic<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Vxlan::read_generic(span.bytes())?;
    walk.wrap(Kind::VxlanGpe, header.vni())?;
    let inside = span.skip(LEN)?;
    match header.next_protocol() {
        None => inside.ethernet(),
        Some(next) => nsh::next(walk, next, inside),
    }
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::decap::Options;
    use crate::wire::Fault;

    fn vxlan(frame: &[u8]) -> Vec<u8> {
        [&[0x08, 0, 0, 0, 0, 0x13, 0x89, 0][..], frame].concat()
    }

    #[test]
    fn both_usual_ports_and_chosen_ones() {
        let frame = inner_frame();
        for port in [4789, 8472] {
            holds_when_cut(
                &over_udp(port, &vxlan(&frame)),
                &frame,
                "vxlan 5001 172.16.0.1>172.16.0.2",
            );
        }
        let odd = over_udp(5555, &vxlan(&frame));
        holds(&odd, &odd, "");
        let options = Options {
            vxlan: vec![5555],
            ..Options::default()
        };
        assert_eq!(unwrap_with(&options, 1, &odd, odd.len()).frame, frame);
    }

    #[test]
    fn over_ipv6_with_extension_headers_and_behind_two_tags() {
        let frame = inner_frame();
        let options = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp(4789, &vxlan(&frame))].concat();
        let tagged = [&[0, 9, 0x81, 0, 0, 7, 0x86, 0xdd][..], &ipv6(60, &options)].concat();
        holds_when_cut(
            &ethernet(0x88a8, &tagged),
            &frame,
            "vxlan 5001 fd00::1>fd00::2",
        );
    }

    #[test]
    fn padding_and_checksum_of_the_outer_frame_do_not_leak_in() {
        let frame = inner_frame();
        let padded = [over_udp(4789, &vxlan(&frame)), vec![0xee; 22]].concat();
        holds(&padded, &frame, "vxlan 5001 172.16.0.1>172.16.0.2");
        assert_eq!(unwrap(&padded).wire, frame.len());
    }

    #[test]
    fn the_length_on_the_wire_is_kept_when_the_capture_is_cut() {
        let frame = inner_frame();
        let packet = over_udp(4789, &vxlan(&frame));
        let seen = unwrap_with(&Options::default(), 1, &packet[..80], packet.len() + 4);
        assert_eq!((seen.frame.len(), seen.wire), (30, frame.len()));
    }

    #[test]
    fn a_first_fragment_holds_the_beginning_and_a_later_one_stays() {
        let frame = inner_frame();
        let datagram = udp(4789, &vxlan(&frame));
        let mut first = ethernet(0x0800, &ipv4(17, &datagram[..40]));
        first[20] = 0x20;
        let seen = unwrap(&first);
        assert_eq!((&seen.frame[..], seen.wire), (&frame[..24], frame.len()));
        let mut later = ethernet(0x0800, &ipv4(17, &datagram[40..]));
        later[21] = 5;
        assert_eq!(
            (unwrap(&later).fault(), unwrap(&later).frame),
            (Fault::Fragment(40), later)
        );
    }

    #[test]
    fn without_a_vni_it_is_something_else() {
        let packet = over_udp(4789, &[&[0; 8][..], &inner_frame()].concat());
        let seen = unwrap(&packet);
        assert_eq!(
            (seen.fault(), seen.frame, seen.stuck.unwrap().offset),
            (Fault::Flags(0), packet, 42)
        );
    }

    #[test]
    fn generic_with_every_next_protocol() {
        let generic = |flags, next, payload: &[u8]| {
            over_udp(
                4790,
                &[&[flags, 0, 0, next, 0, 0, 7, 0][..], payload].concat(),
            )
        };
        let name = "vxlan-gpe 7 172.16.0.1>172.16.0.2";
        holds_when_cut(&generic(0x0c, 3, &inner_frame()), &inner_frame(), name);
        holds_when_cut(&generic(0x0c, 1, &inner_ip()), &inner_ip(), name);
        holds_when_cut(&generic(0x08, 0, &inner_frame()), &inner_frame(), name);
        let nsh = [&[0, 2, 2, 3, 0, 0, 9, 255][..], &inner_frame()].concat();
        holds_when_cut(
            &generic(0x0c, 4, &nsh),
            &inner_frame(),
            &format!("{name} / nsh 9 172.16.0.1>172.16.0.2"),
        );
        assert_eq!(unwrap(&generic(0x0c, 7, &nsh)).fault(), Fault::Protocol(7));
        assert_eq!(unwrap(&generic(0x1c, 3, &nsh)).fault(), Fault::Version(1));
    }
}
