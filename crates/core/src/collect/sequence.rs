//! Sequence numbers of a sender (RFC 2890): what is missing, late or repeated.  Pure.
//!
//! The judgement of a sender that restarted is that of RFC 3550, appendix A.1: one number out of every
//! range is a stray, two in a row are a new beginning.

/// How far ahead a number may be: what is between is missing.
const MOST_MISSING: u32 = 1 << 20;
/// How far behind: such a packet is late or repeated.
const WINDOW: u32 = u128::BITS;

/// What the numbers of one sender told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    highest: u32,
    /// Bit n: whether `highest - n` came.
    came: u128,
    /// What would confirm that the sender began anew.
    anew: Option<u32>,
    /// Numbers that never came, so far.
    pub missing: u64,
    /// Packets that came after one with a higher number.
    pub reordered: u64,
    /// Packets whose number came before.
    pub repeated: u64,
    /// How often the sender began anew.
    pub restarts: u64,
    /// Numbers out of every range.
    pub strays: u64,
}

/// What one number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// In its place, behind so many that are missing.
    Next(u32),
    /// After its place.
    Late,
    /// Once more.
    Repeated,
    /// The sender began anew, or may have.
    Anew,
}

impl Sequence {
    /// How much it found out of order; of two ways to read the same numbers the one with less is right.
    pub const fn faults(&self) -> u64 {
        self.missing + self.reordered + self.repeated + self.restarts + self.strays
    }

    /// Take the number of one packet.
    #[inline]
    pub fn take(&mut self, number: u32) -> Arrival {
        let ahead = number.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(number);
        if self.came == 0 {
            self.begin(number);
            Arrival::Next(0)
        } else if ahead == 0 {
            self.repeated += 1;
            Arrival::Repeated
        } else if ahead <= MOST_MISSING {
            self.advance(number, ahead)
        } else if behind < WINDOW {
            self.late(behind)
        } else {
            self.elsewhere(number)
        }
    }

    fn begin(&mut self, number: u32) {
        (self.highest, self.came, self.anew) = (number, 1, None);
    }

    #[inline]
    fn advance(&mut self, number: u32, ahead: u32) -> Arrival {
        self.came = self.came.checked_shl(ahead).unwrap_or(0) | 1;
        (self.highest, self.anew) = (number, None);
        self.missing += u64::from(ahead - 1);
        Arrival::Next(ahead - 1)
    }

    fn late(&mut self, behind: u32) -> Arrival {
        let bit = 1 << behind;
        if self.came & bit != 0 {
            self.repeated += 1;
            return Arrival::Repeated;
        }
        self.came |= bit;
        self.reordered += 1;
        // One from before the first packet never was missing.
        self.missing = self.missing.saturating_sub(1);
        Arrival::Late
    }

    fn elsewhere(&mut self, number: u32) -> Arrival {
        if self.anew == Some(number) {
            self.restarts += 1;
            self.begin(number);
        } else {
            self.strays += 1;
            self.anew = Some(number.wrapping_add(1));
        }
        Arrival::Anew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: impl IntoIterator<Item = u32>) -> (u64, u64, u64, u64) {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.take(number);
        }
        (
            sequence.missing,
            sequence.reordered,
            sequence.repeated,
            sequence.restarts,
        )
    }

    #[test]
    fn nothing_is_missing_from_a_whole_row_wherever_it_begins() {
        assert_eq!(after(0..1000), (0, 0, 0, 0));
        assert_eq!(after(7..1000), (0, 0, 0, 0));
        assert_eq!(
            after((0..200).map(|n| (u32::MAX - 99).wrapping_add(n))),
            (0, 0, 0, 0)
        );
    }

    #[test]
    fn gaps_are_counted_and_told_with_the_packet_behind_them() {
        let mut sequence = Sequence::default();
        let told: Vec<Arrival> = [1, 2, 5, 6, 300].map(|n| sequence.take(n)).into();
        let next = Arrival::Next;
        assert_eq!(told, [next(0), next(0), next(2), next(0), next(293)]);
        assert_eq!(sequence.missing, 295);
    }

    #[test]
    fn late_ones_are_not_missing_any_more() {
        assert_eq!(after([1, 3, 2, 4]), (0, 1, 0, 0));
        assert_eq!(after([1, 9, 2, 4]), (5, 2, 0, 0));
    }

    #[test]
    fn repeated_ones_are_counted() {
        assert_eq!(after([1, 2, 2, 3, 1]), (0, 0, 2, 0));
    }

    #[test]
    fn a_sender_that_begins_anew_lost_nothing() {
        assert_eq!(after((50_000..50_100).chain(0..100)), (0, 0, 0, 1));
        assert_eq!(
            after((0..100).chain(1 << 30..(1 << 30) + 100)),
            (0, 0, 0, 1)
        );
    }

    #[test]
    fn one_stray_number_is_no_new_beginning() {
        assert_eq!(
            after((5000..5100).chain([7]).chain(5100..5200)),
            (0, 0, 0, 0)
        );
    }
}
