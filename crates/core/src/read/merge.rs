use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ReadError;
use super::item::Item;
use super::reader::{Reader, Step, WINDOW};
use super::watch::Watch;

/// Memory that the windows of all files together may take.
const ALL_WINDOWS: usize = 16 << 20;
const SMALLEST_WINDOW: usize = 16 << 10;

/// Which input an item is of: its index.
pub type Origin = usize;

/// Several capture files read as one, packets in order of time (as far as each file is itself in order).
pub struct Inputs {
    readers: Vec<Reader>,
    paths: Vec<PathBuf>,
    /// Readers that have to go on before the next packet can be chosen.
    behind: Vec<Origin>,
    /// The next packet of every other one.
    ahead: BinaryHeap<Reverse<(u64, Origin)>>,
    times: Vec<u64>,
    failures: Vec<(Origin, ReadError)>,
}

impl Inputs {
    /// Open all files; the first that cannot be opened is an error with its path.
    pub fn open(paths: &[PathBuf], watch: &Arc<Watch>) -> Result<Self, (PathBuf, ReadError)> {
        let window = (ALL_WINDOWS / paths.len().max(1)).clamp(SMALLEST_WINDOW, WINDOW);
        let mut readers = Vec::with_capacity(paths.len());
        for path in paths {
            readers.push(Reader::open(path, watch, window).map_err(|error| (path.clone(), error))?);
        }
        Ok(Self::of(readers, paths.to_vec()))
    }

    /// Read these, whose names are `paths`.
    pub fn of(readers: Vec<Reader>, paths: Vec<PathBuf>) -> Self {
        let count = readers.len();
        Self {
            behind: (0..count).rev().collect(),
            ahead: BinaryHeap::with_capacity(count),
            times: vec![0; count],
            failures: Vec::new(),
            readers,
            paths,
        }
    }

    /// Go to the next item: of which input it is, and whether it is a packet; None when all files are at
    /// their end, or damaged.
    #[inline]
    pub fn advance(&mut self) -> Option<(Origin, bool)> {
        while let Some(&origin) = self.behind.last() {
            match self.readers.get_mut(origin)?.advance() {
                Ok(Step::Packet) if self.times.len() == 1 => return Some((origin, true)),
                Ok(Step::Packet) => self.hold(origin),
                Ok(Step::Other) => return Some((origin, false)),
                Ok(Step::End) => drop(self.behind.pop()),
                Err(error) => {
                    self.failures.push((origin, error));
                    self.behind.pop();
                }
            }
        }
        let Reverse((_, origin)) = self.ahead.pop()?;
        self.behind.push(origin);
        Some((origin, true))
    }

    /// Keep a packet back until no other input has an older one; without a time it goes with the one before it.
    fn hold(&mut self, origin: Origin) {
        let time = self.reader(origin).packet().time;
        if let Some(latest) = self.times.get_mut(origin) {
            *latest = time.unwrap_or(*latest);
            self.ahead.push(Reverse((*latest, origin)));
        }
        self.behind.pop();
    }

    /// Whether `advance` will not have to wait.
    pub fn is_ready(&self) -> bool {
        self.behind
            .iter()
            .all(|origin| self.reader(*origin).is_ready())
    }

    /// The item `advance` went to.
    #[inline]
    pub fn item(&self, origin: Origin) -> Item<'_> {
        self.reader(origin).item()
    }

    /// The reader of one input.
    #[inline]
    #[allow(clippy::indexing_slicing)] // origins come from `advance`
    pub fn reader(&self, origin: Origin) -> &Reader {
        &self.readers[origin]
    }

    /// The name of one input.
    #[allow(clippy::indexing_slicing)] // origins come from `advance`
    pub fn path(&self, origin: Origin) -> &Path {
        &self.paths[origin]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.readers.len()
    }

    /// Inputs that ended before their end, and why.
    pub fn failures(&self) -> &[(Origin, ReadError)] {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::super::byteorder::Order;
    use super::super::craft::Craft;
    use super::*;
    use std::io::Cursor;

    fn inputs(files: Vec<Vec<u8>>) -> Inputs {
        let paths = (0..files.len())
            .map(|number| PathBuf::from(number.to_string()))
            .collect();
        let readers = files
            .into_iter()
            .map(|file| Reader::of_stream(Box::new(Cursor::new(file))).unwrap());
        Inputs::of(readers.collect(), paths)
    }

    fn times(mut inputs: Inputs) -> (Vec<u64>, usize) {
        let mut found = Vec::new();
        while let Some((origin, _)) = inputs.advance() {
            if let Item::Packet(packet) = inputs.item(origin) {
                found.push(packet.time.unwrap_or(0));
            }
        }
        (found, inputs.failures().len())
    }

    fn file(times: &[u64]) -> Vec<u8> {
        let start = Craft::new(Order::Big).section().interface(1, 9);
        times
            .iter()
            .fold(start, |craft, time| craft.packet(0, *time, b"x"))
            .bytes
    }

    #[test]
    fn packets_come_in_order_of_time() {
        let found = times(inputs(vec![
            file(&[1, 5, 9]),
            file(&[2, 3, 10]),
            file(&[]),
            file(&[4]),
        ]));
        assert_eq!(found, (vec![1, 2, 3, 4, 5, 9, 10], 0));
    }

    #[test]
    fn a_damaged_one_ends_and_the_others_go_on() {
        let mut cut = file(&[1, 2, 3]);
        cut.truncate(cut.len() - 5);
        assert_eq!(
            times(inputs(vec![cut, file(&[2, 7])])),
            (vec![1, 2, 2, 7], 1)
        );
    }

    #[test]
    fn one_alone_stays_in_its_own_order() {
        assert_eq!(times(inputs(vec![file(&[9, 1, 5])])), (vec![9, 1, 5], 0));
    }
}
