//! Packets for tests, built layer by layer from the inside out.

use super::{Decap, FrameKind, Name, Options, Stuck};
use crate::wire::Fault;

/// What unwrapping made of a packet, without borrowing anything.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub frame: Vec<u8>,
    pub kind: FrameKind,
    pub name: String,
    pub wire: usize,
    pub stuck: Option<Stuck>,
}

impl Seen {
    /// The innermost fault; panics when there was none.
    pub fn fault(&self) -> Fault {
        self.stuck.unwrap().fault
    }
}

/// Unwrap an Ethernet packet under the default options.
pub(super) fn unwrap(packet: &[u8]) -> Seen {
    unwrap_with(&Options::default(), 1, packet, packet.len())
}

pub(super) fn unwrap_with(options: &Options, link: u16, packet: &[u8], wire: usize) -> Seen {
    let mut decap = Decap::new(options);
    let found = decap.unwrap(link, packet, wire as u32);
    Seen {
        frame: found.frame.span.bytes().to_vec(),
        kind: found.frame.kind,
        name: Name(found.wrappings).to_string(),
        wire: found.frame.span.wire(),
        stuck: found.stuck,
    }
}

/// Assert that `packet` holds `frame`, byte by byte, inside layers called `name`.
pub(super) fn holds(packet: &[u8], frame: &[u8], name: &str) {
    let seen = unwrap(packet);
    assert_eq!(
        (seen.name.as_str(), &seen.frame[..], seen.stuck),
        (name, frame, None)
    );
}

/// As `holds`; then cut the packet at every length: never another frame than the beginning of the right one.
pub(super) fn holds_when_cut(packet: &[u8], frame: &[u8], name: &str) {
    holds(packet, frame, name);
    for length in 0..packet.len() {
        let seen = unwrap_with(&Options::default(), 1, &packet[..length], packet.len());
        assert!(
            frame.starts_with(&seen.frame)
                || packet.starts_with(&seen.frame)
                || seen.stuck.is_some_and(|s| s.cut),
            "cut at {length}: {seen:?}"
        );
    }
}

pub(super) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..],
        &ethertype.to_be_bytes(),
        payload,
    ]
    .concat()
}

pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut packet = vec![
        0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 172, 16, 0, 1, 172, 16, 0, 2,
    ];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend(payload);
    packet
}

pub(super) fn udp(destination: u16, payload: &[u8]) -> Vec<u8> {
    let total = (8 + payload.len()) as u16;
    [
        &40000_u16.to_be_bytes()[..],
        &destination.to_be_bytes(),
        &total.to_be_bytes(),
        &[0, 0],
        payload,
    ]
    .concat()
}

/// An IPv4 packet around UDP, in an Ethernet frame.
pub(super) fn over_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(port, payload)))
}

/// An IPv4 packet around GRE, in an Ethernet frame.
pub(super) fn over_gre(header: &[u8], payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(47, &[header, payload].concat()))
}

/// An IP packet as a VM might send it.
pub(super) fn inner_ip() -> Vec<u8> {
    let mut packet = ipv4(17, &udp(53, b"a question"));
    packet[12..20].copy_from_slice(&[10, 0, 0, 5, 10, 0, 0, 6]);
    packet
}

/// An Ethernet frame as a VM might send it.
pub(super) fn inner_frame() -> Vec<u8> {
    let mut frame = ethernet(0x0800, &inner_ip());
    frame[..12].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 6, 0x52, 0x54, 0, 0, 0, 5]);
    frame
}
