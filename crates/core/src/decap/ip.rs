//! IP: the way into every tunnel that is carried by it, and IP in IP (RFC 2003, 2473, 4213).

use super::frame::Frame;
use super::kind::Kind;
use super::span::Span;
use super::table::{self, Ports};
use super::walk::Walk;
use super::Inside;
use crate::wire::ip::{protocol, Fragment, Ip};
use crate::wire::udp::{self, Udp};
use crate::wire::Fault;

/// The frame that an IP packet carries, None when it carries none.
#[inline]
pub(super) fn payload<'a>(
    walk: &mut Walk,
    span: Span<'a>,
    ports: &Ports,
) -> Result<Option<Frame<'a>>, Fault> {
    if Ip::is_tcp(span.bytes()) {
        return Ok(None);
    }
    walk.enter(Kind::Ip, &span);
    let header = Ip::read(span.bytes())?;
    walk.carried_by(header.addresses);
    let row = match header.protocol {
        protocol::TCP => return Ok(None),
        protocol::UDP => None,
        other => match table::of_ip_protocol(other) {
            Some(row) => Some(row),
            None => return Ok(None),
        },
    };
    if let Fragment::Later(offset) = header.fragment {
        return Err(Fault::Fragment(offset));
    }
    let inside = span.limit_to(header.total).skip(header.header)?;
    match row {
        Some(row) => walk.open(row.kind, row.open, inside).map(Some),
        None => datagram(walk, inside, header.fragment, ports),
    }
}

/// The frame in a UDP datagram whose port is in the table.
#[inline]
fn datagram<'a>(
    walk: &mut Walk,
    span: Span<'a>,
    fragment: Fragment,
    ports: &Ports,
) -> Result<Option<Frame<'a>>, Fault> {
    walk.enter(Kind::Udp, &span);
    let header = Udp::read(span.bytes())?;
    let Some((kind, open)) = ports.find(header.source, header.destination) else {
        return Ok(None);
    };
    let whole = match fragment {
        Fragment::First => span.limit_whole(header.total),
        _ => span.limit_to(header.total),
    };
    walk.open(kind, open, whole.skip(udp::LEN)?).map(Some)
}

/// An IP packet is the payload of an IP packet.
pub(super) fn ipip<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    walk.wrap(Kind::IpIp, None)?;
    span.ip()
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::decap::{FrameKind, Options};
    use crate::wire::Fault;

    #[test]
    fn all_four_nestings() {
        let (four, six) = (inner_ip(), ipv6(58, &[128, 0, 0, 0]));
        holds_when_cut(
            &ethernet(0x0800, &ipv4(4, &four)),
            &four,
            "ipip 172.16.0.1>172.16.0.2",
        );
        holds_when_cut(
            &ethernet(0x0800, &ipv4(41, &six)),
            &six,
            "ipip 172.16.0.1>172.16.0.2",
        );
        holds_when_cut(
            &ethernet(0x86dd, &ipv6(4, &four)),
            &four,
            "ipip fd00::1>fd00::2",
        );
        holds_when_cut(
            &ethernet(0x86dd, &ipv6(41, &six)),
            &six,
            "ipip fd00::1>fd00::2",
        );
    }

    #[test]
    fn what_is_in_no_tunnel_stays_as_it_is() {
        for packet in [
            inner_frame(),
            ethernet(0x0806, &[0; 28]),
            ethernet(38, &[0x42; 38]),
            ethernet(0x0800, &ipv4(6, &[0; 20])),
        ] {
            holds(&packet, &packet, "");
        }
    }

    #[test]
    fn the_padding_of_a_plain_frame_is_kept() {
        let packet = [inner_frame(), vec![0; 8]].concat();
        holds(&packet, &packet, "");
    }

    #[test]
    fn a_wrong_version_inside_stays_inside() {
        let packet = ethernet(0x0800, &ipv4(4, &[0x55; 20]));
        assert_eq!(
            (unwrap(&packet).fault(), unwrap(&packet).frame),
            (Fault::Version(5), packet)
        );
    }

    #[test]
    fn raw_and_cooked_captures() {
        let inside = ipv4(4, &inner_ip());
        let cooked = [
            &[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..],
            &inside,
        ]
        .concat();
        let loopback = [&[2, 0, 0, 0][..], &inside].concat();
        for (link, packet) in [
            (101, &inside),
            (12, &inside),
            (228, &inside),
            (113, &cooked),
            (0, &loopback),
            (108, &loopback),
        ] {
            let seen = unwrap_with(&Options::default(), link, packet, packet.len());
            assert_eq!(
                (seen.frame, seen.kind),
                (inner_ip(), FrameKind::Ip),
                "link type {link}"
            );
        }
        let unknown = unwrap_with(&Options::default(), 195, &inside, inside.len());
        assert_eq!(
            (unknown.frame, unknown.kind),
            (inside, FrameKind::Link(195))
        );
    }

    #[test]
    fn an_offloaded_packet_of_no_length_is_kept_whole() {
        let mut packet = ethernet(0x0800, &ipv4(4, &inner_ip()));
        packet[16..18].copy_from_slice(&[0, 0]);
        holds(&packet, &inner_ip(), "ipip 172.16.0.1>172.16.0.2");
    }
}
