//! One source of a capture: a device's ring, which of its blocks are in use, and its account.

use std::io;
use std::os::fd::AsFd;

use crate::account::{between, SourceAccount, Written};
use crate::bpf::Program;
use crate::decap::Options;
use crate::frame::{used, Frame, Walk};
use crate::govern::{Counted, Sampling};
use crate::netlink::{in_netns, LinkCounters};
use crate::netns::Netns;
use crate::order::{Order, Place};
use crate::pcapng::Interface;
use crate::ports::Ports;
use crate::ring::{Geometry, Instruction, Ring};

/// What a source's packets are to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A VM's, as its device or an uplink shows them.
    #[default]
    Seen,
    /// A VM's, as its switch copies them to a device of ours: all of them arrive, and addresses tell the way.
    Copied {
        /// In the VLAN of the VM's own port, whose tag the VM never sees: it is taken off.
        tagged: bool,
    },
    /// A mirror's: each session in them becomes an interface.
    Mirrored {
        /// Some are left out on purpose, so their numbers do not tell what is missing.
        filtered: bool,
    },
    /// A mirror's in a VLAN of its own, whose tag is taken off.
    Tagged,
    /// Of senders nobody named: counted and not kept.
    Strange,
}

impl Role {
    /// Whether all of its packets are one VM's, and all of them are meant to be kept.
    pub fn is_a_vms(self) -> bool {
        matches!(self, Self::Seen | Self::Copied { .. })
    }
}

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The interface block it becomes.
    pub interface: Interface,
    /// Device name, for messages.
    pub device: String,
    /// ifindex in its namespace.
    pub index: u32,
    /// Path of the namespace; empty is our own.
    pub netns: String,
    /// Whether what leaves the device goes to the VM.
    pub outgoing_is_to_vm: bool,
    /// Classic BPF, never empty.
    pub program: Vec<Instruction>,
    /// What the kernel let pass is judged by this too, where the whole filter is too long for it.
    pub judge: Option<Program>,
    /// It is for the frame inside, where there is one.
    pub judges_inside: bool,
    /// Write what is inside of the packets, not the packets.
    pub unwrap: Option<Options>,
    /// What else is done with its packets.
    pub role: Role,
}

/// An open source.
pub struct Source {
    spec: Spec,
    netns: Option<Netns>,
    /// `None` once the device is gone and all it had is settled.
    ring: Option<Ring>,
    /// Blocks of the ring.
    blocks: u16,
    /// Packets of each block that are not settled yet: first the ring's, where blocks at 0 belong to the
    /// kernel, then the copies.
    unsettled: Vec<u32>,
    /// Blocks of few packets, copied out of a small ring so that the kernel can have it while they wait.
    copies: Vec<Vec<u8>>,
    /// Blocks of the ring that are not settled.
    held: u16,
    next: u16,
    gathered: u64,
    /// Time of the newest packet of the last block.
    latest: u64,
    /// The kernel held no packet of it when it was last looked at.
    quiet: bool,
    /// Lost by the kernel and not yet told in the file.
    untold: u64,
    before: Option<LinkCounters>,
    /// Less of its packets is kept than was asked for, or was once.
    stepped: bool,
    sampling: Sampling,
    /// Counts and texts.
    pub account: SourceAccount,
}

const PASS_NOTHING: Instruction = Instruction {
    code: 6,
    jt: 0,
    jf: 0,
    k: 0,
}; // ret #0

/// Stamping a packet and putting it into the ring are not one step: packets of one device may be
/// this much out of order (nanoseconds).
const SLACK: u64 = 2_000_000;
/// A block that the kernel has not handed over by then is not waited for. It should do so within twice the
/// ring's retire time, but its timer may be late on a busy host.
const PATIENCE: u64 = 300_000_000;

impl Source {
    /// Open the ring inside the device's namespace. Nothing comes before `listen`.
    pub fn open(spec: Spec, geometry: Geometry) -> io::Result<Self> {
        let (netns, file) = Netns::open(&spec.netns)?.unzip();
        let enter = file.as_ref().map(AsFd::as_fd);
        let ring = in_netns(enter, || Ring::open(geometry, &spec.program))?;
        let account = SourceAccount {
            name: spec.interface.name.clone(),
            filtered: !spec.interface.filter.is_empty() || !spec.role.is_a_vms(),
            ..SourceAccount::default()
        };
        Ok(Self {
            spec,
            netns,
            ring: Some(ring),
            blocks: geometry.blocks as u16,
            unsettled: vec![0; geometry.blocks as usize],
            copies: Vec::new(),
            held: 0,
            next: 0,
            gathered: 0,
            latest: 0,
            quiet: false,
            untold: 0,
            before: None,
            stepped: false,
            sampling: Sampling::default(),
            account,
        })
    }

