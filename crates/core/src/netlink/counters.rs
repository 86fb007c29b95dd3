//! Counters of devices, read together and cheaply enough for once a second on thousands.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;

use super::socket::{attributes, in_netns, u32_at, u64_at, Request, RouteSocket, DUMP};

const RTM_GETSTATS: u16 = 94;
const STATS_LINK_64: u16 = 1;
/// Up to so many devices are asked for one by one; more are cheaper as one dump.
const SINGLY: usize = 32;

/// A device's counters since it was made, from the device's view (rx = into the host's stack).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names of struct rtnl_link_stats64
pub struct LinkCounters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_dropped: u64,
    pub rx_errors: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
    pub tx_errors: u64,
    pub multicast: u64,
}

impl LinkCounters {
    /// From the kernel's `struct rtnl_link_stats64`; what is cut off counts as 0.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let field = |number: usize| u64_at(bytes, number * 8).unwrap_or(0);
        Self {
            rx_packets: field(0),
            tx_packets: field(1),
            rx_bytes: field(2),
            tx_bytes: field(3),
            rx_errors: field(4),
            tx_errors: field(5),
            rx_dropped: field(6),
            tx_dropped: field(7),
            multicast: field(8),
        }
    }
}

/// A socket kept open in one network namespace, to read counters again and again.
pub struct CounterReader(RouteSocket);

impl CounterReader {
    /// In `netns`, or the calling thread's own with `None`.
    pub fn open(netns: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        in_netns(netns, RouteSocket::open).map(Self)
    }

    /// The counters of each ifindex; `None` for a device that does not exist (any more).
    pub fn read(&mut self, indexes: &[u32]) -> io::Result<Vec<Option<LinkCounters>>> {
        if indexes.len() <= SINGLY {
            return indexes.iter().map(|&index| self.one(index)).collect();
        }
        let all: HashMap<_, _> = self.ask(0, true)?.into_iter().collect();
        Ok(indexes
            .iter()
            .map(|index| all.get(index).copied())
            .collect())
    }

    fn one(&mut self, index: u32) -> io::Result<Option<LinkCounters>> {
        if index == 0 {
            return Ok(None);
        }
        match self.ask(index, false) {
            Ok(found) => Ok(found.first().map(|&(_, counters)| counters)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask(&mut self, index: u32, dump: bool) -> io::Result<Vec<(u32, LinkCounters)>> {
        // struct if_stats_msg: family and padding, ifindex, filter mask
        let mut payload = [0; 12];
        payload[4..8].copy_from_slice(&index.to_ne_bytes());
        payload[8..].copy_from_slice(&(1u32 << (STATS_LINK_64 - 1)).to_ne_bytes());
        let request = Request {
            kind: RTM_GETSTATS,
            flags: if dump { DUMP } else { 0 },
            payload: &payload,
        };
        self.0.collect(&request, |_, payload| parse(payload))
    }
}

fn parse(payload: &[u8]) -> Option<(u32, LinkCounters)> {
    let index = u32_at(payload, 4)?;
    let (_, stats) = attributes(payload.get(12..)?).find(|&(kind, _)| kind == STATS_LINK_64)?;
    Some((index, LinkCounters::parse(stats)))
}

/// The counters of each ifindex in `netns` (`None`: the caller's own), read once.
pub fn counters(
    netns: Option<BorrowedFd<'_>>,
    indexes: &[u32],
) -> io::Result<Vec<Option<LinkCounters>>> {
    CounterReader::open(netns)?.read(indexes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn loopback_has_counters_and_absent_devices_have_none() {
        let read = counters(None, &[1, 0, 0x7fff_fff0]).unwrap();
        assert!(read[0].is_some());
        assert_eq!(read[1..], [None, None]);
    }

    #[test]
    fn a_dump_answers_like_single_questions() {
        let many: Vec<u32> = (0..100).collect();
        let read = counters(None, &many).unwrap();
        assert!(read[1].is_some());
        assert_eq!(
            read.iter().flatten().count(),
            counters(None, &many[..20])
                .unwrap()
                .iter()
                .flatten()
                .count()
        );
    }

    #[test]
    fn what_is_not_a_namespace_is_refused() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(counters(Some(file.as_fd()), &[1]).is_err());
    }

    #[test]
    fn a_cut_structure_reads_as_zero() {
        assert_eq!(LinkCounters::parse(&7u64.to_ne_bytes()).rx_packets, 7);
        assert_eq!(LinkCounters::parse(&[]), LinkCounters::default());
        assert_eq!(parse(&[0; 3]), None);
    }
}
