//! From a frame in a ring to a packet of the file: judged, unwrapped, told whose it is.

use crate::account::Written;
use crate::body::{tag_bytes, Body};
use crate::bpf::Beside;
use crate::collect::{Sessions, Strangers};
use crate::decap::{self, Decap, Unwrapped};
use crate::frame::{Direction, Frame};
use crate::out::Out;
use crate::pcapng::{Interface, Packet, ETHERNET};
use crate::source::{Role, Source, Spec};
use crate::sources::Sources;
use crate::wire::erspan;

/// Makes packets of frames.
pub struct Composer {
    /// What takes the packets of each source out of their wrapping, where that is asked for.
    decaps: Vec<Option<Decap>>,
    /// The mirrors among them.
    pub sessions: Sessions,
    /// Senders nobody named.
    pub strangers: Strangers,
    snaplen: usize,
}

impl Composer {
    /// For packets of `sources`, cut to `snaplen`.
    pub fn new(sources: &Sources, sessions: Sessions, snaplen: u32) -> Self {
        let unwrap = |source: &Source| source.spec().unwrap.as_ref().map(Decap::new);
        Self {
            decaps: sources.iter().map(unwrap).collect(),
            sessions,
            strangers: Strangers::default(),
            snaplen: snaplen as usize,
        }
    }

    /// Hand one frame of a source to `out`, with a `comment` or none; `None` when it is not to be kept.
    pub fn pass(
        &mut self,
        number: u16,
        source: &Source,
        frame: &Frame<'_>,
        comment: &str,
        out: &mut Out,
    ) -> Option<Written> {
        let spec = source.spec();
        if spec.role == Role::Strange {
            self.strangers.count(frame.data);
            return None;
        }
        let sources = self.decaps.len() as u32;
        let decap = self.decaps[usize::from(number)].as_mut();
        let found = decap.map(|decap| decap.unwrap(ETHERNET, frame.data, frame.length));
        let asked = found.is_some();
        let found = found.filter(|found| !found.wrappings.is_empty());
        if !admits(spec, frame, found.as_ref().map(|found| &found.frame)) {
            return None;
        }
        let tag = tag_bytes(frame).filter(|_| keeps_tag(spec.role));
        let body = match &found {
            Some(found) => Body::inner(&found.frame, self.snaplen),
            None => Body::whole(frame, tag.as_ref(), self.snaplen),
        };
        let mut packet = Packet {
            interface: number.into(),
            time: frame.time,
            length: body.length,
            flags: way(spec, frame),
            dropped: source.untold(),
            data: body.data,
            comment,
        };
        if let (Some(found), Role::Mirrored { filtered }) = (&found, spec.role) {
            let new = assign(&mut packet, &mut self.sessions, found, filtered, sources);
            if let Some(new) = new {
                out.describe(&like(new, &spec.interface));
            }
        }
        out.push(&packet);
        Some(Written {
            time: frame.time,
            captured: body.captured(),
            wanted: self.snaplen.min(body.length as usize),
            length: body.length,
            still_wrapped: asked && found.is_none(),
        })
    }
}

/// Give a mirrored packet to its session; the session's interface when it is a new one.
fn assign(
    packet: &mut Packet<'_>,
    sessions: &mut Sessions,
    found: &Unwrapped<'_, '_>,
    filtered: bool,
    sources: u32,
) -> Option<Interface> {
    let sequence = found.marks.sequence.filter(|_| !filtered);
    packet.flags = passing(found.marks.direction);
    let (session, new) = sessions.find(packet.interface, found.wrappings)?;
    packet.interface = sources + session;
    let missing = sessions.count(session, packet.time, packet.length, sequence);
    if sequence.is_some() {
        packet.dropped = missing.into();
    }
    new
}

/// Whether the part of the filter that the kernel does not run lets the packet pass, or where that is asked for
/// the frame `inside`.
#[inline]
fn admits(spec: &Spec, frame: &Frame<'_>, inside: Option<&decap::Frame<'_>>) -> bool {
    let Some(judge) = &spec.judge else {
        return true;
    };
    if let Some(inside) = inside.filter(|_| spec.judges_inside) {
        return judge.run(inside.span.bytes(), inside.span.wire() as u32) > 0;
    }
    let beside = Beside {
        protocol: frame.ethertype(),
        kind: frame.kind(),
        device: spec.index,
        vlan: frame.tag,
        network: 14,
    };
    judge.run_with(frame.data, frame.length, &beside) > 0
}

/// Whether the tag that the kernel took out of the frame belongs into the file.
fn keeps_tag(role: Role) -> bool {
    !matches!(role, Role::Tagged | Role::Copied { tagged: true })
}

/// Which way a packet goes, as the VM sees it; 0 where that is not known, as of a mirror.
#[inline]
fn way(spec: &Spec, frame: &Frame<'_>) -> u32 {
    match spec.role {
        Role::Copied { .. } => way_by_address(spec.interface.mac, frame.data),
        Role::Seen if frame.outgoing == spec.outgoing_is_to_vm => Direction::Inbound as u32,
        Role::Seen => Direction::Outbound as u32,
        _ => 0,
    }
}

/// Which way a copied frame goes: from the VM where that is its source, to the VM where that is its destination or
/// everybody's; 0 of others, as of the VMs inside of a VM.
fn way_by_address(vnic: Option<[u8; 6]>, frame: &[u8]) -> u32 {
    let (Some(vnic), Some(ends)) = (vnic, frame.first_chunk::<12>()) else {
        return 0;
    };
    if ends[6..] == vnic {
        Direction::Outbound as u32
    } else if ends[..6] == vnic || ends[0] & 1 == 1 {
        Direction::Inbound as u32
    } else {
        0
    }
}

/// Which way a mirrored packet passed its port; 0 where the mirror does not say.
fn passing(direction: Option<erspan::Direction>) -> u32 {
    match direction {
        Some(erspan::Direction::Ingress) => Direction::Inbound as u32,
        Some(erspan::Direction::Egress) => Direction::Outbound as u32,
        None => 0,
    }
}

/// A session's interface, with what it has in common with the one its packets came by.
fn like(new: Interface, source: &Interface) -> Interface {
    Interface {
        snaplen: source.snaplen,
        filter: source.filter.clone(),
        os: source.os.clone(),
        ..new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: [u8; 6] = [2, 0, 0, 0, 0, 10];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 11];
    const THIRD: [u8; 6] = [2, 0, 0, 0, 0, 12];
    const EVERYBODY: [u8; 6] = [0xff; 6];

    fn way_of(vnic: Option<[u8; 6]>, to: [u8; 6], from: [u8; 6]) -> u32 {
        way_by_address(vnic, &[to.as_slice(), from.as_slice(), &[8, 0]].concat())
    }

    #[test]
    fn addresses_tell_the_way_of_a_copied_frame() {
        let (inbound, outbound) = (Direction::Inbound as u32, Direction::Outbound as u32);
        assert_eq!(way_of(Some(VM), OTHER, VM), outbound);
        assert_eq!(way_of(Some(VM), EVERYBODY, VM), outbound);
        assert_eq!(way_of(Some(VM), VM, OTHER), inbound);
        assert_eq!(way_of(Some(VM), EVERYBODY, OTHER), inbound);
        assert_eq!(way_of(Some(VM), THIRD, OTHER), 0);
        assert_eq!(way_of(None, VM, OTHER), 0);
        assert_eq!(way_by_address(Some(VM), &VM), 0);
    }
}
