//! The flow a frame belongs to, the same for both directions.

use std::fmt;

use crate::decap::{Frame, FrameKind};
use crate::wire::cooked;
use crate::wire::ethernet::{ethertype, Ethernet};
use crate::wire::ip::{protocol, Addresses, Fragment, Ip};

/// Protocol, and both ends in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    protocol: u8,
    ends: Addresses,
    ports: (u16, u16),
}

impl Flow {
    /// The flow of a frame; None for what is no IP.
    pub fn of(frame: &Frame<'_>) -> Option<Self> {
        let span = frame.span;
        let skip = match frame.kind {
            FrameKind::Ethernet => {
                let header = Ethernet::read(span.bytes()).ok()?;
                is_ip(header.ethertype()).then_some(header.header_len())?
            }
            FrameKind::Ip => 0,
            FrameKind::Link(link) => {
                let header = cooked::read(link, span.bytes())?.ok()?;
                is_ip(header.ethertype).then_some(header.len)?
            }
        };
        Self::of_ip(span.bytes().get(skip..)?)
    }

    fn of_ip(bytes: &[u8]) -> Option<Self> {
        let header = Ip::read(bytes).ok()?;
        let has_ports = matches!(
            header.protocol,
            protocol::TCP | protocol::UDP | protocol::SCTP
        );
        let later = matches!(header.fragment, Fragment::Later(_));
        let ports = bytes
            .get(header.header..)
            .and_then(|rest| rest.first_chunk::<4>());
        let ports = ports
            .filter(|_| has_ports && !later)
            .map_or((0, 0), |&[a, b, c, d]| {
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            });
        Some(
            Self {
                protocol: header.protocol,
                ends: header.addresses,
                ports,
            }
            .ordered(),
        )
    }

    fn ordered(self) -> Self {
        let (source, destination) = self.ends.pair();
        if (source, self.ports.0) <= (destination, self.ports.1) {
            return self;
        }
        let ends = match self.ends {
            Addresses::V4(source, destination) => Addresses::V4(destination, source),
            Addresses::V6(source, destination) => Addresses::V6(destination, source),
        };
        Self {
            ends,
            ports: (self.ports.1, self.ports.0),
            ..self
        }
    }
}

const fn is_ip(number: u16) -> bool {
    matches!(number, ethertype::IPV4 | ethertype::IPV6)
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, other) = self.ends.pair();
        match self.protocol {
            protocol::TCP => write!(f, "tcp")?,
            protocol::UDP => write!(f, "udp")?,
            protocol::SCTP => write!(f, "sctp")?,
            1 | 58 => write!(f, "icmp")?,
            other => write!(f, "ip{other}")?,
        }
        match self.ports {
            (0, 0) => write!(f, "_{one}_{other}"),
            (port, another) => write!(f, "_{one}_{port}_{other}_{another}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::Span;

    #[test]
    fn both_directions_are_one_flow() {
        let mut packet = [0_u8; 28];
        packet[..4].copy_from_slice(&[0x45, 0, 0, 28]);
        packet[9] = 17;
        packet[12..20].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        packet[20..24].copy_from_slice(&[0, 53, 0x9c, 0x40]);
        let mut back = packet;
        back[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        back[20..24].copy_from_slice(&[0x9c, 0x40, 0, 53]);
        let flow = |bytes| {
            Flow::of(&Frame {
                kind: FrameKind::Ip,
                span: Span::new(bytes, 28),
            })
            .unwrap()
        };
        assert_eq!(flow(&packet), flow(&back));
        assert_eq!(flow(&packet).to_string(), "udp_10.0.0.1_40000_10.0.0.2_53");
    }
}
