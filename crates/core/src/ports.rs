//! The devices' own counters, the account that the packet sockets' is held against.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use crate::netlink::{CounterReader, LinkCounters};
use crate::netns::Netns;
use crate::source::Source;

/// Readers of device counters, one in each namespace.
#[derive(Default)]
pub struct Ports {
    /// `None` where the kernel refused one: the capture does without.
    readers: HashMap<String, Option<CounterReader>>,
}

impl Ports {
    /// Be ready to read in the namespace at `path`; "" is our own.
    pub fn prepare(&mut self, path: &str) -> io::Result<()> {
        if !self.readers.contains_key(path) {
            let netns = Netns::open(path)?;
            let file = netns.as_ref().map(|(_, file)| file.as_fd());
            self.readers
                .insert(path.to_owned(), CounterReader::open(file).ok());
        }
        Ok(())
    }

    /// Read the counters of every source's device.
    pub fn refresh(&mut self, sources: &mut [Source]) {
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, source) in sources.iter().enumerate() {
            let numbers = by_path.entry(source.spec().netns.clone()).or_default();
            numbers.push(number);
        }
        for (path, numbers) in by_path {
            let indexes: Vec<u32> = numbers.iter().map(|&n| sources[n].spec().index).collect();
            for (number, counters) in numbers.into_iter().zip(self.read(&path, &indexes)) {
                sources[number].set_counters(counters);
            }
        }
    }

    /// The counters of devices of one namespace; `None` for each that is gone or cannot be read.
    fn read(&mut self, path: &str, indexes: &[u32]) -> Vec<Option<LinkCounters>> {
        self.readers
            .get_mut(path)
            .and_then(Option::as_mut)
            .and_then(|reader| reader.read(indexes).ok())
            .unwrap_or_else(|| vec![None; indexes.len()])
    }

    /// The counters of one device.
    pub fn read_one(&mut self, path: &str, index: u32) -> Option<LinkCounters> {
        self.read(path, &[index]).first().copied().flatten()
    }

    /// Let go of every namespace but those `wanted`: an open socket keeps one alive.
    pub fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.readers.retain(|path, _| wanted(path));
    }
}
