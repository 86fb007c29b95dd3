use std::path::Path;

use super::error::WriteError;
use super::layout::Layout;
use super::out::Out;
use super::target::{Creation, Target};
use crate::pcapng::{self, CopiedPacket};
use crate::read;

const LARGE: usize = 256 << 10;
const SMALL: usize = 32 << 10;
const MICROSECONDS: u8 = 6;
const USUAL_SNAPLEN: u32 = 262_144;

/// A capture file being written.  It has its name only after `finish`; dropped before, it leaves nothing behind.
pub struct Writer {
    layout: Layout,
    target: Option<Target>,
    out: Out,
    size: usize,
    buffer: Vec<u8>,
    written: u64,
    interfaces: Vec<Link>,
    /// What the header of a pcap file says, once it is written.
    header: Option<Link>,
}

/// What matters of an interface in a pcap file.
#[derive(Clone, Copy)]
struct Link {
    number: u16,
    digits: u8,
    snaplen: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            number: pcapng::ETHERNET,
            digits: MICROSECONDS,
            snaplen: 0,
        }
    }
}

impl Writer {
    /// Open `path` (`-` for standard output); its suffix chooses layout and compression.
    pub fn create(path: &Path, how: Creation) -> Result<Self, WriteError> {
        let layout = Layout::of(path);
        let (target, file) = Target::open(path, how)?;
        let failed = |error| WriteError::Io(path.to_owned(), error);
        let out = Out::behind(file, layout.compression, LARGE + LARGE / 4).map_err(failed)?;
        Ok(Self::made(layout, target, out, LARGE))
    }

    /// As `create`, for one of many files: it is not held open, and has a small buffer.
    pub fn create_small(path: &Path, how: Creation) -> Result<Self, WriteError> {
        let layout = Layout::of(path);
        let (target, _) = Target::open(path, how)?;
        let out = Out::append(target.place(), layout.compression);
        Ok(Self::made(layout, target, out, SMALL))
    }

    fn made(layout: Layout, target: Target, out: Out, size: usize) -> Self {
        Self {
            layout,
            target: Some(target),
            out,
            size,
            buffer: Vec::new(),
            written: 0,
            interfaces: Vec::new(),
            header: None,
        }
    }

    /// Somebody may be waiting at the other end for what is in the buffer.
    pub fn is_watched(&self) -> bool {
        self.target.as_ref().is_some_and(Target::is_watched)
    }

    /// Layout and compression.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes given to it so far, before compression.
    pub fn written(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Begin a section; a pcap file has none.
    pub fn section(&mut self, section: &pcapng::Section) -> Result<(), WriteError> {
        if !self.layout.pcap {
            pcapng::section(&mut self.buffer, section);
        }
        self.flush()
    }

    /// Describe an interface, of whose times so many digits of a second mean something.
    pub fn interface(
        &mut self,
        interface: &pcapng::Interface,
        digits: u8,
    ) -> Result<u32, WriteError> {
        if !self.layout.pcap {
            pcapng::interface(&mut self.buffer, interface);
        }
        self.flush()?;
        Ok(self.number(Link {
            number: interface.linktype,
            digits,
            snaplen: interface.snaplen,
        }))
    }

    /// Describe an interface as another file does; times will be in nanoseconds.
    pub fn copy_interface(&mut self, interface: &read::Interface) -> Result<u32, WriteError> {
        if !self.layout.pcap {
            let (link, snaplen) = (interface.link, interface.snaplen);
            pcapng::copied_interface(&mut self.buffer, link, snaplen, &interface.options);
        }
        self.flush()?;
        Ok(self.number(Link {
            number: interface.link,
            digits: interface.resolution.digits(),
            snaplen: interface.snaplen,
        }))
    }

    fn number(&mut self, link: Link) -> u32 {
        self.interfaces.push(link);
        self.interfaces.len() as u32 - 1
    }

    /// Statistics of interface `number`, as another file has them; a pcap file has none.
    pub fn statistics(
        &mut self,
        number: u32,
        statistics: &read::Statistics<'_>,
    ) -> Result<(), WriteError> {
        if !self.layout.pcap {
            pcapng::copied_statistics(&mut self.buffer, number, statistics);
        }
        self.flush()
    }

    /// A block of any type; a pcap file has none.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> Result<(), WriteError> {
        if !self.layout.pcap {
            pcapng::raw(&mut self.buffer, kind, body);
        }
        self.flush()
    }

    /// A packet.
    #[inline]
    pub fn packet(&mut self, packet: &CopiedPacket<'_>) -> Result<(), WriteError> {
        if self.layout.pcap {
            self.record(packet)?;
        } else {
            pcapng::copied_packet(&mut self.buffer, packet);
        }
        if self.buffer.len() >= self.size {
            self.flush_all()?;
        }
        Ok(())
    }

    fn record(&mut self, packet: &CopiedPacket<'_>) -> Result<(), WriteError> {
        let link = self
            .interfaces
            .get(packet.interface as usize)
            .copied()
            .unwrap_or_default();
        let header = match self.header {
            Some(header) => header,
            None => self.file_header(link),
        };
        if header.number != link.number {
            return Err(WriteError::LinkTypes(header.number, link.number));
        }
        let fraction = packet.time % 1_000_000_000;
        let [first, second] = packet.data;
        let words = [
            (packet.time / 1_000_000_000) as u32,
            (if header.digits > MICROSECONDS {
                fraction
            } else {
                fraction / 1000
            }) as u32,
            (first.len() + second.len()) as u32,
            packet.wire,
        ];
        let mut head = [0; 16];
        for (place, word) in head.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(first);
        self.buffer.extend_from_slice(second);
        Ok(())
    }

    /// The header of a pcap file: of the first packet's link type, and no finer in time than that was.
    #[cold]
    fn file_header(&mut self, link: Link) -> Link {
        let magic: u32 = if link.digits > MICROSECONDS {
            0xa1b2_3c4d
        } else {
            0xa1b2_c3d4
        };
        let most = if link.snaplen == 0 {
            USUAL_SNAPLEN
        } else {
            link.snaplen
        };
        let version = [2_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat();
        let parts = [
            &magic.to_ne_bytes()[..],
            &version,
            &[0; 8],
            &most.to_ne_bytes(),
            &u32::from(link.number).to_ne_bytes(),
        ];
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        self.header = Some(link);
        link
    }

    #[inline]
    fn flush(&mut self) -> Result<(), WriteError> {
        if self.buffer.len() < self.size {
            return Ok(());
        }
        self.flush_all()
    }

    /// Hand over all that is in the buffer.
    pub fn flush_all(&mut self) -> Result<(), WriteError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.written += self.buffer.len() as u64;
        let full = std::mem::take(&mut self.buffer);
        self.buffer = self.out.swap(full).map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Hand over all there is and hold no memory until there is more.
    pub fn park(&mut self) -> Result<(), WriteError> {
        self.flush_all()?;
        self.buffer = Vec::new();
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> WriteError {
        WriteError::Io(
            self.target
                .as_ref()
                .map(|target| target.path().to_owned())
                .unwrap_or_default(),
            error,
        )
    }

    /// Write what is left and give the file its name.
    pub fn finish(mut self) -> Result<u64, WriteError> {
        if self.layout.pcap && self.header.is_none() {
            let link = self.interfaces.first().copied().unwrap_or_default();
            self.file_header(link);
        }
        self.flush_all()?;
        self.out.finish().map_err(|error| self.failed(error))?;
        match self.target.take() {
            Some(target) => target.complete().map(|()| self.written),
            None => Ok(self.written),
        }
    }
}
