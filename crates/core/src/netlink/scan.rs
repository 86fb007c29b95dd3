//! Whole network namespaces at once: devices, addresses, neighbours, tunnels' peers.
//!
//! One thread of its own hops through them with `setns(2)`; a namespace that is gone or closed
//! to us is a result with an error, never a failure of the scan.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{move_into_link_name_space, LinkNameSpaceType};

use super::counters::{counters, LinkCounters};
use super::link::{self, Link};
use super::peers;
use super::socket::{attribute, attributes, u16_at, u32_at, Request, RouteSocket, DUMP};
use super::tunnel::address;

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETNEIGH: u16 = 30;
const AF_BRIDGE: u8 = 7;
const IFLA_EXT_MASK: u16 = 29;
/// `RTEXT_FILTER_BRVLAN_COMPRESSED`
const VLAN_RANGES: u32 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// `NUD_REACHABLE`, STALE, DELAY, PROBE and PERMANENT: somebody answered there.
const NEIGHBOUR_KNOWN: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

/// What one network namespace holds.
#[derive(Debug, Default)]
pub struct Namespace {
    /// Of the namespace that was really entered; 0 when it could not be opened.
    pub inode: u64,
    /// Why nothing could be read.
    pub error: Option<io::Error>,
    /// Its devices.
    pub links: Vec<Link>,
    /// Who is known at which address; read only where a tap hangs.
    pub neighbours: Vec<Neighbour>,
}

/// An entry of the ARP or neighbour discovery table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// ifindex of the device behind which it is.
    pub index: u32,
    /// Lower case with colons.
    pub mac: String,
    /// Without prefix length.
    pub address: String,
}

/// Read every namespace of `paths` ("" is the caller's own), in that order.
pub fn scan(paths: &[PathBuf]) -> io::Result<Vec<Namespace>> {
    hop(|traveller| {
        let mut found: Vec<_> = paths.iter().map(|path| visit(traveller, path)).collect();
        let mut inside = None;
        peers::resolve(&mut found, &mut |at, of| {
            if inside.as_ref().is_none_or(|&(current, _)| current != at) {
                traveller.enter(&paths[at]).ok()?;
                inside = Some((at, RouteSocket::open().ok()?));
            }
            let (_, socket) = inside.as_mut()?;
            peers::nsid(socket, &traveller.open(&paths[of]).ok()?)
        });
        found
    })
}

/// The counters of the wanted devices, namespace by namespace; a namespace that is gone has none.
pub fn counters_of(wanted: &[(PathBuf, Vec<u32>)]) -> io::Result<Vec<Vec<Option<LinkCounters>>>> {
    let read = |traveller: &Traveller, path: &Path, indexes: &[u32]| {
        traveller.enter(path)?;
        counters(None, indexes)
    };
    hop(|traveller| {
        let one = |(path, indexes): &(PathBuf, Vec<u32>)| {
            read(traveller, path, indexes).unwrap_or_else(|_| vec![None; indexes.len()])
        };
        wanted.iter().map(one).collect()
    })
}

/// A thread's way into namespaces and back.
pub(super) struct Traveller {
    home: OwnedFd,
    /// Whether it has left: who never does needs no privilege, not even to come back.
    away: Cell<bool>,
}

impl Traveller {
    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.home.try_clone();
        }
        // NONBLOCK: a path that turns out to be a FIFO must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }

    pub fn enter(&self, path: &Path) -> io::Result<OwnedFd> {
        let fd = self.open(path)?;
        if path.as_os_str().is_empty() && !self.away.get() {
            return Ok(fd);
        }
        move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network))?;
        self.away.set(true);
        Ok(fd)
    }
}

/// Run `work` on a thread that may change its namespace; the caller's never does.
pub(super) fn hop<T: Send>(work: impl FnOnce(&Traveller) -> T + Send) -> io::Result<T> {
    let travel = || {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())?;
        let away = Cell::new(false);
        Ok(work(&Traveller { home, away }))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, travel)?;
        thread
            .join()
            .map_err(|_| io::Error::other("the namespace thread panicked"))?
    })
}

fn visit(traveller: &Traveller, path: &Path) -> Namespace {
    let mut namespace = Namespace::default();
    let read = |namespace: &mut Namespace| {
        let fd = traveller.enter(path)?;
        namespace.inode = rustix::fs::fstat(&fd)?.st_ino;
        fill(namespace, &mut RouteSocket::open()?)
    };
    namespace.error = read(&mut namespace).err();
    namespace
}

fn fill(namespace: &mut Namespace, socket: &mut RouteSocket) -> io::Result<()> {
    namespace.links = dump(socket, RTM_GETLINK, &[0; 16], Link::parse)?;
    let place: HashMap<u32, usize> = namespace
        .links
        .iter()
        .enumerate()
        .map(|(place, link)| (link.index, place))
        .collect();
    for (index, address) in dump(socket, RTM_GETADDR, &[0; 8], parse_address)? {
        if let Some(&at) = place.get(&index) {
            namespace.links[at].addresses.push(address);
        }
    }
    if namespace
        .links
        .iter()
        .any(|link| link.vlan_protocol.is_some())
    {
        for (index, vlans) in dump(
            socket,
            RTM_GETLINK,
            &bridge_vlan_request(),
            link::port_vlans,
        )? {
            if let Some(&at) = place.get(&index) {
                namespace.links[at].port_vlans = vlans;
            }
        }
    }
    for link in namespace
        .links
        .iter_mut()
        .filter(|link| link.kind == "vxlan")
    {
        add_remotes(link, socket)?;
    }
    if namespace
        .links
        .iter()
        .any(|link| matches!(link.kind.as_str(), "tun" | "macvtap"))
    {
        namespace.neighbours = dump(socket, RTM_GETNEIGH, &[0; 12], parse_neighbour)?;
    }
    Ok(())
}

