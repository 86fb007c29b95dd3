//! Putting packets of many rings into one order of time.  Pure: knows times and places, no packets.

/// Where a packet lies: source, block, offset in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Offset in the block.
    pub offset: u32,
    /// Index of the source.
    pub source: u16,
    /// Which of the source's blocks.
    pub block: u16,
}

/// Nobody's packets come from so far in the future (nanoseconds): the clock was set back.
const FUTURE: u64 = 1_000_000_000;

/// Packets that wait until no older one can come.
#[derive(Default)]
pub struct Order {
    waiting: Vec<Place>,
    sorted: bool,
    /// Time of the newest waiting packet.
    newest: u64,
    /// Time of the newest packet given out.
    latest: u64,
    reordered: u64,
}

impl Order {
    /// Let a packet wait.
    #[inline]
    pub fn push(&mut self, place: Place) {
        self.sorted &= self.newest <= place.time;
        self.newest = self.newest.max(place.time);
        self.waiting.push(place);
    }

    /// Up to when packets may be given out at the time `now`, if none older than `horizon` can come.
    ///
    /// After the clock was set back, packets stamped before that would wait until it has caught up
    /// again: they all go at once.
    pub fn mark(&mut self, horizon: u64, now: u64) -> u64 {
        let future = now.saturating_add(FUTURE);
        if self.latest > future {
            self.latest = 0;
        }
        if self.newest > future {
            u64::MAX
        } else {
            horizon
        }
    }

    /// All packets up to and including `mark`, oldest first; they no longer wait.
    pub fn take(&mut self, mark: u64, into: &mut Vec<Place>) {
        if !self.sorted {
            // Stable: packets of one ring with equal times keep their order. Each ring is nearly
            // sorted, so this is a merge of a few runs.
            self.waiting.sort_by_key(|place| place.time);
            self.sorted = true;
        }
        let ready = self.waiting.partition_point(|place| place.time <= mark);
        into.clear();
        into.extend(self.waiting.drain(..ready));
        if self.waiting.is_empty() {
            self.newest = 0;
        }
        let late = into.iter().take_while(|place| place.time < self.latest);
        self.reordered += late.count() as u64;
        self.latest = into
            .last()
            .map_or(self.latest, |last| last.time.max(self.latest));
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Packets given out that were older than one given out before.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(time: u64, source: u16) -> Place {
        Place {
            time,
            source,
            block: 0,
            offset: 0,
        }
    }

    fn times(order: &mut Order, mark: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        order.take(mark, &mut taken);
        taken.iter().map(|place| place.time).collect()
    }

    #[test]
    fn two_rings_become_one_order() {
        let mut order = Order::default();
        for time in [1, 4, 6] {
            order.push(place(time, 0));
        }
        for time in [2, 3, 9] {
            order.push(place(time, 1));
        }
        assert_eq!(times(&mut order, 5), [1, 2, 3, 4]);
        order.push(place(8, 0));
        assert_eq!(times(&mut order, u64::MAX), [6, 8, 9]);
        assert_eq!((order.reordered(), order.is_empty()), (0, true));
        order.push(place(10, 0));
        assert_eq!(times(&mut order, 10), [10]);
    }

    #[test]
    fn latecomers_are_written_and_counted() {
        let mut order = Order::default();
        order.push(place(10, 0));
        assert_eq!(times(&mut order, 20), [10]);
        for time in [7, 5, 12] {
            order.push(place(time, 1));
        }
        assert_eq!(times(&mut order, 20), [5, 7, 12]);
        assert_eq!(order.reordered(), 2);
    }

    #[test]
    fn equal_times_keep_the_order_of_their_ring() {
        let mut order = Order::default();
        for offset in 0..50 {
            order.push(Place {
                offset,
                ..place(7, 0)
            });
        }
        order.push(place(3, 1));
        let mut taken = Vec::new();
        order.take(7, &mut taken);
        assert!(taken[1..]
            .windows(2)
            .all(|pair| pair[0].offset < pair[1].offset));
    }

    #[test]
    fn a_clock_set_back_holds_nothing_back() {
        const HOUR: u64 = 3_600_000_000_000;
        let mut order = Order::default();
        order.push(place(2 * HOUR, 0));
        let now = 2 * HOUR + 1;
        let mark = order.mark(2 * HOUR - 5, now);
        assert!(times(&mut order, mark).is_empty());
        // It is an hour earlier: the old packet goes, and is not in the way of the new ones.
        let now = HOUR;
        order.push(place(now, 1));
        let mark = order.mark(now - 5, now);
        assert_eq!(times(&mut order, mark), [now, 2 * HOUR]);
        order.push(place(now + 10, 0));
        let mark = order.mark(now + 20, now + 30);
        assert_eq!(times(&mut order, mark), [now + 10]);
        order.push(place(now + 25, 1));
        let mark = order.mark(now + 20, now + 30);
        assert!(times(&mut order, mark).is_empty());
        assert_eq!(order.reordered(), 0);
    }
}
