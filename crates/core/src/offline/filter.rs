//! `filter`: the packets whose innermost frame an expression matches.

use std::path::PathBuf;

use super::carry::{About, Carry};
use super::error::OfflineError;
use super::progress::Progress;
use super::pump::{pump, whole, At, Go, Verb};
use super::report::{LinkCounts, Totals};
use crate::bpf::{Program, Refused};
use crate::decap::{Decap, FrameKind, Kind, Options, Unwrapped};
use crate::pcapng::CopiedPacket;
use crate::read::{Inputs, Item, Origin, Packet};
use crate::write::{Creation, WriteError};

/// One expression, compiled for each link type it can be compiled for.
#[derive(Clone, Debug, Default)]
pub struct Programs(Vec<(u16, Program)>);

impl Programs {
    /// Check the programs: link type, and packed `struct sock_filter`.
    pub fn new(packed: &[(u16, Vec<u8>)]) -> Result<Self, Refused> {
        let check = |(link, program): &(u16, Vec<u8>)| Ok((*link, Program::from_bytes(program)?));
        packed.iter().map(check).collect::<Result<_, _>>().map(Self)
    }

    #[inline]
    fn of(&self, link: u16) -> Option<&Program> {
        self.0
            .iter()
            .find(|(number, _)| *number == link)
            .map(|(_, program)| program)
    }
}

/// Which packets to keep.
#[derive(Clone, Debug)]
pub struct FilterJob {
    /// Files to read.
    pub inputs: Vec<PathBuf>,
    /// File to write.
    pub output: PathBuf,
    /// How to make it.
    pub creation: Creation,
    /// How to find the innermost frame.
    pub options: Options,
    /// What the innermost frame must match; none matches everything.
    pub inner: Option<Programs>,
    /// What the packet as it was captured must match.
    pub outer: Option<Programs>,
    /// Its innermost tunnel that has a VNI, key or session must have one of these; none asks for nothing.
    pub ids: Vec<u32>,
    /// What the output says of itself.
    pub about: About,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct FilterReport {
    /// Inputs and outputs.
    pub totals: Totals,
    /// Packets of link types the expression cannot be compiled for; they do not match.
    pub no_program: Vec<(u16, u64)>,
}

impl FilterJob {
    /// Do it.
    pub fn run(&self, progress: &Progress) -> Result<FilterReport, OfflineError> {
        let mut work = Work {
            job: self,
            carry: Carry::create(&self.output, self.creation, &self.about)?,
            decap: Decap::new(&self.options),
            matched: 0,
            no_program: LinkCounts::default(),
        };
        let (pumped, inputs) = pump(&self.inputs, progress, &mut work)?;
        work.carry.begin(&inputs)?;
        let totals = work.carry.finish(work.matched, pumped)?;
        Ok(FilterReport {
            totals,
            no_program: work.no_program.report(),
        })
    }
}

struct Work<'j> {
    job: &'j FilterJob,
    carry: Carry,
    decap: Decap,
    matched: u64,
    no_program: LinkCounts,
}

impl Work<'_> {
    #[inline]
    fn matches(&mut self, at: &At<'_>, packet: &Packet<'_>) -> bool {
        let (job, Some(interface)) = (self.job, at.interface(packet)) else {
            return false;
        };
        let (data, wire) = whole(packet, interface);
        let found = self.decap.unwrap(interface.link, data, wire);
        if !job.ids.is_empty() && !numbered(&found, &job.ids) {
            return false;
        }
        let (link, span) = (found.frame.kind.link(), found.frame.span);
        let outer = (
            job.outer.as_ref(),
            raw(interface.link),
            packet.data,
            packet.wire,
        );
        let inner = (job.inner.as_ref(), link, span.bytes(), span.wire() as u32);
        [outer, inner]
            .into_iter()
            .all(|(programs, link, data, wire)| {
                let Some(programs) = programs else {
                    return true;
                };
                if let Some(program) = programs.of(link) {
                    return program.run(data, wire) != 0;
                }
                self.no_program.count(link);
                false
            })
    }
}

/// Whether the innermost tunnel that has a number has one of these.  The key of GRE around Ethernet can be read in two
/// ways: as it is, or as NVGRE does, as 24 bits of network and 8 of flow.
fn numbered(found: &Unwrapped<'_, '_>, wanted: &[u32]) -> bool {
    let Some((kind, id)) = found
        .wrappings
        .iter()
        .rev()
        .find_map(|layer| Some((layer.kind, layer.id?)))
    else {
        return false;
    };
    let bridged = found.frame.kind == FrameKind::Ethernet;
    let other = match (kind, found.marks.key) {
        (Kind::Nvgre, Some(key)) => key,
        (Kind::Gre, Some(key)) if bridged => key >> 8,
        _ => id,
    };
    wanted.contains(&id) || wanted.contains(&other)
}

/// The numbers that raw IP has had are one to a filter.
const fn raw(link: u16) -> u16 {
    FrameKind::of_link(link).link()
}

impl Verb for Work<'_> {
    #[inline]
    fn packet(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Result<Go, WriteError> {
        if self.matches(at, packet) {
            self.matched += 1;
            let interface = self
                .carry
                .interface(at.inputs, at.origin, packet.interface)?;
            self.carry
                .writer
                .packet(&CopiedPacket::of(packet, interface))?;
        }
        Ok(Go::On)
    }

    fn other(
        &mut self,
        inputs: &Inputs,
        origin: Origin,
        item: &Item<'_>,
    ) -> Result<(), WriteError> {
        self.carry.every(inputs, origin, item)
    }

    fn output(&mut self) -> Option<&mut Carry> {
        Some(&mut self.carry)
    }
}
