//! Stepping down while a capture runs: less of each packet, or only some of them, for the sake of the host.

use crate::nap::Pace;
use crate::ring::Instruction;

/// What the kernel is to do from now on.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The filter of each source, in their order, and that it keeps one packet in so many by chance (1: all of
    /// them); an empty one leaves the filter as it is, and so does none.
    pub filters: Vec<(Vec<Instruction>, u32)>,
    /// Less is kept than was asked for.
    pub lowered: bool,
    /// What is said of it beside the first packet behind it.
    pub remark: String,
}

impl Step {
    /// How much comes behind it.
    pub fn pace(&self) -> Pace {
        if self.filters.iter().any(|(_, one_in)| *one_in > 1) {
            Pace::Sampled
        } else if self.lowered {
            Pace::Cut
        } else {
            Pace::Full
        }
    }
}

/// What is still to be said of steps, beside the next packet or where there is none.
#[derive(Debug, Default)]
pub struct Remarks {
    waiting: Vec<(u64, String)>,
    /// The last one, while less is kept than was asked for.
    standing: String,
}

impl Remarks {
    /// Take note of a step made at `time`.
    pub fn note(&mut self, time: u64, step: &Step) {
        self.standing.clear();
        if step.lowered {
            self.standing.clone_from(&step.remark);
        }
        self.waiting.push((time, step.remark.clone()));
    }

    /// A new file begins, which says by itself that less is kept.
    pub fn repeat(&mut self, time: u64) {
        if self.waiting.is_empty() && !self.standing.is_empty() {
            let text = format!("in an earlier file: {}", self.standing);
            self.waiting.push((time, text));
        }
    }

    /// The packet it was to be said beside is not kept.
    pub fn put_back(&mut self, time: u64, text: String) {
        if !text.is_empty() {
            self.waiting.insert(0, (time, text));
        }
    }

    /// Nothing waits; what is looked at for each packet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes it takes to say all of it.
    pub fn room(&self) -> u64 {
        let text = |(_, text): &(u64, String)| text.len() as u64 + 8;
        self.waiting.iter().map(text).sum()
    }

    /// What is to be said beside a packet of `time`: it is no longer one from before the step.
    pub fn due(&mut self, time: u64) -> String {
        let due = self.waiting.partition_point(|(made, _)| *made <= time);
        let texts: Vec<String> = self.waiting.drain(..due).map(|(_, text)| text).collect();
        texts.join("\n")
    }
}

/// What two accounts that know nothing of each other had counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By the port; `None` where its counters cannot be read.
    pub seen: Option<u64>,
    /// By the packet socket, behind its filter.
    pub accepted: u64,
}

/// How many packets of one source were left out because only one in so many is kept.
///
/// Without a filter of the user's that is what the port counted and the socket did not. With one nobody counts
/// them, since chance comes before the filter: they are estimated from those that were kept, and never more than
/// what the port and the socket differ by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling {
    one_in: u64,
    since: Counted,
    before: u64,
    /// Some of it is an estimate.
    pub estimated: bool,
}

impl Sampling {
    /// From `now` on one packet in so many is kept.
    pub fn change(&mut self, one_in: u32, now: Counted, filtered: bool) {
        self.before = self.left_out(now, filtered);
        self.estimated |= self.is_on() && (filtered || self.difference(now).is_none());
        (self.one_in, self.since) = (one_in.into(), now);
    }

    /// All that was left out until `now`.
    pub fn left_out(&self, now: Counted, filtered: bool) -> u64 {
        if !self.is_on() {
            return self.before;
        }
        let accepted = now.accepted.saturating_sub(self.since.accepted);
        let estimate = accepted.saturating_mul(self.one_in - 1);
        let here = match self.difference(now) {
            Some(missing) if filtered => estimate.min(missing),
            Some(missing) => missing,
            None => estimate,
        };
        self.before + here
    }

    /// Whether what is left out now is an estimate, or some of what was.
    pub fn is_estimated(&self, now: Counted, filtered: bool) -> bool {
        self.estimated || self.is_on() && (filtered || self.difference(now).is_none())
    }

    fn is_on(&self) -> bool {
        self.one_in > 1
    }

    fn difference(&self, now: Counted) -> Option<u64> {
        let seen = now.seen?.saturating_sub(self.since.seen?);
        Some(seen.saturating_sub(now.accepted.saturating_sub(self.since.accepted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seen: u64, accepted: u64) -> Counted {
        Counted {
            seen: Some(seen),
            accepted,
        }
    }

    #[test]
    fn a_remark_waits_for_a_packet_from_behind_its_step() {
        let step = |remark: &str, lowered| Step {
            remark: remark.into(),
            lowered,
            ..Step::default()
        };
        let mut remarks = Remarks::default();
        remarks.note(10, &step("down", true));
        assert_eq!(remarks.due(9), "");
        remarks.note(12, &step("lower", true));
        assert_eq!(remarks.room(), 25);
        let said = remarks.due(15);
        assert_eq!(said, "down\nlower");
        remarks.put_back(15, said);
        assert_eq!(remarks.due(15), "down\nlower");
        assert!(remarks.is_empty());
        remarks.repeat(20);
        assert_eq!(remarks.due(20), "in an earlier file: lower");
        remarks.note(30, &step("up", false));
        assert_eq!(remarks.due(u64::MAX), "up");
        remarks.repeat(40);
        assert!(remarks.is_empty());
    }

    #[test]
    fn a_sample_comes_more_slowly_than_cut_packets() {
        let step = |lowered, one_in| Step {
            filters: vec![(Vec::new(), 1), (Vec::new(), one_in)],
            lowered,
            remark: String::new(),
        };
        assert_eq!(step(false, 1).pace(), Pace::Full);
        assert_eq!(step(true, 1).pace(), Pace::Cut);
        assert_eq!(step(true, 16).pace(), Pace::Sampled);
    }

    #[test]
    fn without_a_filter_it_is_counted() {
        let mut sampling = Sampling::default();
        assert_eq!(sampling.left_out(at(100, 90), false), 0);
        sampling.change(16, at(100, 90), false);
        assert_eq!(sampling.left_out(at(260, 100), false), 150);
        sampling.change(1, at(260, 100), false);
        assert_eq!(sampling.left_out(at(1000, 500), false), 150);
        assert!(!sampling.is_estimated(at(1000, 500), false));
    }

    #[test]
    fn with_a_filter_it_is_estimated_and_never_more_than_there_were() {
        let mut sampling = Sampling::default();
        sampling.change(10, at(0, 0), true);
        assert_eq!(sampling.left_out(at(1000, 10), true), 90);
        assert_eq!(sampling.left_out(at(50, 10), true), 40);
        sampling.change(1, at(1000, 10), true);
        assert!(sampling.is_estimated(at(1000, 10), true));
        assert_eq!(sampling.left_out(at(5000, 900), true), 90);
    }

    #[test]
    fn where_the_port_cannot_be_read_it_is_estimated() {
        let gone = Counted {
            seen: None,
            accepted: 20,
        };
        let mut sampling = Sampling::default();
        sampling.change(4, at(0, 0), false);
        assert_eq!(sampling.left_out(gone, false), 60);
        assert!(sampling.is_estimated(gone, false));
    }
}
