//! How large the rings of a capture are.

use crate::ring::Geometry;

/// Holds every super-frame.
const SMALLEST: u64 = 128 << 10;
/// Holds all but the longest of them, which lose some bytes at their end; for very many sources.
const TIGHT: u64 = 64 << 10;
const LARGEST: u64 = 1 << 20;
/// Eight blocks: some wait to be written while others are filled.
const BREATH: u64 = 8 * SMALLEST;

/// For packets that are counted and not kept; of each only the headers are copied.
pub const SMALL: Geometry = Geometry {
    block_size: SMALLEST as u32,
    blocks: 4,
    retire_ms: 20,
};

/// Ring sizes for so many sources within `memory` bytes; `packets` is the whole capture's limit or 0.
pub fn geometry(sources: usize, memory: u64, packets: u64, snaplen: u32) -> Geometry {
    let sources = sources.max(1) as u64;
    let wanted = match packets {
        0 => memory,
        limit => {
            let enough = limit.saturating_mul(u64::from(snaplen.min(2048)) + 128);
            memory.min(enough.max(sources * BREATH))
        }
    };
    let smallest = if sources > 64 { TIGHT } else { SMALLEST };
    // While one block waits to be written and one is filled, there must be another.
    let each = (wanted / sources).max(3 * smallest);
    let mut block_size = smallest;
    while block_size < LARGEST && block_size * 16 <= each {
        block_size *= 2;
    }
    let retire_ms = match sources {
        0..=16 => 10,
        17..=64 => 20,
        _ => 40,
    };
    Geometry {
        block_size: block_size as u32,
        blocks: (each / block_size).min(u64::from(u16::MAX)) as u32,
        retire_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_share_the_memory() {
        let one = geometry(1, 48 << 20, 0, 262_144);
        assert_eq!((one.block_size, one.blocks), (1 << 20, 48));
        for sources in [1, 2, 16, 100, 300] {
            let g = geometry(sources, 48 << 20, 0, 262_144);
            let total = u64::from(g.block_size) * u64::from(g.blocks) * sources as u64;
            assert!(g.blocks >= 3 && total <= (48 << 20).max(sources as u64 * (192 << 10)));
        }
        let few = geometry(1, 48 << 20, 10, 262_144);
        assert_eq!(few.block_size * few.blocks, 1 << 20);
        assert_eq!(geometry(1, u64::MAX, 0, 1).blocks, u32::from(u16::MAX));
    }
}
