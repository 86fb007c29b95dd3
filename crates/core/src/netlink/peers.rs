//! Which device in which namespace is at the other end.
//!
//! The kernel names the other end by its ifindex and by a number for its namespace that means
//! something only inside the asking one (`IFLA_LINK_NETNSID`).  Asking every namespace about
//! every other would take a million questions for a thousand of them; a veth's ends point at
//! each other, which leaves few candidates, and those are asked about.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};

use super::scan::Namespace;
use super::socket::{attribute, attributes, i32_at, Request, RouteSocket};

const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// The number the socket's namespace uses for the one behind `fd`; `None` when it has none.
pub(super) fn nsid(socket: &mut RouteSocket, fd: &OwnedFd) -> Option<i32> {
    let mut payload = vec![0; 4];
    payload.extend(attribute(NETNSA_FD, &fd.as_raw_fd().to_ne_bytes()));
    let request = Request {
        kind: RTM_GETNSID,
        flags: 0,
        payload: &payload,
    };
    let read = |_, payload: &[u8]| {
        let (_, id) = attributes(payload.get(4..)?).find(|&(kind, _)| kind == NETNSA_NSID)?;
        i32_at(id, 0)
    };
    socket
        .collect(&request, read)
        .ok()?
        .first()
        .copied()
        .filter(|&id| id >= 0)
}

/// Fill `Link::peer` wherever it can be found.
///
/// `ask(at, of)` tells the number that namespace `at` uses for namespace `of`.
pub(super) fn resolve(found: &mut [Namespace], ask: &mut impl FnMut(usize, usize) -> Option<i32>) {
    let mut map = Map::new(found);
    let mut order: Vec<_> = (0..found.len()).collect();
    // The busiest first: a switch's namespace names all its guests, and each answer settles both ends.
    order.sort_by_key(|&at| std::cmp::Reverse(map.foreign[at].len()));
    for at in order {
        for place in std::mem::take(&mut map.foreign[at]) {
            if found[at].links[place].peer.is_none() {
                settle(found, &mut map, at, place, ask);
            }
        }
    }
}

/// Kinds of devices that come in pairs, each end pointing at the other.
fn paired(kind: &str) -> bool {
    matches!(kind, "veth" | "netkit")
}

/// What is known while resolving; namespaces and links by their positions.
struct Map {
    /// Of each namespace: the links whose other end is elsewhere.
    foreign: Vec<Vec<usize>>,
    /// (own ifindex, ifindex of the other end) of pairs: where they are.
    pairs: HashMap<(u32, u32), Vec<usize>>,
    /// ifindex: the namespaces that have it.
    holders: HashMap<u32, Vec<usize>>,
    /// Of each namespace: its number for another -> that one's position.
    numbers: Vec<HashMap<i32, usize>>,
    /// Questions already asked.
    asked: HashSet<(usize, usize)>,
}

impl Map {
    fn new(found: &mut [Namespace]) -> Self {
        let mut map = Self {
            foreign: vec![Vec::new(); found.len()],
            pairs: HashMap::new(),
            holders: HashMap::new(),
            numbers: vec![HashMap::new(); found.len()],
            asked: HashSet::new(),
        };
        for (at, namespace) in found.iter_mut().enumerate() {
            for (place, link) in namespace.links.iter_mut().enumerate() {
                map.holders.entry(link.index).or_default().push(at);
                if link.link == 0 {
                    continue;
                }
                if link.link_netnsid.is_none() {
                    link.peer = Some((at, link.link));
                    continue;
                }
                map.foreign[at].push(place);
                if paired(&link.kind) {
                    map.pairs
                        .entry((link.index, link.link))
                        .or_default()
                        .push(at);
                }
            }
        }
        map
    }

    fn candidates(&self, kind: &str, index: u32, link: u32) -> Vec<usize> {
        let found = if paired(kind) {
            self.pairs.get(&(link, index))
        } else {
            self.holders.get(&link)
        };
        found.cloned().unwrap_or_default()
    }
}

