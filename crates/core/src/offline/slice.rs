//! `slice`: a part of a capture, by time, number or length.

use std::path::PathBuf;

use super::carry::{About, Carry};
use super::error::OfflineError;
use super::progress::Progress;
use super::pump::{pump, At, Go, Verb};
use super::report::Totals;
use crate::pcapng::CopiedPacket;
use crate::read::{Inputs, Item, Origin, Packet};
use crate::write::{Creation, WriteError};

/// A moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Since the epoch.
    At(u64),
    /// Since the first packet.
    After(u64),
}

/// What to keep.
#[derive(Clone, Debug, Default)]
pub struct SliceJob {
    /// Files to read.
    pub inputs: Vec<PathBuf>,
    /// File to write.
    pub output: PathBuf,
    /// How to make it.
    pub creation: Creation,
    /// Packets from then on.
    pub from: Option<Moment>,
    /// Packets before then.
    pub to: Option<Moment>,
    /// Packets with numbers from and to, both included; numbers begin at 1.
    pub range: Option<(u64, u64)>,
    /// So many packets and no more; 0 means all.
    pub first: u64,
    /// So many bytes of each packet and no more; 0 means all.
    pub snaplen: u32,
    /// What the output says of itself.
    pub about: About,
}

impl SliceJob {
    /// Do it.
    pub fn run(&self, progress: &Progress) -> Result<Totals, OfflineError> {
        let mut carry = Carry::create(&self.output, self.creation, &self.about)?;
        carry.snaplen = self.snaplen;
        let mut work = Work {
            job: self,
            carry,
            from: 0,
            to: None,
            begun: false,
            kept: 0,
        };
        let (pumped, inputs) = pump(&self.inputs, progress, &mut work)?;
        work.carry.begin(&inputs)?;
        Ok(work.carry.finish(work.kept, pumped)?)
    }
}

struct Work<'j> {
    job: &'j SliceJob,
    carry: Carry,
    from: u64,
    to: Option<u64>,
    begun: bool,
    kept: u64,
}

impl Work<'_> {
    /// Moments that count from the first packet are known when it comes.
    #[cold]
    fn begin(&mut self, first: u64) {
        let at = |moment| match moment {
            Moment::At(time) => time,
            Moment::After(time) => first.saturating_add(time),
        };
        self.from = self.job.from.map_or(0, at);
        self.to = self.job.to.map(at);
        self.begun = true;
    }

    fn wants(&mut self, number: u64, packet: &Packet<'_>) -> bool {
        let time = packet.time.unwrap_or(0);
        if !self.begun {
            self.begin(time);
        }
        let (low, high) = self.job.range.unwrap_or((0, u64::MAX));
        time >= self.from && self.to.is_none_or(|to| time < to) && (low..=high).contains(&number)
    }

    fn over(&self, number: u64) -> bool {
        let beyond = self.job.range.is_some_and(|(_, high)| number >= high);
        beyond || self.job.first != 0 && self.kept >= self.job.first
    }
}

impl Verb for Work<'_> {
    fn packet(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Result<Go, WriteError> {
        if self.wants(at.number, packet) {
            self.kept += 1;
            let interface = self
                .carry
                .interface(at.inputs, at.origin, packet.interface)?;
            let limit = if self.job.snaplen == 0 {
                usize::MAX
            } else {
                self.job.snaplen as usize
            };
            let data = packet.data.get(..limit).unwrap_or(packet.data);
            self.carry
                .writer
                .packet(&CopiedPacket::of(&Packet { data, ..*packet }, interface))?;
        }
        Ok(if self.over(at.number) {
            Go::Enough
        } else {
            Go::On
        })
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
