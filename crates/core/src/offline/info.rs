//! `info`: what is in a capture file, and what is missing from it.

use std::path::PathBuf;

use super::error::OfflineError;
use super::progress::Progress;
use super::pump::{pump, whole, At, Go, Verb};
use super::report::{BlockCounts, InputReport, Reasons, StuckReport};
use super::stacks::{Seen, Stacks};
use crate::decap::{Decap, Name, Options};
use crate::read::{code, each_option, Inputs, Item, Origin, Packet, Section, Statistics};
use crate::write::WriteError;

/// One file to look at.
#[derive(Clone, Debug)]
pub struct InfoJob {
    /// The file.
    pub input: PathBuf,
    /// How to find the innermost frame.
    pub options: Options,
}

/// What packets there are, of a file or an interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    /// Packets.
    pub packets: u64,
    /// Bytes kept of them.
    pub captured: u64,
    /// Bytes they had on the wire.
    pub wire: u64,
    /// Of the packets, those that were not kept whole.
    pub cut: u64,
    /// Time of the earliest, in nanoseconds since the epoch.
    pub first: Option<u64>,
    /// Time of the latest.
    pub last: Option<u64>,
}

/// What is known of one interface.
#[derive(Clone, Debug, Default)]
pub struct InterfaceInfo {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Link type.
    pub link: u16,
    /// Snap length; 0 is none.
    pub snaplen: u32,
    /// Capture filter.
    pub filter: String,
    /// Its packets.
    pub amount: Amount,
    /// Packets lost, as the packets' own options tell.
    pub dropped: u64,
    /// The last statistics, as (name, count).
    pub statistics: Vec<(&'static str, u64)>,
    /// What the last statistics say in words; our own captures have their ledger there.
    pub comment: String,
}

/// What is in a file.
#[derive(Clone, Debug)]
pub struct InfoReport {
    /// The file.
    pub input: InputReport,
    /// Its size on disk; None for a pipe.
    pub size: Option<u64>,
    /// All packets.
    pub amount: Amount,
    /// Packets that are earlier than the one before them.
    pub backwards: u64,
    /// Packets without a time.
    pub timeless: u64,
    /// Who captured, section by section (the first `MOST_SECTIONS`).
    pub sections: Vec<Section>,
    /// Interfaces in the order they are described.
    pub interfaces: Vec<InterfaceInfo>,
    /// Tunnels: name of what is around packets and how many there are, the most frequent first.
    pub wrappings: Vec<(String, u64)>,
    /// Packets in tunnels that were too many to tell apart.
    pub more_wrappings: u64,
    /// Layers that could not be taken off.
    pub stuck: Vec<StuckReport>,
    /// Other blocks, by type number.
    pub blocks: Vec<(u32, u64)>,
}

/// A section says who captured; nobody needs a million of them.
const MOST_SECTIONS: usize = 100;

impl InfoJob {
    /// Look.
    pub fn run(&self, progress: &Progress) -> Result<InfoReport, OfflineError> {
        let mut work = Work::new(&self.options);
        let (pumped, inputs) = pump(std::slice::from_ref(&self.input), progress, &mut work)?;
        let Some(input) = pumped.inputs.into_iter().next() else {
            return Err(OfflineError::Stopped);
        };
        Ok(work.report(input, &inputs))
    }
}

struct Work {
    decap: Decap,
    amount: Amount,
    latest: u64,
    backwards: u64,
    timeless: u64,
    sections: Vec<Section>,
    interfaces: Vec<InterfaceInfo>,
    stacks: Stacks,
    counts: Vec<u64>,
    more: u64,
    reasons: Reasons,
    blocks: BlockCounts,
}

impl Amount {
    #[inline]
    fn add(&mut self, packet: &Packet<'_>) {
        let length = packet.data.len() as u64;
        self.packets += 1;
        self.captured += length;
        self.wire += u64::from(packet.wire).max(length);
        self.cut += u64::from(u64::from(packet.wire) > length);
        if let Some(time) = packet.time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
    }
}

impl Work {
    fn new(options: &Options) -> Self {
        Self {
            decap: Decap::new(options),
            amount: Amount::default(),
            latest: 0,
            backwards: 0,
            timeless: 0,
            sections: Vec::new(),
            interfaces: Vec::new(),
            stacks: Stacks::new(),
            counts: Vec::new(),
            more: 0,
            reasons: Reasons::default(),
            blocks: BlockCounts::default(),
        }
    }

