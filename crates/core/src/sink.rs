//! The pcapng stream: blocks gathered in a buffer, written whole, over one file or a ring of files.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::account::Tally;
use crate::destination::{CaptureFile, Creation, Destination, Failure};
use crate::pcapng::{self, Interface, Packet, Section, Statistics};

/// Bytes gathered before they are written; fits a core's own cache.
const BUFFER: usize = 256 << 10;

/// What is said once at the start of every file.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Preamble {
    pub section: Section,
    pub interfaces: Vec<Interface>,
    pub names: Vec<(IpAddr, String)>,
}

impl Preamble {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        pcapng::section(&mut out, &self.section);
        for interface in &self.interfaces {
            pcapng::interface(&mut out, interface);
        }
        pcapng::names(&mut out, &self.names);
        out
    }
}

/// A ring of files: so large, so many (0: all are kept).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Rotation {
    pub bytes: u64,
    pub files: u32,
    /// Seconds east of UTC, for the time in the names.
    pub utc_offset: i32,
}

/// A capture being written.
pub struct Sink {
    destination: Destination,
    creation: Creation,
    rotation: Option<(Rotation, PathBuf)>,
    preamble: Vec<u8>,
    buffer: Vec<u8>,
    files: VecDeque<PathBuf>,
    made: u32,
    /// Bytes of files that are finished.
    finished: u64,
    /// Interfaces described: the sources', then those of mirrors.
    interfaces: usize,
    /// Of those, the last ones whose description did not reach the file.
    unsaid: usize,
    /// The current file has its statistics: nothing may follow.
    complete: bool,
}

impl Sink {
    /// A file, or the first of a ring of files, with its preamble.
    pub fn file(
        path: &Path,
        creation: Creation,
        rotation: Option<Rotation>,
        preamble: &Preamble,
        now: u64,
    ) -> io::Result<Self> {
        let rotation = rotation.map(|rotation| (rotation, path.to_owned()));
        let first = match &rotation {
            Some((rotation, stem)) => file_name(stem, 1, now, rotation.utc_offset),
            None => path.to_owned(),
        };
        let file = Destination::File(CaptureFile::create(&first, &creation)?);
        let mut sink = Self::new(file, creation, rotation, preamble);
        sink.begin(first)?;
        Ok(sink)
    }

    /// Somebody's descriptor.
    pub fn descriptor(fd: OwnedFd, preamble: &Preamble) -> io::Result<Self> {
        let destination = Destination::of(fd)?;
        let mut sink = Self::new(destination, Creation::default(), None, preamble);
        sink.buffer.extend_from_slice(&sink.preamble); // written with the first flush, which may have to wait
        Ok(sink)
    }

    fn new(
        destination: Destination,
        creation: Creation,
        rotation: Option<(Rotation, PathBuf)>,
        preamble: &Preamble,
    ) -> Self {
        Self {
            destination,
            creation,
            rotation,
            preamble: preamble.encode(),
            buffer: Vec::with_capacity(BUFFER + (128 << 10)),
            files: VecDeque::new(),
            made: 0,
            finished: 0,
            interfaces: preamble.interfaces.len(),
            unsaid: 0,
            complete: false,
        }
    }

    /// Write the preamble of the file just made at `path`; without it, there is to be no file.
    fn begin(&mut self, path: PathBuf) -> Result<(), Failure> {
        let begun = self
            .destination
            .append(&self.preamble, 0, whole, &|| true)
            .map_err(|(failure, _)| failure);
        match begun {
            Ok(()) => self.files.push_back(path),
            Err(_) => drop(std::fs::remove_file(path)),
        }
        self.made += 1;
        self.complete = begun.is_err();
        begun
    }

    /// Bytes written and gathered, all files together.
    pub fn size(&self) -> u64 {
        self.finished + self.current()
    }

    /// Bytes of the current file, the gathered ones included.
    fn current(&self) -> u64 {
        self.destination.size() + self.buffer.len() as u64
    }

    /// Room that the statistics at the end of a file may take.
    pub fn trailer_room(&self) -> u64 {
        self.interfaces as u64 * 512
    }

    /// The files that exist now, oldest first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Whether the next packet of so many captured bytes belongs into a new file of the ring.
    #[inline]
    pub fn wants_new_file(&self, captured: usize) -> bool {
        self.rotation.as_ref().is_some_and(|(rotation, _)| {
            let after = self.current() + pcapng::packet_size(captured) as u64 + self.trailer_room();
            after > rotation.bytes && self.current() > self.preamble.len() as u64
        })
    }

