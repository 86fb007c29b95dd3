//! The fuzz targets on stable Rust: every seed is replayed as it is, then mutated for a while.
//!
//! `TAPWRIGHT_FUZZ_SECONDS` is how long for each target (default 1), `TAPWRIGHT_FUZZ_SEED` where the random
//! numbers begin; a failure prints both and the bytes.  `fuzz/` runs the same targets under libFuzzer, from
//! the seeds that `TAPWRIGHT_FUZZ_SEEDS=FOLDER` makes this one write.

mod mutate;
mod plain;
mod seeds;
mod targets;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use mutate::Mutator;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn survive(target: fn(&[u8]), data: &[u8]) {
    let done = catch_unwind(AssertUnwindSafe(|| target(data)));
    assert!(done.is_ok(), "this input was not survived: {data:02x?}");
}

/// Where a seed is cut: everywhere, but for the middle of a long one.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let (first, last) = (600, 150);
    (0..length).filter(move |at| *at < first || *at + last >= length)
}

fn fuzz(name: &str, target: fn(&[u8]), seeds: &[Vec<u8>]) {
    if let Ok(folder) = std::env::var("TAPWRIGHT_FUZZ_SEEDS") {
        let folder = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(number.to_string()), seed).unwrap();
        }
    }
    for seed in seeds {
        survive(target, seed);
        for length in cuts(seed.len()) {
            survive(target, &seed[..length]);
        }
    }
    let mut mutator = Mutator::new(number("TAPWRIGHT_FUZZ_SEED", 1));
    let until = Instant::now() + Duration::from_secs(number("TAPWRIGHT_FUZZ_SECONDS", 1));
    let mut count = 0_u64;
    while Instant::now() < until {
        for _ in 0..64 {
            survive(target, &mutator.mutated(seeds));
            count += 1;
        }
    }
    println!("{name}: {count} inputs from {} seeds", seeds.len());
}

#[test]
fn decap() {
    fuzz("decap", targets::decap, &seeds::packets());
}

#[test]
fn reader() {
    fuzz("reader", targets::reader, &seeds::files());
}

#[test]
fn interpreter() {
    fuzz("interpreter", targets::interpreter, &seeds::programs());
}
