use std::collections::hash_map::{HashMap, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use crate::decap::Wrapping;

/// Distinct wrappings, each with a tag, numbered in the order they came; at most `MOST` of them.
pub struct Stacks {
    seed: u64,
    known: Vec<Known>,
    by_hash: HashMap<u64, u32, BuildHasherDefault<Mixed>>,
    latest: usize,
}

/// One of them; most are one layer deep, which is compared without a look elsewhere.
struct Known {
    tag: u64,
    outermost: Option<Wrapping>,
    stack: Box<[Wrapping]>,
}

impl Known {
    #[inline]
    fn is(&self, tag: u64, stack: &[Wrapping]) -> bool {
        self.tag == tag
            && self.outermost.as_ref() == stack.first()
            && self.stack.len() == stack.len()
            && (stack.len() < 2 || *self.stack == *stack)
    }
}

/// Whether a wrapping was seen before.
pub enum Seen {
    /// It was; its number.
    Before(usize),
    /// It was not, and now has the next number.
    Now,
    /// It was not, and there are too many to number it.
    TooMany,
}

impl Stacks {
    /// Wrappings that are told apart; more would be no help to anybody, and memory is bounded.
    pub const MOST: usize = 16_384;

    /// None yet.
    pub fn new() -> Self {
        Self {
            seed: RandomState::new().hash_one(0),
            known: Vec::new(),
            by_hash: HashMap::default(),
            latest: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The wrapping with a number.
    pub fn get(&self, number: usize) -> Option<&[Wrapping]> {
        self.known.get(number).map(|known| &*known.stack)
    }

    /// Look one up, and number it when it is new.
    #[inline]
    pub fn see(&mut self, tag: u64, stack: &[Wrapping]) -> Seen {
        if self
            .known
            .get(self.latest)
            .is_some_and(|known| known.is(tag, stack))
        {
            return Seen::Before(self.latest);
        }
        let mut hash = self.hash(tag, stack);
        while let Some(&number) = self.by_hash.get(&hash) {
            let number = number as usize;
            if self
                .known
                .get(number)
                .is_some_and(|known| known.is(tag, stack))
            {
                self.latest = number;
                return Seen::Before(number);
            }
            hash = hash.wrapping_add(1);
        }
        self.add(tag, stack, hash)
    }

    #[cold]
    fn add(&mut self, tag: u64, stack: &[Wrapping], hash: u64) -> Seen {
        if self.known.len() >= Self::MOST {
            return Seen::TooMany;
        }
        self.latest = self.known.len();
        self.by_hash.insert(hash, self.latest as u32);
        self.known.push(Known {
            tag,
            outermost: stack.first().copied(),
            stack: stack.into(),
        });
        Seen::Now
    }

    #[inline]
    fn hash(&self, tag: u64, stack: &[Wrapping]) -> u64 {
        let mut hash = mix(self.seed, tag);
        for wrapping in stack {
            wrapping.words(|word| hash = mix(hash, word));
        }
        hash
    }
}

#[inline]
const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word) as u128 * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

/// Keys are hashes already, with a seed nobody knows.
#[derive(Default)]
pub struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0, u64::from(*byte));
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::Kind;

    fn one(id: u32) -> [Wrapping; 1] {
        [Wrapping {
            kind: Kind::Vxlan,
            id: Some(id),
            outer: None,
            index: None,
        }]
    }

    #[test]
    fn each_is_numbered_once_and_no_more_than_the_most() {
        let mut stacks = Stacks::new();
        for round in 0..2 {
            for id in 0..Stacks::MOST as u32 {
                match stacks.see(7, &one(id)) {
                    Seen::Now if round == 0 => assert_eq!(stacks.len(), id as usize + 1),
                    Seen::Before(number) if round == 1 => assert_eq!(number, id as usize),
                    _ => panic!("{id} in round {round}"),
                }
            }
        }
        assert!(matches!(stacks.see(8, &one(0)), Seen::TooMany));
        assert_eq!(stacks.get(5), Some(&one(5)[..]));
    }
}
