//! `decap`: the innermost frames of captures, and what was around them.

use std::path::PathBuf;

use super::carry::{About, Carry};
use super::dress::{dress, Dressed, RawIp};
use super::error::OfflineError;
use super::progress::Progress;
use super::pump::{pump, whole, At, Go, Pumped, Verb};
use super::report::{Reasons, StuckReport, Totals};
use super::wrapped::{Place, Wrapped};
use crate::decap::{Decap, Frame, FrameKind, Kind, Marks, Options, Span};
use crate::pcapng::CopiedPacket;
use crate::read::{code, each_option, put_option, Inputs, Item, Origin, Packet};
use crate::wire::erspan::Direction;
use crate::write::{Creation, WriteError};

/// What to unwrap, into what, and how.
#[derive(Clone, Debug)]
pub struct DecapJob {
    /// Files to read; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// File to write; `-` is standard output.
    pub output: PathBuf,
    /// How to make it.
    pub creation: Creation,
    /// Depth and ports.
    pub options: Options,
    /// What packets without a link layer become; None chooses what the output can hold.
    pub raw_ip: Option<RawIp>,
    /// What the output says of itself.
    pub about: About,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct DecapReport {
    /// Inputs and outputs.
    pub totals: Totals,
    /// Packets that had something taken off.
    pub unwrapped: u64,
    /// Layers taken off, by kind.
    pub layers: Vec<(&'static str, u64)>,
    /// Layers that could not be taken off.
    pub stuck: Vec<StuckReport>,
    /// Distinct wrappings; None when they were too many to tell apart.
    pub wrappings: Option<usize>,
}

impl DecapJob {
    /// Do it.
    pub fn run(&self, progress: &Progress) -> Result<DecapReport, OfflineError> {
        let mut work = Work::new(self)?;
        let (pumped, inputs) = pump(&self.inputs, progress, &mut work)?;
        work.finish(pumped, &inputs)
    }
}

struct Work {
    carry: Carry,
    decap: Decap,
    raw_ip: RawIp,
    uniform: bool,
    wrapped: Wrapped,
    reasons: Reasons,
    layers: [u64; Kind::ALL.len()],
    unwrapped: u64,
    options: Vec<u8>,
}

impl Work {
    fn new(job: &DecapJob) -> Result<Self, WriteError> {
        let carry = Carry::create(&job.output, job.creation, &job.about)?;
        let uniform = carry.writer.layout().pcap;
        let usual = if uniform { RawIp::Ethernet } else { RawIp::Raw };
        Ok(Self {
            carry,
            decap: Decap::new(&job.options),
            raw_ip: job.raw_ip.unwrap_or(usual),
            uniform,
            wrapped: Wrapped::new(),
            reasons: Reasons::default(),
            layers: [0; Kind::ALL.len()],
            unwrapped: 0,
            options: Vec::new(),
        })
    }

    /// A packet that is in no tunnel stays what it is, unless the output can hold only Ethernet.
    #[inline]
    fn plain(&mut self, at: &At<'_>, packet: &Packet<'_>, link: u16) -> Result<(), WriteError> {
        let frame = Frame {
            kind: FrameKind::of_link(link),
            span: Span::new(packet.data, packet.wire as usize),
        };
        let dressed = if self.uniform {
            dress(&frame, self.raw_ip, true)
        } else {
            Dressed::plain(&frame)
        };
        let interface = if dressed.header.is_none() {
            self.carry
                .interface(at.inputs, at.origin, packet.interface)?
        } else {
            let place = Place {
                origin: (at.origin, packet.interface),
                link: dressed.link,
                stack: &[],
            };
            self.wrapped.number(&mut self.carry, at.inputs, &place)?
        };
        self.carry
            .writer
            .packet(&copied(packet, interface, &dressed, packet.options))
    }

    fn finish(mut self, pumped: Pumped, inputs: &Inputs) -> Result<DecapReport, OfflineError> {
        self.carry.begin(inputs)?;
        let layers = Kind::ALL
            .iter()
            .zip(self.layers)
            .filter(|(_, count)| *count > 0);
        Ok(DecapReport {
            unwrapped: self.unwrapped,
            layers: layers.map(|(kind, count)| (kind.name(), count)).collect(),
            stuck: self.reasons.report(),
            wrappings: self.wrapped.count(),
            totals: self.carry.finish(pumped.packets, pumped)?,
        })
    }
}

impl Verb for Work {
    #[inline]
    fn packet(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Result<Go, WriteError> {
        let Some(interface) = at.interface(packet) else {
            return Ok(Go::On);
        };
        let (data, wire) = whole(packet, interface);
        let found = self.decap.unwrap(interface.link, data, wire);
        if let Some(stuck) = found.stuck {
            self.reasons.count(at.number, stuck);
        }
        if found.wrappings.is_empty() {
            let link = interface.link;
            return self.plain(at, packet, link).map(|()| Go::On);
        }
        self.unwrapped += 1;
        for wrapping in found.wrappings {
            if let Some(count) = self.layers.get_mut(wrapping.kind as usize) {
                *count += 1;
            }
        }
        let dressed = dress(&found.frame, self.raw_ip, self.uniform);
        let place = Place {
            origin: (at.origin, packet.interface),
            link: dressed.link,
            stack: found.wrappings,
        };
        let number = self.wrapped.number(&mut self.carry, at.inputs, &place)?;
        if !packet.options.is_empty() || found.marks.direction.is_some() {
            inner_options(&mut self.options, packet.options, found.marks);
        }
        let written = self
            .carry
            .writer
            .packet(&copied(packet, number, &dressed, &self.options));
        self.options.clear();
        written.map(|()| Go::On)
    }

    fn other(
        &mut self,
        inputs: &Inputs,
        origin: Origin,
        item: &Item<'_>,
    ) -> Result<(), WriteError> {
        self.carry.other(inputs, origin, item)
    }

    fn output(&mut self) -> Option<&mut Carry> {
        Some(&mut self.carry)
    }
}

#[inline]
fn copied<'a>(
    packet: &Packet<'_>,
    interface: u32,
    dressed: &'a Dressed<'_>,
    options: &'a [u8],
) -> CopiedPacket<'a> {
    let (time, wire) = (packet.time.unwrap_or(0), dressed.wire as u32);
    CopiedPacket {
        interface,
        time,
        wire,
        data: [dressed.head(), dressed.bytes],
        options,
    }
}

const DIRECTION: u32 = 3;
const FCS_LENGTH: u32 = 0x1e0;

/// What still holds for the inner frame: a hash and an FCS length were those of the outer one.
#[cold]
fn inner_options(out: &mut Vec<u8>, options: &[u8], marks: &Marks) {
    let mut flags = 0;
    for (code, value) in each_option(options) {
        match (code, value.first_chunk::<4>()) {
            (code::EPB_HASH, _) => {}
            (code::EPB_FLAGS, Some(word)) => flags = u32::from_ne_bytes(*word) & !FCS_LENGTH,
            _ => put_option(out, code, value),
        }
    }
    match marks.direction {
        Some(Direction::Ingress) => flags = flags & !DIRECTION | 1,
        Some(Direction::Egress) => flags = flags & !DIRECTION | 2,
        None => {}
    }
    if flags != 0 {
        put_option(out, code::EPB_FLAGS, &flags.to_ne_bytes());
    }
}
