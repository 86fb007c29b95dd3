//! Packets as columns, handed to a reader through a bounded queue.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Tally;
use crate::pcapng::Packet;

/// Bytes a batch is handed over at.
const FULL: usize = 1 << 20;
/// Bytes that may wait for the reader.
const WAITING: usize = 16 << 20;

/// Packets as columns; packet `i` is `data[offset[i]..][..captured[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Batch {
    pub time: Vec<u64>,
    pub source: Vec<u32>,
    pub direction: Vec<u8>,
    pub length: Vec<u32>,
    pub captured: Vec<u32>,
    pub offset: Vec<u64>,
    pub data: Vec<u8>,
}

impl Batch {
    /// Number of packets.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Bytes it takes, roughly.
    fn weight(&self) -> usize {
        self.data.len() + self.len() * 29
    }

    /// Add a packet.
    pub fn push(&mut self, packet: &Packet<'_>) {
        self.time.push(packet.time);
        self.source.push(packet.interface);
        self.direction.push((packet.flags & 3) as u8);
        self.length.push(packet.length);
        self.offset.push(self.data.len() as u64);
        for part in packet.data {
            self.data.extend_from_slice(part);
        }
        let start = self.offset.last().copied().unwrap_or_default();
        self.captured.push((self.data.len() as u64 - start) as u32);
    }

    /// Whether it should be handed over now.
    pub fn is_full(&self) -> bool {
        self.weight() >= FULL
    }

    /// What it holds, by source.
    pub fn tally(&self) -> Vec<Tally> {
        let sources = self
            .source
            .iter()
            .max()
            .map_or(0, |&last| last as usize + 1);
        let mut found = vec![Tally::default(); sources];
        for ((&source, &captured), &length) in
            self.source.iter().zip(&self.captured).zip(&self.length)
        {
            if let Some(tally) = found.get_mut(source as usize) {
                tally.packets += 1;
                tally.captured += u64::from(captured);
                tally.length += u64::from(length);
            }
        }
        found
    }
}

#[derive(Default)]
struct Inside {
    waiting: VecDeque<Batch>,
    bytes: usize,
    closed: bool,
}

/// The queue between the engine and a reader; the engine never waits for it.
#[derive(Default)]
pub struct Queue {
    inside: Mutex<Inside>,
    arrived: Condvar,
}

impl Queue {
    /// Hand a batch over; gives it back when the reader is too far behind.
    pub fn offer(&self, batch: Batch) -> Result<(), Box<Batch>> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.bytes + batch.weight() > WAITING && !inside.waiting.is_empty() {
            return Err(Box::new(batch));
        }
        inside.bytes += batch.weight();
        inside.waiting.push_back(batch);
        self.arrived.notify_one();
        Ok(())
    }

    /// No more will come.
    pub fn close(&self) {
        self.inside
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.arrived.notify_all();
    }

    /// The next batch; `None` after `timeout`, or when it is closed and empty.
    pub fn take(&self, timeout: Duration) -> Option<Batch> {
        let end = Instant::now().checked_add(timeout);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while inside.waiting.is_empty() && !inside.closed {
            let left = end.map_or(Duration::MAX, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return None;
            }
            let wait = left.min(Duration::from_secs(3600));
            inside = self
                .arrived
                .wait_timeout(inside, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let batch = inside.waiting.pop_front()?;
        inside.bytes -= batch.weight();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(data: &[u8]) -> Packet<'_> {
        Packet {
            interface: 1,
            time: 5,
            length: 99,
            flags: 2,
            dropped: 0,
            data: [data, &[], &[]],
            comment: "",
        }
    }

    #[test]
    fn columns_agree() {
        let mut batch = Batch::default();
        batch.push(&packet(b"abc"));
        batch.push(&packet(b"defgh"));
        assert_eq!(
            (batch.len(), &batch.captured[..], &batch.offset[..]),
            (2, &[3, 5][..], &[0, 3][..])
        );
        assert_eq!(&batch.data[3..8], b"defgh");
        assert_eq!(
            batch.tally()[1],
            Tally {
                packets: 2,
                captured: 8,
                length: 198
            }
        );
    }

    #[test]
    fn a_reader_too_far_behind_costs_packets_not_memory() {
        let queue = Queue::default();
        let mut batch = Batch::default();
        batch.push(&packet(&vec![0; WAITING / 2]));
        assert!(queue.offer(batch.clone()).is_ok());
        assert!(queue.offer(batch.clone()).is_err());
        assert!(queue.take(Duration::ZERO).is_some());
        assert!(queue.take(Duration::ZERO).is_none());
        assert!(queue.offer(batch).is_ok());
        queue.close();
        assert!(queue.take(Duration::MAX).is_some());
        assert!(queue.take(Duration::MAX).is_none());
    }
}