fn dump<T>(
    socket: &mut RouteSocket,
    kind: u16,
    payload: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    socket.collect(
        &Request {
            kind,
            flags: DUMP,
            payload,
        },
        |_, payload| parse(payload),
    )
}

fn bridge_vlan_request() -> Vec<u8> {
    let mut payload = vec![0; 16];
    payload[0] = AF_BRIDGE;
    payload.extend(attribute(IFLA_EXT_MASK, &VLAN_RANGES.to_ne_bytes()));
    payload
}

/// The peers in a VXLAN device's forwarding table.
fn add_remotes(link: &mut Link, socket: &mut RouteSocket) -> io::Result<()> {
    // A struct ifinfomsg instead of ndmsg: how every kernel since 3.12 lets a dump be limited to a device.
    let mut payload = [0; 16];
    payload[0] = AF_BRIDGE;
    payload[4..8].copy_from_slice(&link.index.to_ne_bytes());
    let index = link.index;
    let remote = |payload: &[u8]| {
        let (_, to) = attributes(payload.get(12..)?).find(|&(kind, _)| kind == NDA_DST)?;
        (u32_at(payload, 4)? == index).then(|| address(to))?
    };
    let mut remotes = dump(socket, RTM_GETNEIGH, &payload, remote)?;
    remotes.sort();
    remotes.dedup();
    if let Some(tunnel) = &mut link.tunnel {
        remotes.retain(|remote| !tunnel.remotes.contains(remote));
        tunnel.remotes.append(&mut remotes);
    }
    Ok(())
}

/// (ifindex, address/prefix length); the local one of a point-to-point pair.
fn parse_address(payload: &[u8]) -> Option<(u32, String)> {
    let (length, index) = (payload.get(1)?, u32_at(payload, 4)?);
    let find = |wanted| attributes(&payload[8..]).find(|&(kind, _)| kind == wanted);
    let (_, bytes) = find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS))?;
    Some((index, format!("{}/{length}", address(bytes)?)))
}

fn parse_neighbour(payload: &[u8]) -> Option<Neighbour> {
    let (index, state) = (u32_at(payload, 4)?, u16_at(payload, 8)?);
    let find = |wanted| attributes(payload.get(12..)?).find(|&(kind, _)| kind == wanted);
    let (mac, address) = (link::mac(find(NDA_LLADDR)?.1), address(find(NDA_DST)?.1)?);
    let known = state & NEIGHBOUR_KNOWN != 0 && !mac.is_empty();
    known.then_some(Neighbour {
        index,
        mac,
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_has_a_loopback() {
        let found = scan(&[PathBuf::new()]).unwrap();
        assert!(found[0].error.is_none() && found[0].inode != 0);
        let lo = found[0].links.iter().find(|link| link.loopback).unwrap();
        assert_eq!((lo.index, lo.name.as_str()), (1, "lo"));
    }

    #[test]
    fn a_namespace_that_is_none_is_a_result() {
        let paths = ["/nonexistent", "/proc/self/status", ""].map(PathBuf::from);
        let found = scan(&paths).unwrap();
        assert!(found[0].error.is_some() && found[1].error.is_some() && found[2].error.is_none());
        let wanted = [
            ("/nonexistent".into(), vec![1, 2]),
            (PathBuf::new(), vec![1]),
        ];
        let read = counters_of(&wanted).unwrap();
        assert_eq!(read[0], [None, None]);
        assert!(read[1][0].is_some());
    }

    #[test]
    fn short_messages_are_left_out() {
        for length in 0..12 {
            assert_eq!(parse_neighbour(&[0; 12][..length]), None);
            assert_eq!(parse_address(&[0; 12][..length]), None);
        }
    }

    #[test]
    fn a_neighbour_counts_once_it_answered() {
        let entry = |state: u16| {
            let mut bytes = vec![0; 12];
            bytes[4..8].copy_from_slice(&9u32.to_ne_bytes());
            bytes[8..10].copy_from_slice(&state.to_ne_bytes());
            bytes.extend(attribute(NDA_DST, &[10, 0, 0, 5]));
            bytes.extend(attribute(NDA_LLADDR, &[2, 0, 0, 0, 0, 1]));
            bytes
        };
        let known = Neighbour {
            index: 9,
            mac: "02:00:00:00:00:01".into(),
            address: "10.0.0.5".into(),
        };
        assert_eq!(parse_neighbour(&entry(0x04)), Some(known));
        assert_eq!(parse_neighbour(&entry(0x20)), None);
    }
}