    /// Describe one interface more, in this file and those that follow.
    pub fn describe(&mut self, interface: &Interface) {
        pcapng::interface(&mut self.buffer, interface);
        pcapng::interface(&mut self.preamble, interface);
        self.interfaces += 1;
    }

    /// Gather a packet.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>) {
        pcapng::packet(&mut self.buffer, packet);
    }

    /// Whether it is time to write.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Write what was gathered. On failure, what is lost by interface; the file is whole again and has
    /// room for its statistics.
    pub fn flush(&mut self, stopping: &dyn Fn() -> bool) -> Result<(), (Failure, Vec<Tally>)> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.write(self.trailer_room(), stopping)
    }

    fn write(
        &mut self,
        room: u64,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), (Failure, Vec<Tally>)> {
        let written = self
            .destination
            .append(&self.buffer, room, whole, stopping)
            .map_err(|(failure, lost)| {
                self.unsaid += descriptions(&lost);
                (failure, tally(&lost, self.interfaces))
            });
        self.buffer.clear();
        written
    }

    /// End the current file with its statistics and begin the next one. The buffer must be flushed.
    pub fn rotate(&mut self, trailer: &[Statistics], now: u64) -> Result<(), Failure> {
        let Some((rotation, stem)) = self.rotation.clone() else {
            return Ok(());
        };
        self.finish(trailer, &|| true)?;
        let path = file_name(&stem, self.made + 1, now, rotation.utc_offset);
        let file = CaptureFile::create(&path, &self.creation)?;
        self.finished += self.destination.size();
        self.destination = Destination::File(file);
        self.begin(path)?;
        while rotation.files > 0 && self.files.len() > rotation.files as usize {
            if let Some(oldest) = self.files.pop_front() {
                let _ = std::fs::remove_file(oldest); // somebody else may have taken it away
            }
        }
        Ok(())
    }

    /// Append the statistics that complete a file. What was gathered must be flushed before.
    pub fn finish(
        &mut self,
        trailer: &[Statistics],
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        if std::mem::replace(&mut self.complete, true) {
            return Ok(());
        }
        let said = self.interfaces - self.unsaid;
        for statistics in trailer.iter().filter(|s| (s.interface as usize) < said) {
            pcapng::statistics(&mut self.buffer, statistics);
        }
        self.write(0, stopping).map_err(|(failure, _)| failure)
    }

    /// What becomes ready when the reader of a pipe has gone.
    pub fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.destination.reader()
    }
}

/// The length of the block at the start of `bytes`.
fn whole(bytes: &[u8]) -> Option<usize> {
    pcapng::peek(bytes).map(|(_, length)| length)
}

/// Interface descriptions among whole blocks.
fn descriptions(mut blocks: &[u8]) -> usize {
    let mut found = 0;
    while let Some((kind, size)) = pcapng::peek(blocks) {
        found += usize::from(kind == pcapng::INTERFACE);
        blocks = &blocks[size..];
    }
    found
}

/// Packets among whole blocks, by interface.
fn tally(mut blocks: &[u8], interfaces: usize) -> Vec<Tally> {
    let mut found = vec![Tally::default(); interfaces];
    while let Some((_, size)) = pcapng::peek(blocks) {
        if let Some((interface, captured, length)) = pcapng::peek_packet(blocks) {
            if let Some(tally) = found.get_mut(interface as usize) {
                tally.packets += 1;
                tally.captured += u64::from(captured);
                tally.length += u64::from(length);
            }
        }
        blocks = &blocks[size..];
    }
    found
}

/// `web.pcapng` -> `web_00007_20261123093015.pcapng`.
fn file_name(path: &Path, number: u32, now: u64, utc_offset: i32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map_or("pcapng".into(), |e| e.to_string_lossy());
    let time = calendar((now / 1_000_000_000).saturating_add_signed(i64::from(utc_offset)));
    path.with_file_name(format!("{stem}_{number:05}_{time}.{extension}"))
}

/// Seconds since the epoch as `YYYYmmddHHMMSS` of the proleptic Gregorian calendar.
fn calendar(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!(
        "{year:04}{:02}{:02}{hour:02}{minute:02}{:02}",
        month + 1,
        days + 1,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_number_and_time() {
        let name = file_name(
            Path::new("/tmp/a.b.pcapng"),
            7,
            1_795_426_215_000_000_000,
            0,
        );
        assert_eq!(name, Path::new("/tmp/a.b_00007_20261123093015.pcapng"));
        let name = file_name(Path::new("web"), 1, 951_782_400_000_000_000, 3600);
        assert_eq!(name, Path::new("web_00001_20000229010000.pcapng"));
    }
}
