use std::collections::BTreeMap;

use crate::decap::{Kind, Stuck};
use crate::read::{BlockKind, Inputs};

/// What became of one input.
#[derive(Clone, Debug)]
pub struct InputReport {
    /// Its name.
    pub path: String,
    /// Layout, and compression when there is one.
    pub format: String,
    /// Packets read from it.
    pub packets: u64,
    /// What is wrong with it, when it ended before its end.
    pub damage: Option<String>,
}

/// What every verb that writes a file tells.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// The inputs.
    pub inputs: Vec<InputReport>,
    /// Packets read.
    pub packets: u64,
    /// Packets written.
    pub written: u64,
    /// Bytes of the output, before compression.
    pub bytes: u64,
    /// Blocks that could not be taken over, by their type number.
    pub left_out: Vec<(u32, u64)>,
}

/// How many packets had a layer that could not be taken off, for one reason.
#[derive(Clone, Debug)]
pub struct StuckReport {
    /// The layer.
    pub layer: &'static str,
    /// The reason in one word.
    pub reason: &'static str,
    /// How many packets.
    pub packets: u64,
    /// The first of them, from 1, counted over all inputs.
    pub first: u64,
    /// Where in it the layer begins.
    pub offset: usize,
    /// The reason with its numbers.
    pub detail: String,
}

/// Counts reasons.
#[derive(Debug, Default)]
pub struct Reasons(BTreeMap<(Kind, usize, bool), Reason>);

#[derive(Debug)]
struct Reason {
    packets: u64,
    first: u64,
    stuck: Stuck,
}

impl Reasons {
    /// Packet number `number` got stuck.
    #[cold]
    pub fn count(&mut self, number: u64, stuck: Stuck) {
        let reason = (stuck.layer, stuck.fault.index(), stuck.cut);
        self.0
            .entry(reason)
            .or_insert(Reason {
                packets: 0,
                first: number,
                stuck,
            })
            .packets += 1;
    }

    /// All of them, the most frequent first.
    pub fn report(&self) -> Vec<StuckReport> {
        let mut made: Vec<_> = self.0.values().map(Reason::report).collect();
        made.sort_by_key(|reason| std::cmp::Reverse(reason.packets));
        made
    }
}

impl Reason {
    fn report(&self) -> StuckReport {
        let Stuck {
            layer,
            offset,
            fault,
            cut,
        } = self.stuck;
        StuckReport {
            layer: layer.name(),
            reason: if cut { "cut" } else { fault.name() },
            packets: self.packets,
            first: self.first,
            offset,
            detail: fault.to_string(),
        }
    }
}

/// Counts blocks; of types nobody knows there may be four billion, of which the first few are told apart.
#[derive(Debug, Default)]
pub struct BlockCounts(BTreeMap<BlockKind, u64>);

impl BlockCounts {
    /// One more.
    pub fn count(&mut self, kind: BlockKind) {
        const MOST: usize = 256;
        let known = self.0.len() < MOST || self.0.contains_key(&kind);
        *self
            .0
            .entry(if known { kind } else { BlockKind::Unknown(0) })
            .or_default() += 1;
    }

    /// By type number.
    pub fn report(&self) -> Vec<(u32, u64)> {
        self.0
            .iter()
            .map(|(kind, count)| (kind.number(), *count))
            .collect()
    }
}

/// Counts packets by link type.
#[derive(Debug, Default)]
pub struct LinkCounts(BTreeMap<u16, u64>);

impl LinkCounts {
    /// One more.
    pub fn count(&mut self, link: u16) {
        *self.0.entry(link).or_default() += 1;
    }

    /// By link type.
    pub fn report(&self) -> Vec<(u16, u64)> {
        self.0.iter().map(|(link, count)| (*link, *count)).collect()
    }
}

/// The inputs after the last packet; `packets` are those read from each.
pub fn inputs(inputs: &Inputs, packets: &[u64]) -> Vec<InputReport> {
    (0..inputs.count())
        .map(|origin| {
            let reader = inputs.reader(origin);
            let compression = reader.compression().name();
            let failure = inputs.failures().iter().find(|(index, _)| *index == origin);
            InputReport {
                path: inputs.path(origin).to_string_lossy().into_owned(),
                format: format!("{} {compression}", reader.format().name())
                    .trim_end()
                    .to_owned(),
                packets: packets.get(origin).copied().unwrap_or(0),
                damage: failure.map(|(_, error)| error.to_string()),
            }
        })
        .collect()
}
