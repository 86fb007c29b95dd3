//! Geneve (RFC 8926), with Ethernet, IP or anything else that has an EtherType inside.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::geneve::Geneve;

#[inline]
pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Geneve::read(span.bytes())?;
    walk.wrap(Kind::Geneve, Some(header.vni()))?;
    walk.carried(header.protocol(), span.skip(header.header_len())?)
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::decap::FrameKind;
    use crate::wire::Fault;

    fn geneve(options: usize, protocol: [u8; 2], payload: &[u8]) -> Vec<u8> {
        let head = [(options / 4) as u8, 0, protocol[0], protocol[1], 0, 0, 7, 0];
        over_udp(6081, &[&head[..], &vec![0xee; options], payload].concat())
    }

    #[test]
    fn options_of_any_length() {
        for options in [0, 4, 12, 252] {
            let packet = geneve(options, [0x65, 0x58], &inner_frame());
            holds_when_cut(&packet, &inner_frame(), "geneve 7 172.16.0.1>172.16.0.2");
        }
    }

    #[test]
    fn ip_inside_is_a_frame_without_a_link_layer() {
        let packet = geneve(8, [8, 0], &inner_ip());
        holds_when_cut(&packet, &inner_ip(), "geneve 7 172.16.0.1>172.16.0.2");
        assert_eq!(unwrap(&packet).kind, FrameKind::Ip);
    }

    #[test]
    fn vxlan_inside_as_a_gateway_load_balancer_delivers_it() {
        let vxlan = [&[8, 0, 0, 0, 0, 0, 9, 0][..], &inner_frame()].concat();
        let packet = geneve(32, [8, 0], &ipv4(17, &udp(4789, &vxlan)));
        let name = "geneve 7 172.16.0.1>172.16.0.2 / vxlan 9 172.16.0.1>172.16.0.2";
        holds_when_cut(&packet, &inner_frame(), name);
    }

    #[test]
    fn control_packets_stay() {
        let packet = geneve(0, [0, 0], &[]);
        assert_eq!(
            (unwrap(&packet).fault(), unwrap(&packet).frame),
            (Fault::Protocol(0), packet)
        );
    }
}
