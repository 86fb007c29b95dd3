//! `split`: one file for each VM, tunnel, flow, stretch of time or amount.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::carry::{About, Carry};
use super::clock;
use super::error::OfflineError;
use super::flow::Flow;
use super::progress::Progress;
use super::pump::{pump, whole, At, Go, Pumped, Verb};
use super::report::{BlockCounts, Totals};
use crate::decap::{Decap, Kind, Options};
use crate::pcapng::CopiedPacket;
use crate::read::{BlockKind, Inputs, Interface, Item, Origin, Packet};
use crate::write::{Creation, WriteError, Writer};

/// What decides into which file a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The VM, by the interface's name `VM/nic`; any other name is taken whole.
    Vm,
    /// The innermost tunnel: its kind and VNI, key or session.
    Vni,
    /// The innermost frame's addresses, ports and protocol, and its tunnel.
    Flow,
    /// Stretches of so many nanoseconds, counted from the epoch.
    Time(u64),
    /// So many bytes in each file.
    Size(u64),
}

/// What to split, and how.
#[derive(Clone, Debug)]
pub struct SplitJob {
    /// Files to read.
    pub inputs: Vec<PathBuf>,
    /// Names of the files to write, `{}` standing for what each one is of.
    pub pattern: String,
    /// How to make them.
    pub creation: Creation,
    /// By what.
    pub by: By,
    /// Most files; what would need another one goes into the one called `rest`.
    pub most: usize,
    /// How to find the innermost frame.
    pub options: Options,
    /// What the outputs say of themselves.
    pub about: About,
}

/// One file that was written.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub path: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// Bytes in it, before compression.
    pub bytes: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct SplitReport {
    /// Inputs and outputs.
    pub totals: Totals,
    /// The files, in the order they were begun.
    pub parts: Vec<Part>,
}

/// A tunnel, whichever way its packets go.
type Tunnel = (Kind, Option<u32>);

/// What decides, for one packet.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Tunnel(Option<Tunnel>),
    Flow(Option<Tunnel>, Option<Flow>),
    Time(u64),
    Size(u64),
    Rest,
}

impl Key {
    /// What stands in the file's name.
    fn name(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Tunnel(None) => "plain".into(),
            Self::Tunnel(Some(tunnel)) => tunnel_name(*tunnel),
            Self::Flow(None, flow) => flow.map_or("other".into(), |flow| flow.to_string()),
            Self::Flow(Some(tunnel), flow) => {
                format!(
                    "{}_{}",
                    tunnel_name(*tunnel),
                    flow.map_or("other".into(), |flow| flow.to_string())
                )
            }
            Self::Time(begin) => clock::compact(*begin),
            Self::Size(number) => format!("{:05}", number + 1),
            Self::Rest => "rest".into(),
        }
    }
}

fn tunnel_name((kind, id): Tunnel) -> String {
    id.map_or_else(
        || kind.name().to_owned(),
        |id| format!("{}-{id}", kind.name()),
    )
}

/// Blocks that every file gets, as long as they are not too many.
const MOST_SHARED: usize = 4 << 20;

struct File {
    carry: Carry,
    path: PathBuf,
    packets: u64,
}

struct Work<'j> {
    job: &'j SplitJob,
    decap: Decap,
    files: Vec<File>,
    by_key: HashMap<Key, usize>,
    names: HashMap<String, u32>,
    shared: Vec<(u32, Vec<u8>)>,
    shared_size: usize,
    left_out: BlockCounts,
    filled: u64,
}

impl SplitJob {
    /// Do it.
    pub fn run(&self, progress: &Progress) -> Result<SplitReport, OfflineError> {
        let mut work = Work {
            job: self,
            decap: Decap::new(&self.options),
            files: Vec::new(),
            by_key: HashMap::new(),
            names: HashMap::new(),
            shared: Vec::new(),
            shared_size: 0,
            left_out: BlockCounts::default(),
            filled: 0,
        };
        let (pumped, _) = pump(&self.inputs, progress, &mut work)?;
        work.finish(pumped)
    }
}

