//! Where a capture's packets go: a pcapng stream, or columns for a reader in this process.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::account::Tally;
use crate::batch::{Batch, Queue};
use crate::destination::{Creation, Failure};
use crate::pcapng::{Interface, Packet, Statistics};
use crate::sink::{Preamble, Rotation, Sink};

/// Where packets go.
#[derive(Debug)]
pub enum Output {
    /// A file, or a ring of them.
    File(PathBuf, Creation, Option<Rotation>),
    /// A descriptor of somebody else's.
    Descriptor(OwnedFd),
    /// Columns for a reader in this process.
    Batches,
}

impl Output {
    /// Its path, for messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path, ..) => path.to_string_lossy().into_owned(),
            Self::Descriptor(_) | Self::Batches => String::new(),
        }
    }
}

/// The open output.
pub enum Out {
    /// pcapng.
    Stream(Box<Sink>),
    /// What was gathered for the next batch.
    Columns(Batch),
}

impl Out {
    /// Open it; a file begins with `preamble`.
    pub fn open(output: Output, preamble: &Preamble, now: u64) -> std::io::Result<Self> {
        let sink = match output {
            Output::File(path, creation, rotation) => {
                Sink::file(&path, creation, rotation, preamble, now)?
            }
            Output::Descriptor(fd) => Sink::descriptor(fd, preamble)?,
            Output::Batches => return Ok(Self::Columns(Batch::default())),
        };
        Ok(Self::Stream(Box::new(sink)))
    }

    /// Gather a packet.
    #[inline]
    pub fn push(&mut self, packet: &Packet<'_>) {
        match self {
            Self::Stream(sink) => sink.packet(packet),
            Self::Columns(batch) => batch.push(packet),
        }
    }

    /// Describe one interface more.
    pub fn describe(&mut self, interface: &Interface) {
        if let Self::Stream(sink) = self {
            sink.describe(interface);
        }
    }

    /// Whether enough was gathered.
    #[inline]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Stream(sink) => sink.is_full(),
            Self::Columns(batch) => batch.is_full(),
        }
    }

    /// Hand over what was gathered; what is lost then, by interface, and why when it is for good.
    pub fn flush(
        &mut self,
        queue: &Queue,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), (Option<Failure>, Vec<Tally>)> {
        match self {
            Self::Stream(sink) => sink
                .flush(stopping)
                .map_err(|(failure, lost)| (Some(failure), lost)),
            Self::Columns(batch) if batch.is_empty() => Ok(()),
            Self::Columns(batch) => queue
                .offer(std::mem::take(batch))
                .map_err(|refused| (None, refused.tally())),
        }
    }

    /// Complete the file.
    pub fn finish(
        &mut self,
        trailer: &[Statistics],
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        match self {
            Self::Stream(sink) => sink.finish(trailer, stopping),
            Self::Columns(_) => Ok(()),
        }
    }

    /// What becomes ready when the reader of a pipe has gone.
    pub fn reader(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Stream(sink) => sink.reader(),
            Self::Columns(_) => None,
        }
    }

    /// The stream, where it is one.
    pub fn stream(&mut self) -> Option<&mut Sink> {
        match self {
            Self::Stream(sink) => Some(sink),
            Self::Columns(_) => None,
        }
    }

    /// Bytes of all files together, and the files that exist.
    pub fn extent(&self) -> (u64, Vec<PathBuf>) {
        match self {
            Self::Stream(sink) => (sink.size(), sink.files().map(PathBuf::from).collect()),
            Self::Columns(_) => (0, Vec::new()),
        }
    }
}
