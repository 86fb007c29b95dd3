//! What every verb does: one pass over the inputs, packet by packet.

use std::path::PathBuf;

use super::carry::Carry;
use super::error::OfflineError;
use super::progress::Progress;
use super::report::{self, InputReport};
use crate::read::{Inputs, Interface, Item, Origin, Packet};
use crate::write::WriteError;

/// Which packet it is.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// All inputs.
    pub inputs: &'a Inputs,
    /// The input it is of.
    pub origin: Origin,
    /// Its number over all inputs, from 1.
    pub number: u64,
}

impl At<'_> {
    /// The interface a packet was captured on.
    #[inline]
    pub fn interface(&self, packet: &Packet<'_>) -> Option<&Interface> {
        self.inputs
            .reader(self.origin)
            .interfaces()
            .get(packet.interface as usize)
    }
}

/// A packet without its frame check sequence, if it has one, and its length on the wire.
#[inline]
pub fn whole<'a>(packet: &Packet<'a>, interface: &Interface) -> (&'a [u8], u32) {
    let Packet { data, wire, .. } = *packet;
    match usize::from(interface.fcs) {
        0 => (data, wire),
        fcs => {
            let wire = (wire as usize).max(data.len()).saturating_sub(fcs);
            (data.get(..wire).unwrap_or(data), wire as u32)
        }
    }
}

/// Whether there is more to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// Yes.
    On,
    /// No: what is left of the inputs need not be read.
    Enough,
}

/// One verb at work.
pub trait Verb {
    /// A packet.
    fn packet(&mut self, at: &At<'_>, packet: &Packet<'_>) -> Result<Go, WriteError>;

    /// Anything else.
    fn other(&mut self, inputs: &Inputs, origin: Origin, item: &Item<'_>)
        -> Result<(), WriteError>;

    /// The output, where somebody may be waiting for it: it then gets what there is before input is waited for.
    fn output(&mut self) -> Option<&mut Carry> {
        None
    }
}

/// What was read.
#[derive(Debug)]
pub struct Pumped {
    /// Packets.
    pub packets: u64,
    /// Each input.
    pub inputs: Vec<InputReport>,
}

/// Read all inputs into a verb, in order of time.
pub fn pump(
    paths: &[PathBuf],
    progress: &Progress,
    verb: &mut impl Verb,
) -> Result<(Pumped, Inputs), OfflineError> {
    let mut inputs = progress.open(paths)?;
    let (mut packets, mut read) = (0, vec![0; paths.len()]);
    let watched = verb.output().is_some_and(|output| output.is_watched());
    loop {
        if watched && !inputs.is_ready() {
            verb.output().map_or(Ok(()), Carry::idle)?;
        }
        let Some((origin, is_packet)) = inputs.advance() else {
            break;
        };
        if !is_packet {
            verb.other(&inputs, origin, &inputs.item(origin))?;
            continue;
        }
        packets += 1;
        if let Some(read) = read.get_mut(origin) {
            *read += 1;
        }
        let (packet, number) = (inputs.reader(origin).packet(), packets);
        let at = At {
            inputs: &inputs,
            origin,
            number,
        };
        if verb.packet(&at, &packet)? == Go::Enough {
            break;
        }
        progress.at(packets)?;
    }
    progress.check()?;
    Ok((
        Pumped {
            packets,
            inputs: report::inputs(&inputs, &read),
        },
        inputs,
    ))
}