    fn order(&mut self, time: Option<u64>) {
        match time {
            Some(time) => {
                self.backwards += u64::from(time < self.latest);
                self.latest = time;
            }
            None => self.timeless += 1,
        }
    }

    fn tunnel(&mut self, at: &At<'_>, packet: &Packet<'_>) {
        let Some(interface) = at.interface(packet) else {
            return;
        };
        let (data, wire) = whole(packet, interface);
        let found = self.decap.unwrap(interface.link, data, wire);
        if let Some(stuck) = found.stuck {
            self.reasons.count(at.number, stuck);
        }
        if found.wrappings.is_empty() {
            return;
        }
        match self.stacks.see(0, found.wrappings) {
            Seen::Now => self.counts.push(1),
            Seen::Before(index) => {
                if let Some(count) = self.counts.get_mut(index) {
                    *count += 1;
                }
            }
            Seen::TooMany => self.more += 1,
        }
    }

    fn describe(&mut self, inputs: &Inputs, origin: Origin, index: u32) {
        if let Some(found) = inputs.reader(origin).interfaces().get(index as usize) {
            self.interfaces.push(InterfaceInfo {
                name: found.name.clone(),
                description: found.description.clone(),
                link: found.link,
                snaplen: found.snaplen,
                filter: found.filter.clone(),
                ..InterfaceInfo::default()
            });
        }
    }

    fn statistics(&mut self, counts: &Statistics<'_>) {
        let Some(info) = self.interfaces.get_mut(counts.interface as usize) else {
            return;
        };
        let named = [
            ("received", counts.received),
            ("dropped_by_device", counts.dropped),
            ("accepted", counts.accepted),
            ("dropped_by_system", counts.os_dropped),
            ("delivered", counts.delivered),
        ];
        info.statistics = named
            .into_iter()
            .filter_map(|(name, count)| Some((name, count?)))
            .collect();
        info.comment = String::from_utf8_lossy(counts.comment).into_owned();
    }

    fn report(self, input: InputReport, inputs: &Inputs) -> InfoReport {
        let names = (0..).map_while(|number| self.stacks.get(number));
        let counted = names.map(|stack| Name(stack).to_string()).zip(self.counts);
        let mut wrappings: Vec<(String, u64)> = counted.collect();
        wrappings.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| one.cmp(other)));
        InfoReport {
            input,
            size: inputs.reader(0).size(),
            amount: self.amount,
            backwards: self.backwards,
            timeless: self.timeless,
            sections: self.sections,
            interfaces: self.interfaces,
            wrappings,
            more_wrappings: self.more,
            stuck: self.reasons.report(),
            blocks: self.blocks.report(),
        }
    }
}

impl Verb for Work {
    fn packet(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Result<Go, WriteError> {
        self.amount.add(packet);
        self.order(packet.time);
        if let Some(info) = self.interfaces.get_mut(packet.interface as usize) {
            info.amount.add(packet);
            info.dropped = info.dropped.saturating_add(drops(packet.options));
        }
        self.tunnel(at, packet);
        Ok(Go::On)
    }

    fn other(
        &mut self,
        inputs: &Inputs,
        origin: Origin,
        item: &Item<'_>,
    ) -> Result<(), WriteError> {
        match item {
            Item::Interface(index) => self.describe(inputs, origin, *index),
            Item::Statistics(counts) => self.statistics(counts),
            Item::Block(block) => self.blocks.count(block.kind),
            Item::Section(section) if self.sections.len() < MOST_SECTIONS => {
                self.sections.push((*section).clone());
            }
            Item::Section(_) | Item::Packet(_) => {}
        }
        Ok(())
    }
}

/// Packets lost before this one.
#[inline]
fn drops(options: &[u8]) -> u64 {
    if options.is_empty() {
        return 0;
    }
    let count = each_option(options).find(|(code, _)| *code == code::EPB_DROPCOUNT);
    count
        .and_then(|(_, value)| value.first_chunk::<8>())
        .map_or(0, |count| u64::from_ne_bytes(*count))
}
