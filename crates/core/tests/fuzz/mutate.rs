//! Simple mutations, from a seed: reproducible, and enough to find what careless parsers do.

/// Xorshift, and what to do with its numbers.
pub struct Mutator(u64);

/// Values that lie at the edges of length fields.
const EDGES: [u32; 12] = [
    0,
    1,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
];

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % below.max(1)
    }

    /// One of the seeds, changed in one to eight ways.
    pub fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut data = seeds[self.next(seeds.len())].clone();
        for _ in 0..=self.next(8) {
            let other = &seeds[self.next(seeds.len())];
            self.change(&mut data, other);
        }
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, other: &[u8]) {
        if data.is_empty() {
            data.push(self.next(256) as u8);
        }
        let at = self.next(data.len());
        match self.next(7) {
            0 => data[at] ^= 1 << self.next(8),
            1 => data[at] = self.next(256) as u8,
            2 => data.truncate(at),
            3 => self.edge(data, at),
            4 => {
                let from = self.next(other.len());
                let part = &other[from..(from + self.next(64)).min(other.len())];
                data.splice(at..at, part.iter().copied());
            }
            5 => {
                let end = (at + self.next(16)).min(data.len());
                data.drain(at..end);
            }
            _ => {
                let end = (at + self.next(48)).min(data.len());
                let part = data[at..end].to_vec();
                data.splice(at..at, part);
            }
        }
    }

    fn edge(&mut self, data: &mut [u8], at: usize) {
        let value = EDGES[self.next(EDGES.len())];
        let bytes = if self.next(2) == 0 {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        };
        let width = [1, 2, 4][self.next(3)];
        let part = if self.next(2) == 0 {
            &bytes[..width]
        } else {
            &bytes[4 - width..]
        };
        for (place, byte) in data[at..].iter_mut().zip(part) {
            *place = *byte;
        }
    }
}