fn settle(
    found: &mut [Namespace],
    map: &mut Map,
    at: usize,
    place: usize,
    ask: &mut impl FnMut(usize, usize) -> Option<i32>,
) {
    let link = &found[at].links[place];
    let (Some(number), index, other) = (link.link_netnsid, link.index, link.link) else {
        return;
    };
    let is_pair = paired(&link.kind);
    for of in map.candidates(&link.kind, index, other) {
        if map.numbers[at].contains_key(&number) {
            break;
        }
        if of != at && map.asked.insert((at, of)) {
            if let Some(answer) = ask(at, of) {
                map.numbers[at].insert(answer, of);
            }
        }
    }
    let Some(&of) = map.numbers[at].get(&number) else {
        return;
    };
    let Some(end) = found[of].links.iter_mut().find(|end| end.index == other) else {
        return;
    };
    if is_pair {
        end.peer = Some((at, index));
        map.numbers[of].extend(end.link_netnsid.map(|number| (number, at)));
    }
    found[at].links[place].peer = Some((of, other));
}

#[cfg(test)]
mod tests {
    use super::super::link::Link;
    use super::*;

    fn end(kind: &str, index: u32, link: u32, number: Option<i32>) -> Link {
        Link {
            kind: kind.into(),
            index,
            link,
            link_netnsid: number,
            ..Link::default()
        }
    }

    fn namespaces(all: &[&[Link]]) -> Vec<Namespace> {
        all.iter()
            .map(|links| Namespace {
                links: links.to_vec(),
                ..Namespace::default()
            })
            .collect()
    }

    fn peers(found: &[Namespace]) -> Vec<Vec<Option<(usize, u32)>>> {
        found
            .iter()
            .map(|n| n.links.iter().map(|l| l.peer).collect())
            .collect()
    }

    #[test]
    fn one_question_settles_both_ends() {
        let mut found = namespaces(&[
            &[end("veth", 2, 10, Some(0))],
            &[end("veth", 10, 2, Some(5)), end("veth", 11, 2, Some(6))],
            &[end("veth", 2, 11, Some(0))],
        ]);
        let mut questions = Vec::new();
        resolve(&mut found, &mut |at, of| {
            questions.push((at, of));
            Some(if of == 0 { 5 } else { 6 })
        });
        assert_eq!(questions, [(1, 0), (1, 2)]);
        assert_eq!(
            peers(&found),
            [
                vec![Some((1, 10))],
                vec![Some((0, 2)), Some((2, 2))],
                vec![Some((1, 11))]
            ]
        );
    }

    #[test]
    fn look_alikes_are_told_apart_by_asking() {
        // Two pairs with the same numbers: 0-1 and 2-3.
        let one = || end("veth", 2, 2, Some(0));
        let mut found = namespaces(&[&[one()], &[one()], &[one()], &[one()]]);
        resolve(&mut found, &mut |at, of| (at ^ 1 == of).then_some(0));
        assert_eq!(
            peers(&found).concat(),
            [Some((1, 2)), Some((0, 2)), Some((3, 2)), Some((2, 2))]
        );
    }

    #[test]
    fn a_macvlan_points_down_and_nothing_points_back() {
        let mut found = namespaces(&[
            &[end("", 3, 0, None)],
            &[end("macvlan", 2, 3, Some(1)), end("vlan", 4, 2, None)],
        ]);
        resolve(&mut found, &mut |_, _| Some(1));
        assert_eq!(
            peers(&found),
            [vec![None], vec![Some((0, 3)), Some((1, 2))]]
        );
    }

    #[test]
    fn what_cannot_be_seen_stays_unknown() {
        let mut found = namespaces(&[&[end("veth", 2, 9, Some(0))], &[end("veth", 9, 7, Some(0))]]);
        resolve(&mut found, &mut |_, _| {
            panic!("nobody points back, so there is nothing to ask")
        });
        assert_eq!(peers(&found).concat(), [None, None]);
    }
}
