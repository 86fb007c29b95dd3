//! How long the engine sleeps between two looks at its rings while packets come.

use std::time::Duration;

use crate::ring::Geometry;

/// After packets came, the thread sleeps so long before it looks again: waking up for each block costs more.
const NAP: Duration = Duration::from_millis(4);
/// A small ring gets shorter ones: no more than a quarter of it should be filled within one.
const FILLED: u64 = 2; // bytes per nanosecond
const SHORTEST: Duration = Duration::from_micros(500);
/// The same after a step down: whenever we wake up, a VM that sends as fast as it can is moved to another processor
/// or waits, which costs it far more than what we do then.
const RARE: Duration = Duration::from_millis(100);
/// Cut or sampled packets come more slowly.
const NANOSECONDS: u64 = 5; // per byte

/// The two lengths of a nap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naps {
    usual: Duration,
    rare: Duration,
}

impl Naps {
    /// For rings of that shape.
    pub fn new(shape: Geometry) -> Self {
        let quarter = u64::from(shape.block_size) * u64::from(shape.blocks) / 4;
        let usual = Duration::from_nanos(quarter / FILLED).clamp(SHORTEST, NAP);
        // Blocks are handed over when they are full or time is up, whichever is first.
        let timed = Duration::from_millis(u64::from(shape.blocks) * u64::from(shape.retire_ms) / 4);
        let filled = Duration::from_nanos(quarter.saturating_mul(NANOSECONDS));
        let rare = RARE.min(timed).min(filled).max(usual);
        Self { usual, rare }
    }

    /// How long to sleep; `lowered` after a step down.
    pub fn length(self, lowered: bool) -> Duration {
        if lowered {
            self.rare
        } else {
            self.usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::geometry;

    fn naps(sources: usize, memory: u64) -> (u128, u128) {
        let naps = Naps::new(geometry(sources, memory, 0, 262_144));
        (
            naps.length(false).as_micros(),
            naps.length(true).as_micros(),
        )
    }

    #[test]
    fn a_quarter_of_the_ring_and_of_its_time() {
        assert_eq!(naps(1, 48 << 20), (4000, 62_914));
        assert_eq!(naps(1, 1 << 30), (4000, 100_000));
        assert_eq!(naps(1, 1 << 20), (500, 1310));
    }

    #[test]
    fn rings_of_many_sources_are_looked_at_as_often_as_before() {
        let (usual, rare) = naps(300, 48 << 20);
        assert_eq!((usual, rare), (500, 500));
    }
}
