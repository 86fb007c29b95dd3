//! Sessions: what one exporter sends us under one number; each becomes an interface of the file.

use std::collections::HashMap;
use std::net::IpAddr;

use super::sequence::{Arrival, Sequence};
use crate::decap::{Kind, Name, Wrapping};
use crate::pcapng::{Interface, Statistics, ETHERNET};
use crate::wire::ip::Addresses;

/// Layers that tell sessions apart.
const DEEPEST: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: u32,
    depth: usize,
    stack: [Wrapping; DEEPEST],
}

const NOTHING: Wrapping = Wrapping {
    kind: Kind::Link,
    id: None,
    outer: None,
    index: None,
};

/// One session and its account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// What it is called: ``web erspan2 100 10.0.0.1>10.0.0.2``.
    pub name: String,
    /// The source it came by.
    pub source: u32,
    /// Packets written.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Times of the first and the last, nanoseconds since the epoch.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// What its sequence numbers told; `None` when it has none, or a filter leaves some out.
    pub sequence: Option<Sequence>,
    /// The numbers go through all sessions of the exporter, and so does what they tell.
    pub shared: bool,
    exporter: usize,
}

/// Some senders number all their sessions in one row, others each by itself; nothing in a packet tells which.
#[derive(Clone, Debug, Default)]
struct Exporter {
    row: Sequence,
    sessions: Vec<u32>,
}

/// All sessions seen so far.
#[derive(Default)]
pub struct Sessions {
    known: HashMap<Key, u32>,
    latest: Option<(Key, u32)>,
    all: Vec<Session>,
    exporters: Vec<Exporter>,
    by_exporter: HashMap<(u32, Option<Addresses>, bool), usize>,
    names: HashMap<IpAddr, String>,
}

impl Sessions {
    /// So many are told apart: they come from the network, and memory is bounded.
    pub const MOST: usize = 1024;

