//! Taking over what is no packet: sections, interfaces, statistics, names, secrets.

use std::path::Path;

use super::pump::Pumped;
use super::report::{BlockCounts, Totals};
use crate::pcapng;
use crate::read::{code, put_option, Inputs, Interface, Item, Origin, Statistics};
use crate::write::{Creation, WriteError, Writer};

/// What the new file says of itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Our name and version.
    pub application: String,
    /// What was done to what.
    pub comment: String,
}

/// An output that takes over what the inputs say beside their packets.
pub struct Carry {
    /// The output.
    pub writer: Writer,
    /// Blocks that were not taken over.
    pub left_out: BlockCounts,
    about: About,
    begun: bool,
    /// Longest packet that is written; 0 for any.
    pub snaplen: u32,
    /// Per input and interface, its number in the output.
    numbers: Vec<Vec<Option<u32>>>,
}

impl Carry {
    /// Open the output.
    pub fn create(path: &Path, how: Creation, about: &About) -> Result<Self, WriteError> {
        Ok(Self::of(Writer::create(path, how)?, about))
    }

    /// Into an output that is open.
    pub fn of(writer: Writer, about: &About) -> Self {
        Self {
            writer,
            left_out: BlockCounts::default(),
            about: about.clone(),
            begun: false,
            snaplen: 0,
            numbers: Vec::new(),
        }
    }

    /// The section header: who captured is taken from the first input.
    #[inline]
    pub fn begin(&mut self, inputs: &Inputs) -> Result<(), WriteError> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        let old = (inputs.count() > 0)
            .then(|| inputs.reader(0).section().cloned())
            .flatten()
            .unwrap_or_default();
        let by = if old.application.is_empty() {
            String::new()
        } else {
            format!("captured by {}", old.application)
        };
        let lines = [&self.about.comment, &by, &old.comment];
        let comment = lines
            .into_iter()
            .filter(|line| !line.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n");
        let application = self.about.application.clone();
        self.writer.section(&pcapng::Section {
            hardware: old.hardware,
            os: old.os,
            application,
            comment,
        })
    }

    /// The number in the output of an input's interface, which is described there when it was not yet.
    #[inline]
    pub fn interface(
        &mut self,
        inputs: &Inputs,
        origin: Origin,
        index: u32,
    ) -> Result<u32, WriteError> {
        match self.known(origin, index) {
            Some(number) => Ok(number),
            None => self.describe(inputs, origin, index),
        }
    }

    #[cold]
    fn describe(&mut self, inputs: &Inputs, origin: Origin, index: u32) -> Result<u32, WriteError> {
        self.begin(inputs)?;
        let number = match inputs.reader(origin).interfaces().get(index as usize) {
            Some(interface) => self
                .writer
                .copy_interface(&self.changed(interface, inputs, origin))?,
            None => 0,
        };
        if self.numbers.len() <= origin {
            self.numbers.resize(origin + 1, Vec::new());
        }
        if let Some(numbers) = self.numbers.get_mut(origin) {
            numbers.resize(numbers.len().max(index as usize + 1), None);
            if let Some(slot) = numbers.get_mut(index as usize) {
                *slot = Some(number);
            }
        }
        Ok(number)
    }

    /// The interface as it is in the output: with several inputs, one without a name gets that of its file.
    fn changed(&self, interface: &Interface, inputs: &Inputs, origin: Origin) -> Interface {
        let mut made = interface.clone();
        if self.snaplen != 0 && (made.snaplen == 0 || made.snaplen > self.snaplen) {
            made.snaplen = self.snaplen;
        }
        if inputs.count() > 1 && made.name.is_empty() {
            let file = inputs
                .path(origin)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            put_option(&mut made.options, code::IF_NAME, file.as_bytes());
        }
        made
    }

    /// Somebody may be waiting at the other end of a pipe.
    pub fn is_watched(&self) -> bool {
        self.writer.is_watched()
    }

    /// Let them have what there is.
    pub fn idle(&mut self) -> Result<(), WriteError> {
        self.writer.flush_all()
    }

    /// Complete the file, of which `written` packets are in it.
    pub fn finish(self, written: u64, pumped: Pumped) -> Result<Totals, WriteError> {
        Ok(Totals {
            inputs: pumped.inputs,
            packets: pumped.packets,
            written,
            left_out: self.left_out.report(),
            bytes: self.writer.finish()?,
        })
    }

    /// Anything but a packet; interfaces are described even when no packet of theirs will follow.
    pub fn every(
        &mut self,
        inputs: &Inputs,
        origin: Origin,
        item: &Item<'_>,
    ) -> Result<(), WriteError> {
        match item {
            Item::Interface(index) => self.interface(inputs, origin, *index).map(drop),
            _ => self.other(inputs, origin, item),
        }
    }

    /// Statistics, when the interface is described here.
    pub fn known_statistics(
        &mut self,
        origin: Origin,
        statistics: &Statistics<'_>,
    ) -> Result<(), WriteError> {
        match self.known(origin, statistics.interface) {
            Some(number) => self.writer.statistics(number, statistics),
            None => Ok(()),
        }
    }

    #[inline]
    fn known(&self, origin: Origin, index: u32) -> Option<u32> {
        self.numbers.get(origin)?.get(index as usize).copied()?
    }

    /// Anything but a packet.
    pub fn other(
        &mut self,
        inputs: &Inputs,
        origin: Origin,
        item: &Item<'_>,
    ) -> Result<(), WriteError> {
        match item {
            Item::Statistics(statistics) => {
                let number = self.interface(inputs, origin, statistics.interface)?;
                self.writer.statistics(number, statistics)
            }
            Item::Block(block) if block.kind.may_copy() && !self.writer.layout().pcap => {
                self.begin(inputs)?;
                self.writer.block(block.kind.number(), block.body)
            }
            Item::Block(block) => {
                self.left_out.count(block.kind);
                Ok(())
            }
            Item::Packet(_) | Item::Section(_) | Item::Interface(_) => Ok(()),
        }
    }
}
