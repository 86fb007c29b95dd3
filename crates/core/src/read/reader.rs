use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::buffer::Buffer;
use super::error::{Damage, ReadError};
use super::format::{Compression, Format};
use super::interface::{Interface, Section};
use super::item::{Block, Item, Packet, Statistics};
use super::located::{Body, Located};
use super::pcap::Pcap;
use super::pcapng::{Found, Pcapng};
use super::source::{self, Source};
use super::watch::Watch;

pub use super::located::Step;

/// Bytes of a file that are held at once; a larger block makes it grow.
pub const WINDOW: usize = 256 << 10;
/// Compressed files up to this size are not worth a thread that reads ahead; others never are: a copy
/// out of the page cache is cheaper than handing it from core to core.
const SMALL: u64 = 1 << 20;

/// A capture file being read from the beginning to the end.
pub struct Reader {
    buffer: Buffer,
    format: Format,
    compression: Compression,
    size: Option<u64>,
    state: State,
    interfaces: Vec<Interface>,
    located: Located,
    step: Step,
    /// The interface of a pcap file was told, before its first record.
    told: bool,
}

enum State {
    Pcap(Pcap),
    Pcapng(Box<Pcapng>),
}

impl Reader {
    /// Open a file, `-` being standard input.
    pub fn open(path: &Path, watch: &Arc<Watch>, window: usize) -> Result<Self, ReadError> {
        Self::of_source(source::open(path, watch).map_err(ReadError::Io)?, window)
    }

    /// Read from any stream, compressed or not.
    pub fn of_stream(stream: Box<dyn Read + Send>) -> Result<Self, ReadError> {
        Self::of_source(
            source::decompressed(stream, None).map_err(ReadError::Io)?,
            WINDOW,
        )
    }

    fn of_source(source: Source, window: usize) -> Result<Self, ReadError> {
        let compressed = source.compression != Compression::None;
        let worth_it =
            compressed && source.size.is_some_and(|size| size > SMALL) && window == WINDOW;
        let mut buffer = if worth_it {
            Buffer::ahead(source.bytes, window, compressed).map_err(ReadError::Io)?
        } else {
            Buffer::new(source.bytes, window, compressed)
        };
        let Some(format) = buffer.peek_array::<4>().and_then(Format::detect) else {
            return Err(not_ours(&mut buffer));
        };
        let mut interfaces = Vec::new();
        let state = match format {
            Format::Pcapng => State::Pcapng(Box::new(Pcapng::new())),
            Format::Pcap {
                order,
                nano,
                extended,
            } => {
                let (pcap, interface) = Pcap::open(&mut buffer, order, nano, extended)?;
                interfaces.push(interface);
                State::Pcap(pcap)
            }
        };
        Ok(Self {
            buffer,
            format,
            compression: source.compression,
            size: source.size,
            state,
            interfaces,
            located: Located::NONE,
            step: Step::End,
            told: false,
        })
    }

    /// The file's layout.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// How it is compressed.
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// Size of the file itself, None for a pipe.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// All interfaces described so far, over all sections.
    #[inline]
    pub fn interfaces(&self) -> &[Interface] {
        match &self.state {
            State::Pcap(_) => &self.interfaces,
            State::Pcapng(pcapng) => pcapng.interfaces(),
        }
    }

    /// Sections begun so far; 1 for a pcap file.
    pub fn sections(&self) -> u32 {
        match &self.state {
            State::Pcap(_) => 1,
            State::Pcapng(pcapng) => pcapng.sections(),
        }
    }

    /// Where in the (uncompressed) file the next item begins.
    pub const fn offset(&self) -> u64 {
        self.buffer.offset()
    }

    /// Whether the next item is there already: if not, `advance` may have to wait for it.
    pub fn is_ready(&self) -> bool {
        match &self.state {
            State::Pcap(pcap) => pcap.is_whole(self.buffer.there()),
            State::Pcapng(pcapng) => pcapng.is_whole(self.buffer.there()),
        }
    }

    /// Go to the next item.
    #[inline]
    pub fn advance(&mut self) -> Result<Step, ReadError> {
        self.step = match &mut self.state {
            State::Pcap(pcap) if self.told => pcap.next(&mut self.buffer, &mut self.located)?,
            State::Pcap(_) => {
                self.told = true;
                Step::Other
            }
            State::Pcapng(pcapng) => pcapng.next(&mut self.buffer, &mut self.located)?,
        };
        Ok(self.step)
    }

    /// The packet `advance` went to.
    #[inline]
    pub fn packet(&self) -> Packet<'_> {
        let found = &self.located;
        Packet {
            interface: found.interface,
            time: found.time,
            wire: found.wire,
            data: self.buffer.at(found.data),
            options: self.body(found.options),
        }
    }

    /// The item `advance` went to.
    pub fn item(&self) -> Item<'_> {
        match (self.step, &self.state) {
            (Step::Packet, _) => Item::Packet(self.packet()),
            (_, State::Pcapng(state)) => self.found(state),
            (_, State::Pcap(_)) => Item::Interface(0),
        }
    }

    fn found<'a>(&'a self, state: &'a Pcapng) -> Item<'a> {
        match state.found {
            Found::Section => Item::Section(&state.section),
            Found::Interface => Item::Interface(state.interfaces().len().saturating_sub(1) as u32),
            Found::Statistics(counts, comment) => Item::Statistics(Statistics {
                comment: self.buffer.at(comment),
                ..counts
            }),
            Found::Block(kind, there) => Item::Block(Block {
                kind,
                body: self.body(there),
            }),
        }
    }

    #[inline]
    fn body(&self, body: Body) -> &[u8] {
        match (body, &self.state) {
            (Body::There(there), _) => self.buffer.at(there),
            (Body::Turned, State::Pcapng(state)) => &state.turned,
            (Body::Turned, State::Pcap(_)) => &[],
        }
    }

    /// The section of a pcapng file that began last.
    pub fn section(&self) -> Option<&Section> {
        match &self.state {
            State::Pcapng(pcapng) => Some(&pcapng.section),
            State::Pcap(_) => None,
        }
    }
}

#[cold]
fn not_ours(buffer: &mut Buffer) -> ReadError {
    if let error @ (ReadError::Io(_)
    | ReadError::Damaged {
        what: Damage::Compression(_),
        ..
    }) = buffer.cut_short(4)
    {
        return error;
    }
    let known = if buffer.peek(8).is_some() {
        8
    } else {
        buffer.left()
    };
    let starts = buffer.peek(known).unwrap_or_default().to_vec();
    ReadError::Format { starts }
}