    /// None yet; `names` are those of exporters.
    pub fn new(names: &[(IpAddr, String)]) -> Self {
        Self {
            names: names.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// The number of a session; an interface when it is new.  `None` when there are too many.
    #[inline]
    pub fn find(
        &mut self,
        source: u32,
        wrappings: &[Wrapping],
    ) -> Option<(u32, Option<Interface>)> {
        let key = key(source, wrappings);
        if let Some((_, number)) = self.latest.filter(|(latest, _)| *latest == key) {
            return Some((number, None));
        }
        if let Some(&number) = self.known.get(&key) {
            self.latest = Some((key, number));
            return Some((number, None));
        }
        self.add(key, wrappings)
    }

    #[cold]
    fn add(&mut self, key: Key, wrappings: &[Wrapping]) -> Option<(u32, Option<Interface>)> {
        if self.all.len() >= Self::MOST {
            return None;
        }
        let number = self.all.len() as u32;
        let plain = Name(&key.stack[..key.depth]).to_string();
        let exporter = wrappings.first().and_then(|first| first.outer);
        let named = exporter.and_then(|outer| self.names.get(&outer.pair().0));
        let name = named.map_or_else(|| plain.clone(), |name| format!("{name} {plain}"));
        let exporter = self.exporter(&key, number);
        self.all.push(Session {
            name: name.clone(),
            source: key.source,
            exporter,
            ..Session::default()
        });
        self.known.insert(key, number);
        self.latest = Some((key, number));
        let interface = Interface {
            linktype: ETHERNET,
            name,
            description: described(wrappings),
            ..Interface::default()
        };
        Some((number, Some(interface)))
    }

    /// Tunnels and mirrors are numbered apart even where all mirrors are numbered together.
    fn exporter(&mut self, key: &Key, session: u32) -> usize {
        let first = key.stack[0];
        let mirror = matches!(first.kind, Kind::Erspan2 | Kind::Erspan3);
        let next = self.exporters.len();
        let number = *self
            .by_exporter
            .entry((key.source, first.outer, mirror))
            .or_insert(next);
        if number == next {
            self.exporters.push(Exporter::default());
        }
        self.exporters[number].sessions.push(session);
        number
    }

    /// Account for one packet about to be written; how many are missing before it.
    #[inline]
    pub fn count(&mut self, number: u32, time: u64, length: u32, sequence: Option<u32>) -> u32 {
        let Some(session) = self.all.get_mut(number as usize) else {
            return 0;
        };
        session.packets += 1;
        session.bytes += u64::from(length);
        session.last = session.last.max(time);
        if session.first == 0 {
            session.first = time;
        }
        let Some(number) = sequence else {
            return 0;
        };
        let alone = session.sequence.get_or_insert_default().take(number);
        let together = self.exporters[session.exporter].row.take(number);
        match (alone, together) {
            (Arrival::Next(one), Arrival::Next(other)) => one.min(other),
            (Arrival::Next(missing), _) => missing,
            _ => 0,
        }
    }

    /// Packets counted as written were lost after all; the source they came by.
    pub fn lose(&mut self, number: usize, packets: u64, bytes: u64) -> Option<u32> {
        let session = self.all.get_mut(number)?;
        session.packets = session.packets.saturating_sub(packets);
        session.bytes = session.bytes.saturating_sub(bytes);
        Some(session.source)
    }

    /// Every session, with what its numbers told in the reading that finds less out of order.
    pub fn all(&self) -> Vec<Session> {
        let mut all = self.all.clone();
        for exporter in self
            .exporters
            .iter()
            .filter(|exporter| exporter.sessions.len() > 1)
        {
            let members = exporter.sessions.iter().map(|&number| number as usize);
            let apart = members
                .clone()
                .filter_map(|n| all[n].sequence.as_ref())
                .map(Sequence::faults);
            if exporter.row.faults() < apart.sum() {
                for number in members {
                    let session = &mut all[number];
                    session.shared = session.sequence.replace(exporter.row).is_some();
                }
            }
        }
        all
    }

    /// What the file says of each at its end; `first` is the number of the first one's interface.
    pub fn statistics(
        &self,
        first: usize,
        start: u64,
        now: u64,
    ) -> impl Iterator<Item = Statistics> + '_ {
        self.all()
            .into_iter()
            .enumerate()
            .map(move |(number, session)| Statistics {
                interface: (first + number) as u32,
                time: now,
                start,
                end: now,
                received: None,
                accepted: session.packets,
                os_dropped: 0,
                delivered: session.packets,
                comment: told(&session),
            })
    }
}

/// The index tells ports of one session apart, and is no part of its identity.
#[inline]
fn key(source: u32, wrappings: &[Wrapping]) -> Key {
    let depth = wrappings.len().min(DEEPEST);
    let mut stack = [NOTHING; DEEPEST];
    for (slot, wrapping) in stack.iter_mut().zip(wrappings) {
        *slot = Wrapping {
            index: None,
            ..*wrapping
        };
    }
    Key {
        source,
        depth,
        stack,
    }
}

fn described(wrappings: &[Wrapping]) -> String {
    let layers = wrappings.len();
    let index = wrappings.iter().find_map(|wrapping| wrapping.index);
    let taken = format!(
        "received and unwrapped, {layers} {}",
        if layers == 1 { "layer" } else { "layers" }
    );
    match index {
        None | Some(0) => taken,
        Some(index) => format!("{taken}, first index {index}{}", hexadecimal(index)),
    }
}

/// Open vSwitch reads its `erspan_idx` as hexadecimal, and people write it in decimal.
fn hexadecimal(index: u32) -> String {
    let text = format!("{index:x}");
    let confusing = index > 9 && text.bytes().all(|digit| digit.is_ascii_digit());
    if confusing {
        format!(" (Open vSwitch sends that for erspan_idx={text}, which it reads as hexadecimal)")
    } else {
        String::new()
    }
}

fn told(session: &Session) -> String {
    session.sequence.map_or_else(String::new, |s| {
        let of = if session.shared {
            " of all sessions of this exporter"
        } else {
            ""
        };
        format!(
            "sequence numbers{of}: missing {}, reordered {}, repeated {}, restarts {}",
            s.missing, s.reordered, s.repeated, s.restarts
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erspan(session: u32, index: u32, last: u8) -> [Wrapping; 1] {
        let outer = Some(Addresses::V4([10, 0, 0, last], [10, 0, 0, 9]));
        [Wrapping {
            kind: Kind::Erspan2,
            id: Some(session),
            outer,
            index: Some(index),
        }]
    }

    #[test]
    fn a_session_is_an_exporter_and_a_number_whatever_the_port() {
        let names = [("10.0.0.1".parse().unwrap(), "leaf1".to_owned())];
        let mut sessions = Sessions::new(&names);
        let (first, interface) = sessions.find(0, &erspan(7, 0x11, 1)).unwrap();
        let interface = interface.unwrap();
        assert_eq!(interface.name, "leaf1 erspan2 7 10.0.0.1>10.0.0.9");
        assert!(
            interface.description.contains("erspan_idx=11"),
            "{}",
            interface.description
        );
        assert!(matches!(
            sessions.find(0, &erspan(7, 5, 1)),
            Some((0, None))
        ));
        for other in [erspan(8, 5, 1), erspan(7, 5, 2)] {
            assert!(matches!(sessions.find(0, &other), Some((number, Some(_))) if number > first));
        }
        assert!(matches!(
            sessions.find(0, &erspan(7, 5, 1)),
            Some((0, None))
        ));
        assert!(matches!(
            sessions.find(1, &erspan(7, 5, 1)),
            Some((3, Some(_)))
        ));
    }

    /// Packets of two sessions by turns, with these numbers; what is missing in the end, and whether they share a row.
    fn by_turns(numbers: impl IntoIterator<Item = (u32, u32)>) -> (u64, u64, bool) {
        let mut sessions = Sessions::default();
        let mut told = 0;
        for (session, number) in numbers {
            let (found, _) = sessions.find(0, &erspan(session, 0, 1)).unwrap();
            told += u64::from(sessions.count(found, 1, 60, Some(number)));
        }
        let all = sessions.all();
        let missing = |session: &Session| session.sequence.map_or(0, |s| s.missing);
        let shared = all[0].shared;
        let missing = if shared {
            missing(&all[0])
        } else {
            all.iter().map(missing).sum()
        };
        (missing, told, shared)
    }

    #[test]
    fn a_row_may_go_through_all_sessions_of_an_exporter() {
        assert_eq!(by_turns((0..100).map(|n| (n % 2, n))), (0, 0, true));
        let gap = (0..100).filter(|n| !(40..45).contains(n));
        assert_eq!(by_turns(gap.map(|n| (n % 2, n))), (5, 5, true));
    }

    #[test]
    fn or_each_session_has_its_own() {
        assert_eq!(by_turns((0..100).map(|n| (n % 2, n / 2))), (0, 0, false));
        assert_eq!(
            by_turns((0..100).map(|n| (n % 2, n / 2 + n % 2 * 50_000))),
            (0, 0, false)
        );
        let gap = (0..100).filter(|n| !(40..44).contains(n));
        assert_eq!(
            by_turns(gap.map(|n| (n % 2, n / 2 + n % 2 * 50_000))),
            (4, 4, false)
        );
    }

    #[test]
    fn there_is_a_limit() {
        let mut sessions = Sessions::default();
        for number in 0..Sessions::MOST as u32 {
            assert!(sessions.find(0, &erspan(number, 0, 1)).is_some());
        }
        assert!(sessions.find(0, &erspan(0, 0, 2)).is_none());
        assert!(sessions.find(0, &erspan(5, 0, 1)).is_some());
    }

    #[test]
    fn what_is_missing_is_told_with_the_packet_behind_it() {
        let mut sessions = Sessions::default();
        sessions.find(0, &erspan(7, 0, 1));
        assert_eq!(
            [1, 2, 6].map(|n| sessions.count(0, n, 60, Some(n as u32))),
            [0, 0, 3]
        );
        let statistics = sessions.statistics(2, 0, 9).next().unwrap();
        assert_eq!((statistics.interface, statistics.delivered), (2, 3));
        assert_eq!(
            statistics.comment,
            "sequence numbers: missing 3, reordered 0, repeated 0, restarts 0"
        );
    }
}
