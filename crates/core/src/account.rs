//! What the engine counts, and the sentence it writes into the file about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::collect::{Session, Strangers};
use crate::netlink::LinkCounters;

/// Packets, captured bytes and original bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tally {
    pub packets: u64,
    pub captured: u64,
    pub length: u64,
}

/// What was written of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Bytes kept.
    pub captured: usize,
    /// Bytes wanted of it.
    pub wanted: usize,
    /// Bytes on the wire.
    pub length: u32,
    /// It should have been unwrapped and could not be.
    pub still_wrapped: bool,
}

/// The account of one source. All counts since the capture began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAccount {
    /// The interface's name.
    pub name: String,
    /// A filter was attached, so what the port saw more than we accepted was filtered out.
    pub filtered: bool,
    /// Packets and bytes the device counted; `None` when it could not be read.
    pub port: Option<(u64, u64)>,
    /// Packets the kernel's filter accepted.
    pub accepted: u64,
    /// Of those, lost because the ring was full.
    pub kernel_dropped: u64,
    /// Read and then lost by us.
    pub engine_dropped: u64,
    /// Read after a limit was reached.
    pub beyond_limit: u64,
    /// Read, and then refused by the part of the filter that was too long for the kernel.
    pub refused: u64,
    /// Of those written, still wrapped: they should have been unwrapped and could not be.
    pub wrapped: u64,
    /// Left out by the kernel because the capture had stepped down to a sample.
    pub governed: u64,
    /// Nobody counted them: `governed` is computed from those that were kept.
    pub governed_estimated: bool,
    /// Of those written, cut shorter than the snap length asked for, because the capture had stepped down.
    pub cut: u64,
    /// Written.
    pub written: u64,
    /// Captured bytes written.
    pub written_bytes: u64,
    /// What they would be if nothing had been cut but by the snap length asked for.
    pub whole_bytes: u64,
    /// Their original bytes.
    pub wire_bytes: u64,
    /// Time of the first and last written packet, 0 when none.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Why this source ended before the capture; empty while it runs.
    pub ended: String,
}

impl SourceAccount {
    /// A packet was written.
    #[inline]
    pub fn wrote(&mut self, packet: &Written) {
        self.written += 1;
        self.wrapped += u64::from(packet.still_wrapped);
        self.written_bytes += packet.captured as u64;
        self.whole_bytes += packet.wanted as u64;
        self.wire_bytes += u64::from(packet.length);
        self.last = self.last.max(packet.time);
        if self.first == 0 {
            self.first = packet.time;
        }
    }

    /// Packets that came out of the ring, or never will.
    pub fn settled(&self) -> u64 {
        self.kernel_dropped + self.engine_dropped + self.beyond_limit + self.refused + self.written
    }

    /// Packets counted as written turned out to be lost.
    pub fn lose(&mut self, lost: &Tally) {
        self.written = self.written.saturating_sub(lost.packets);
        self.written_bytes = self.written_bytes.saturating_sub(lost.captured);
        self.wire_bytes = self.wire_bytes.saturating_sub(lost.length);
        self.engine_dropped += lost.packets;
    }

    /// The ledger in one line, for the file.
    pub fn ledger(&self) -> String {
        let kept = format!(
            "kernel dropped {} + dropped by tapwright {} + beyond limit {} + written {}",
            self.kernel_dropped, self.engine_dropped, self.beyond_limit, self.written
        );
        let mut ended = match self.wrapped {
            0 => String::new(),
            wrapped => {
                format!("; {wrapped} written as they came, since they could not be unwrapped")
            }
        };
        if self.cut > 0 {
            ended = format!("{ended}; {} cut short to spare the host", self.cut);
        }
        if !self.ended.is_empty() {
            ended = format!("{ended}; {}", self.ended);
        }
        let Some((seen, _)) = self.port else {
            return format!(
                "ledger: seen unknown (the port's counters could not be read); {kept}{ended}"
            );
        };
        let refused = if self.filtered {
            seen.saturating_sub(self.accepted)
                .saturating_sub(self.governed)
                + self.refused
        } else {
            0
        };
        let settled = self.settled() - self.refused + self.governed;
        let rest = i128::from(seen) - i128::from(refused) - i128::from(settled);
        let stepped = match (self.governed, self.governed_estimated) {
            (0, _) => String::new(),
            (left_out, true) => format!("stepped down {left_out} (estimated) + "),
            (left_out, false) => format!("stepped down {left_out} + "),
        };
        format!(
            "ledger: seen {seen} = filtered {refused} + {stepped}{kept}; unaccounted {rest}{ended}"
        )
    }
}

/// The account of a whole capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// By source.
    pub sources: Vec<SourceAccount>,
    /// Bytes written to the output.
    pub file_bytes: u64,
    /// Files that exist.
    pub files: Vec<PathBuf>,
    /// Mirrors that were received, by exporter and number; a moment old while it runs.
    pub sessions: Arc<Vec<Session>>,
    /// Senders nobody named.
    pub strangers: Strangers,
    /// Packets written out of order.
    pub reordered: u64,
    /// Nanoseconds that the engine's thread has had of a processor.
    pub cpu: u64,
    /// Steps that some device's filter could not be changed for.
    pub stuck: u64,
    /// Why the capture ended; empty while it runs.
    pub ended: String,
    /// Nanoseconds since the start.
    pub elapsed: u64,
}

/// What a packet socket on a device should have seen between two readings of its counters: packets, bytes.
///
/// The socket sees what enters the host's stack (rx) and what is handed to the driver, also what the
/// driver then refuses because the guest does not take it (`tx_dropped`, counted in packets only).
pub fn between(before: &LinkCounters, after: &LinkCounters) -> (u64, u64) {
    let sum = |c: &LinkCounters| {
        c.rx_packets
            .wrapping_add(c.tx_packets)
            .wrapping_add(c.tx_dropped)
    };
    let bytes = |c: &LinkCounters| c.rx_bytes.wrapping_add(c.tx_bytes);
    (
        sum(after).saturating_sub(sum(before)),
        bytes(after).saturating_sub(bytes(before)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_adds_up() {
        let mut account = SourceAccount {
            filtered: true,
            port: Some((1000, 0)),
            accepted: 100,
            kernel_dropped: 10,
            written: 90,
            ..SourceAccount::default()
        };
        assert_eq!(
            account.ledger(),
            "ledger: seen 1000 = filtered 900 + kernel dropped 10 + dropped by tapwright 0 + beyond limit 0 \
             + written 90; unaccounted 0"
        );
        account.refused = 40;
        account.accepted = 140;
        account.wrapped = 2;
        assert_eq!(
            account.ledger(),
            "ledger: seen 1000 = filtered 900 + kernel dropped 10 + dropped by tapwright 0 + beyond limit 0 \
             + written 90; unaccounted 0; 2 written as they came, since they could not be unwrapped"
        );
        (account.refused, account.wrapped) = (0, 0);
        account.filtered = false;
        assert!(account.ledger().ends_with("unaccounted 900"));
        (account.governed, account.governed_estimated, account.cut) = (800, true, 7);
        assert_eq!(
            account.ledger(),
            "ledger: seen 1000 = filtered 0 + stepped down 800 (estimated) + kernel dropped 10 + dropped by \
             tapwright 0 + beyond limit 0 + written 90; unaccounted 100; 7 cut short to spare the host"
        );
        (account.governed, account.cut) = (0, 0);
        account.ended = "device gone".into();
        account.port = None;
        assert!(account.ledger().ends_with("written 90; device gone"));
    }
}