    /// Packets count from here.
    pub fn listen(&mut self, ports: &mut Ports) -> io::Result<()> {
        let Some(ring) = &self.ring else {
            return Ok(());
        };
        if self.spec.role == Role::Tagged {
            ring.hear_all(self.spec.index)?; // copies are addressed to whoever the originals were for
        }
        ports.prepare(&self.spec.netns)?;
        // What the port counts and what we hear should begin together: nothing slow in between.
        self.before = ports.read_one(&self.spec.netns, self.spec.index);
        self.account.port = self.before.map(|_| (0, 0));
        ring.bind(self.spec.index)
    }

    /// What it was opened for.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The ring, to poll; `None` when nothing more can come.
    pub fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref().filter(|_| !self.is_gone())
    }

    /// Whether its device is gone.
    pub fn is_gone(&self) -> bool {
        !self.account.ended.is_empty()
    }

    /// Time of the newest packet the kernel handed over.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// No packet older than this can still come, if `now` was read before the last `gather`.
    pub fn horizon(&self, now: u64) -> u64 {
        if self.quiet {
            now.saturating_sub(SLACK)
        } else {
            let handed_over = self.latest.saturating_sub(SLACK);
            handed_over.max(now.saturating_sub(PATIENCE))
        }
    }

    /// Whether so many blocks wait for older packets of other sources that the kernel may run out.
    pub fn is_pressed(&self) -> bool {
        u32::from(self.held) * 4 >= u32::from(self.blocks) * 3
    }

    /// Put every packet of the next block into `order`; `false` when there is none.
    ///
    /// One at a time, so that a block is still in the processor's cache when its packets are written.
    pub fn gather(&mut self, number: u16, order: &mut Order) -> bool {
        let index = self.next;
        let Some(ring) = self.ring.as_mut().filter(|_| self.held < self.blocks) else {
            return false;
        };
        let Some(block) = ring.block(index.into()) else {
            self.quiet = !ring.is_filling(index.into());
            return false;
        };
        let copy = copy_of(block.bytes, self.blocks);
        let place = match &copy {
            Some(_) => self.blocks + free(&mut self.copies),
            None => index,
        };
        let (mut packets, mut latest) = (0, 0);
        for (time, offset) in Walk::new(block.bytes) {
            order.push(Place {
                time,
                offset: offset as u32,
                source: number,
                block: place,
            });
            latest = latest.max(time);
            packets += 1;
        }
        let losing = block.losing;
        self.next = (index + 1) % self.blocks;
        self.gathered += u64::from(packets);
        self.unsettled
            .resize(usize::from(self.blocks) + self.copies.len(), 0);
        self.unsettled[usize::from(place)] = packets;
        if packets == 0 || copy.is_some() {
            ring.release(index.into());
        } else {
            self.held += 1;
        }
        if let Some(copy) = copy.filter(|_| packets > 0) {
            self.copies[usize::from(place - self.blocks)] = copy;
        }
        if packets > 0 {
            self.latest = latest;
        }
        self.quiet = false;
        if losing {
            self.count();
        }
        true
    }

    /// A gathered packet, as long as it is not settled.
    #[inline]
    pub fn frame(&self, place: &Place) -> Option<Frame<'_>> {
        let bytes = match place.block.checked_sub(self.blocks) {
            None => self.ring.as_ref()?.block(place.block.into())?.bytes,
            Some(copy) => &self.copies[usize::from(copy)],
        };
        Frame::at(bytes, place.offset as usize)
    }

    /// A packet of `block` is written or given up; the last one gives the block back.
    #[inline]
    pub fn settle(&mut self, block: u16) {
        let left = &mut self.unsettled[usize::from(block)];
        *left -= 1;
        if *left == 0 {
            self.give_back(block);
        }
    }

    fn give_back(&mut self, block: u16) {
        if let Some(copy) = block.checked_sub(self.blocks) {
            self.copies[usize::from(copy)] = Vec::new();
        } else if let Some(ring) = &mut self.ring {
            self.held -= 1;
            ring.release(block.into());
        }
    }

    /// Read the kernel's counts since the last time.
    pub fn count(&mut self) {
        if let Some(Ok(counted)) = self.ring.as_ref().map(Ring::statistics) {
            self.account.accepted += counted.accepted;
            self.account.kernel_dropped += counted.dropped;
            self.untold += counted.dropped;
        }
    }

    /// Losses to be told with the next packet.
    #[inline]
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// A packet of it was written.
    #[inline]
    pub fn wrote(&mut self, packet: &Written) {
        self.account.wrote(packet);
        if self.stepped && packet.captured < packet.wanted {
            self.account.cut += 1;
        }
    }

    /// They were told.
    #[inline]
    pub fn told(&mut self) {
        self.untold = 0;
    }

    /// The socket reported an error: its device went down. Take it, or every `poll` comes back at once.
    pub fn take_error(&self) {
        if let Some(ring) = &self.ring {
            ring.take_error();
        }
    }

    /// Notice that the device has gone for good. The kernel does not tell, neither when a device that
    /// is down goes, nor when we are the last to keep its namespace.
    pub fn look_after(&mut self) {
        if self.is_gone() {
            self.let_go();
            return;
        }
        self.look_for_device();
        if !self.is_gone() && self.netns.as_mut().is_some_and(|netns| !netns.is_wanted()) {
            if let Some(ring) = &self.ring {
                let _ = ring.set_filter(&[PASS_NOTHING]);
            }
            self.account.ended = "namespace gone".into();
        }
    }

    /// Also in the midst of traffic, and right before the end.
    fn look_for_device(&mut self) {
        if self.ring().is_some_and(Ring::is_orphan) {
            self.account.ended = "device gone".into();
        }
    }

    /// Close the socket of a device that is gone, once it is empty.
    fn let_go(&mut self) {
        self.count();
        if self.is_drained() {
            self.ring = None;
            self.quiet = true;
        }
    }

    /// From now on `program` is the filter, which keeps one packet in so many of those it would.
    pub fn step(
        &mut self,
        program: &[Instruction],
        one_in: u32,
        ports: &mut Ports,
    ) -> io::Result<()> {
        let Some(ring) = self.ring.as_ref().filter(|_| !self.is_gone()) else {
            return Ok(());
        };
        replace(ring, program)?;
        self.count();
        self.set_counters(ports.read_one(&self.spec.netns, self.spec.index));
        self.sampling
            .change(one_in, self.counted(), self.account.filtered);
        self.stepped = true;
        Ok(())
    }

    fn counted(&self) -> Counted {
        Counted {
            seen: self.account.port.map(|(packets, _)| packets),
            accepted: self.account.accepted,
        }
    }

    /// Let nothing more in.
    pub fn close_intake(&mut self, ports: &mut Ports) {
        self.look_for_device();
        if let Some(ring) = &self.ring {
            let _ = ring.set_filter(&[PASS_NOTHING]); // fails only when memory is out: then more is read
                                                      // What the port counts and what we hear should end together.
            if self.stepped {
                self.count();
            }
            self.set_counters(ports.read_one(&self.spec.netns, self.spec.index));
        }
    }

    /// Whether all the kernel accepted has been gathered.
    pub fn is_gathered(&self) -> bool {
        self.account.accepted <= self.account.kernel_dropped + self.gathered
    }

    /// Whether all the kernel accepted has been settled.
    fn is_drained(&self) -> bool {
        self.account.accepted <= self.account.settled()
    }

    /// Take over a reading of the device's counters.
    pub fn set_counters(&mut self, now: Option<LinkCounters>) {
        self.account.port = match (&self.before, &now) {
            (Some(before), Some(now)) => Some(between(before, now)),
            _ => None,
        };
        if self.stepped {
            let (now, filtered) = (self.counted(), self.account.filtered);
            self.account.governed = self.sampling.left_out(now, filtered);
            self.account.governed_estimated = self.sampling.is_estimated(now, filtered);
        }
    }
}

/// Replace a filter. While it does, the kernel holds both, and where it has no room for that, nothing passes
/// for the moment between them.
fn replace(ring: &Ring, program: &[Instruction]) -> io::Result<()> {
    match ring.set_filter(program) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            ring.set_filter(&[PASS_NOTHING])?;
            ring.set_filter(program)
        }
        result => result,
    }
}

/// A block's packets, where the ring has few blocks and this one few packets.
fn copy_of(block: &[u8], blocks: u16) -> Option<Vec<u8>> {
    const FEW_BLOCKS: u16 = 16;
    let used = used(block);
    (blocks < FEW_BLOCKS && used.len() * 8 <= block.len()).then(|| used.to_vec())
}

/// The index of a copy that is settled.
fn free(copies: &mut Vec<Vec<u8>>) -> u16 {
    let found = copies.iter().position(Vec::is_empty);
    found.unwrap_or_else(|| {
        copies.push(Vec::new());
        copies.len() - 1
    }) as u16
}