impl Work<'_> {
    fn key(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Key {
        match self.job.by {
            By::Vm => Key::Name(
                at.interface(packet)
                    .map_or_else(String::new, |found| vm(found, at, packet.interface)),
            ),
            By::Vni => Key::Tunnel(self.inner(at, packet).0),
            By::Flow => {
                let (tunnel, flow) = self.inner(at, packet);
                Key::Flow(tunnel, flow)
            }
            By::Time(stretch) => {
                let time = packet.time.unwrap_or(0);
                Key::Time(time - time % stretch.max(1))
            }
            By::Size(_) => Key::Size(self.filled),
        }
    }

    fn inner(&mut self, at: &At<'_>, packet: &Packet<'_>) -> (Option<Tunnel>, Option<Flow>) {
        let Some(interface) = at.interface(packet) else {
            return (None, None);
        };
        let (data, wire) = whole(packet, interface);
        let found = self.decap.unwrap(interface.link, data, wire);
        let tunnel = match found.wrappings.last() {
            Some(wrapping) => Some((wrapping.kind, wrapping.id)),
            None => named(&interface.name),
        };
        (tunnel, Flow::of(&found.frame))
    }

    fn file(&mut self, key: Key) -> Result<usize, WriteError> {
        if let Some(&index) = self.by_key.get(&key) {
            return Ok(index);
        }
        let room =
            self.files.len() < self.job.most.max(1) - 1 || matches!(key, Key::Rest | Key::Size(_));
        if !room {
            return self.file(Key::Rest);
        }
        let path = self.path(&key.name());
        let carry = Carry::of(
            Writer::create_small(&path, self.job.creation)?,
            &self.job.about,
        );
        self.files.push(File {
            carry,
            path,
            packets: 0,
        });
        self.by_key.insert(key, self.files.len() - 1);
        Ok(self.files.len() - 1)
    }

    /// A name with nothing in it that could lead elsewhere; two keys never get the same one.
    fn path(&mut self, name: &str) -> PathBuf {
        let harmless = |c: char| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        };
        let safe: String = name.chars().take(100).map(harmless).collect();
        let safe = safe.trim_start_matches(['.', '-']).to_owned();
        let safe = if safe.is_empty() {
            "unnamed".to_owned()
        } else {
            safe
        };
        let count = self.names.entry(safe.clone()).or_insert(0);
        *count += 1;
        let unique = if *count == 1 {
            safe
        } else {
            format!("{safe}~{count}")
        };
        Path::new(&self.job.pattern.replace("{}", &unique)).to_owned()
    }

    /// Begin a file: the blocks that all have come before its first packet.
    fn begin(&mut self, index: usize, inputs: &Inputs) -> Result<(), WriteError> {
        let Some(file) = self.files.get_mut(index) else {
            return Ok(());
        };
        file.carry.begin(inputs)?;
        for (kind, body) in &self.shared {
            file.carry.writer.block(*kind, body)?;
        }
        Ok(())
    }

    fn share(&mut self, kind: BlockKind, body: &[u8]) -> Result<(), WriteError> {
        if !kind.may_copy() || self.shared_size + body.len() > MOST_SHARED {
            self.left_out.count(kind);
            return Ok(());
        }
        self.shared_size += body.len();
        self.shared.push((kind.number(), body.to_vec()));
        for file in &mut self.files {
            file.carry.writer.block(kind.number(), body)?;
        }
        Ok(())
    }

    fn finish(self, pumped: Pumped) -> Result<SplitReport, OfflineError> {
        let mut parts = Vec::with_capacity(self.files.len());
        for file in self.files {
            let bytes = file.carry.writer.finish()?;
            parts.push(Part {
                path: file.path,
                packets: file.packets,
                bytes,
            });
        }
        Ok(SplitReport {
            totals: Totals {
                inputs: pumped.inputs,
                packets: pumped.packets,
                written: parts.iter().map(|part| part.packets).sum(),
                bytes: parts.iter().map(|part| part.bytes).sum(),
                left_out: self.left_out.report(),
            },
            parts,
        })
    }
}

/// The tunnel an unwrapped packet was in, when its interface is named after it: `vxlan 5001 172.16.0.1>172.16.0.2`.
fn named(interface: &str) -> Option<Tunnel> {
    let innermost = interface.rsplit(" / ").next()?;
    let mut words = innermost.split(' ');
    let kind = words.by_ref().find_map(Kind::named)?;
    let next = words.next()?;
    let id = next.parse().ok();
    (id.is_some() || next.contains('>')).then_some((kind, id))
}

/// The VM of an interface named `VM/nic`, the whole name of any other, or where it is from.
fn vm(interface: &Interface, at: &At<'_>, index: u32) -> String {
    match interface.name.rsplit_once('/') {
        Some((vm, _)) => vm.to_owned(),
        None if interface.name.is_empty() => {
            let file = at
                .inputs
                .path(at.origin)
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            format!("{file}-{index}")
        }
        None => interface.name.clone(),
    }
}

impl Verb for Work<'_> {
    fn packet(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Result<Go, WriteError> {
        let key = self.key(at, packet);
        let index = self.file(key)?;
        if self.files.get(index).is_some_and(|file| file.packets == 0) {
            self.begin(index, at.inputs)?;
        }
        let Some(file) = self.files.get_mut(index) else {
            return Ok(Go::On);
        };
        file.packets += 1;
        let interface = file
            .carry
            .interface(at.inputs, at.origin, packet.interface)?;
        file.carry
            .writer
            .packet(&CopiedPacket::of(packet, interface))?;
        match self.job.by {
            By::Size(size) if file.carry.writer.written() >= size => {
                self.filled += 1;
                file.carry.writer.park()?;
            }
            _ => {}
        }
        Ok(Go::On)
    }

    fn other(
        &mut self,
        _inputs: &Inputs,
        origin: Origin,
        item: &Item<'_>,
    ) -> Result<(), WriteError> {
        match item {
            Item::Block(block) => self.share(block.kind, block.body),
            Item::Statistics(statistics) => {
                for file in &mut self.files {
                    file.carry.known_statistics(origin, statistics)?;
                }
                Ok(())
            }
            Item::Packet(_) | Item::Section(_) | Item::Interface(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_by_the_names_of_interfaces() {
        assert_eq!(
            named("vxlan 5001 10.0.0.1>10.0.0.2"),
            Some((Kind::Vxlan, Some(5001)))
        );
        let nested = "erspan2 100 index 5 10.9.0.1>10.9.0.2 / geneve 7 10.0.0.1>10.0.0.2";
        assert_eq!(named(nested), Some((Kind::Geneve, Some(7))));
        assert_eq!(
            named("leaf-1 erspan2 100 10.9.0.1>10.9.0.2"),
            Some((Kind::Erspan2, Some(100)))
        );
        assert_eq!(named("ipip 10.0.0.1>10.0.0.2"), Some((Kind::IpIp, None)));
        for other in ["", "eth0", "web-1/eth0", "vxlan100", "ip 5x", "link"] {
            assert_eq!(named(other), None);
        }
    }
}
