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
/// Cut packets come more slowly.
const NANOSECONDS: u64 = 5; // per byte
/// A sample of them comes so slowly that what is handed over in time, and not what is full, fills the ring.
const RAREST: Duration = Duration::from_millis(200);

/// How much comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// All that was asked for.
    #[default]
    Full,
    /// Less of each packet.
    Cut,
    /// Only some of them.
    Sampled,
}

/// The lengths of naps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naps {
    usual: Duration,
    rare: Duration,
    rarest: Duration,
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
        let rarest = RAREST.min(2 * timed).min(4 * filled).max(rare);
        Self {
            usual,
            rare,
            rarest,
        }
    }

    /// How long to sleep.
    pub fn length(self, pace: Pace) -> Duration {
        match pace {
            Pace::Full => self.usual,
            Pace::Cut => self.rare,
            Pace::Sampled => self.rarest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::geometry;

    fn naps(sources: usize, memory: u64) -> [u128; 3] {
        let naps = Naps::new(geometry(sources, memory, 0, 262_144));
        [Pace::Full, Pace::Cut, Pace::Sampled].map(|pace| naps.length(pace).as_micros())
    }

    #[test]
    fn a_quarter_of_the_ring_and_of_its_time() {
        assert_eq!(naps(1, 48 << 20), [4000, 62_914, 200_000]);
        assert_eq!(naps(1, 1 << 30), [4000, 100_000, 200_000]);
        assert_eq!(naps(1, 1 << 20), [500, 1310, 5242]);
    }

    #[test]
    fn rings_of_many_sources_are_looked_at_as_often_as_before() {
        assert_eq!(naps(300, 48 << 20), [500, 500, 983]);
    }
}
