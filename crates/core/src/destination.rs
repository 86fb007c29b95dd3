//! Where finished bytes go: a file of our own, or somebody's pipe.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{fchown, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fs::{fcntl_getfl, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

/// Why nothing more can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No space, quota or file size left.
    DiskFull,
    /// The reader of a pipe has gone.
    Gone,
    /// Anything else, in the system's words.
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull
            }
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::DiskFull => ErrorKind::StorageFull.into(),
            Failure::Gone => ErrorKind::BrokenPipe.into(),
            Failure::Other(text) => Self::other(text),
        }
    }
}

/// How files are made.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    /// Replace an existing file.
    pub overwrite: bool,
    /// uid and gid to give it to.
    pub owner: Option<(u32, u32)>,
}

/// A capture file being written, whole blocks at a time.
pub struct CaptureFile {
    file: File,
    /// Where in the file the capture begins: elsewhere than at 0 when it is somebody else's.
    base: u64,
    size: u64,
    /// Where the latest writes began, so that a full disk can be answered by cutting back whole blocks.
    starts: VecDeque<u64>,
    /// Somebody else's descriptor of this file; what they write next follows what we wrote.
    lent: Option<OwnedFd>,
}

/// How far back whole blocks can be cut: room for the statistics of 2,000 sources.
const REACH: u64 = 1 << 20;

impl CaptureFile {
    /// Make `path`, readable by its owner alone; never follows a link.
    pub fn create(path: &Path, how: &Creation) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW);
        let file = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && how.overwrite => {
                replace(&options, path)?
            }
            other => other?,
        };
        if let Some((uid, gid)) = how.owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(Self::at(file, 0, None))
    }

    /// Go on where somebody else's descriptor of a regular file stands.
    fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let appends = fcntl_getfl(&fd)?.contains(OFlags::APPEND);
        let file = File::from(reopen(&fd, OFlags::RDWR)?);
        let base = if appends {
            file.metadata()?.len()
        } else {
            rustix::fs::tell(&fd)?
        };
        rustix::fs::seek(&file, SeekFrom::Start(base))?;
        Ok(Self::at(file, base, Some(fd)))
    }

    fn at(file: File, base: u64, lent: Option<OwnedFd>) -> Self {
        Self {
            file,
            base,
            size: 0,
            starts: VecDeque::new(),
            lent,
        }
    }

    /// Append whole blocks. On failure the file ends somewhere in them; `cut_back` makes it whole again.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let reach = self.size.saturating_sub(REACH);
        while self.starts.get(1).is_some_and(|&second| second <= reach) {
            self.starts.pop_front();
        }
        self.starts.push_back(self.size);
        self.file.write_all(bytes)?;
        self.move_to(self.size + bytes.len() as u64);
        Ok(())
    }

    /// After a failed `append(bytes)`: cut the file back to whole blocks, so far that `room` bytes fit
    /// behind them. Returns the blocks that are lost, one after another.
    fn cut_back(&mut self, bytes: &[u8], room: u64, whole: Whole) -> io::Result<Vec<u8>> {
        let reached = rustix::fs::tell(&self.file)?.saturating_sub(self.base);
        let goal = reached.saturating_sub(room);
        let start = self.starts.iter().rev().find(|&&start| start <= goal);
        let mut from = *start.or(self.starts.front()).unwrap_or(&self.size);
        let mut recent = vec![0; (self.size - from) as usize];
        if self
            .file
            .read_exact_at(&mut recent, self.base + from)
            .is_err()
        {
            (from, recent) = (self.size, Vec::new());
        }
        recent.extend_from_slice(bytes);
        let keep = blocks_within(&recent, goal.saturating_sub(from) as usize, whole);
        self.move_to(from + keep as u64);
        let end = self.base + self.size;
        self.file.set_len(end)?;
        rustix::fs::seek(&self.file, SeekFrom::Start(end))?;
        self.starts.retain(|&start| start < self.size);
        Ok(recent.split_off(keep))
    }

    fn move_to(&mut self, size: u64) {
        self.size = size;
        if let Some(fd) = &self.lent {
            let _ = rustix::fs::seek(fd, SeekFrom::Start(self.base + size)); // a courtesy
        }
    }
}

/// Open an existing regular file to write it anew.
fn replace(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(ErrorKind::AlreadyExists));
    }
    file.set_len(0)?;
    Ok(file)
}

/// Somebody else's descriptor that can be waited for: a pipe, a FIFO, a socket, a terminal.
pub struct Pipe {
    fd: OwnedFd,
    nonblocking: bool,
    size: u64,
    /// A write failed: the reader has lost its place in the stream.
    broken: bool,
}

/// After the end was asked for, a reader that takes nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// A pipe that is ready takes at least so many bytes without blocking (`PIPE_BUF`).
const ATOMIC: usize = 4096;

impl Pipe {
    /// Write to `fd`, a copy of somebody's; its flags, which others share, stay as they are.
    fn of(fd: OwnedFd, kind: FileType) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        let own = (kind == FileType::Fifo).then(|| reopen(&fd, flags));
        let own = own.and_then(Result::ok);
        let nonblocking = own.is_some() || fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
        let fd = own.unwrap_or(fd);
        let _ = rustix::pipe::fcntl_setpipe_size(&fd, 1 << 20); // a wish; the default does too
        Ok(Self {
            fd,
            nonblocking,
            size: 0,
            broken: false,
        })
    }

    /// Write all, waiting for the reader; `stopping` tells when that wait has to end. On failure, how
    /// much was written.
    fn append(
        &mut self,
        bytes: &[u8],
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), (Failure, usize)> {
        let (mut progress, mut done) = (Instant::now(), 0);
        while done < bytes.len() {
            let written = match self.some(&bytes[done..]) {
                _ if self.broken => Err(Failure::Gone),
                Ok(0) if progress.elapsed() > PATIENCE && stopping() => Err(Failure::Gone),
                other => other,
            };
            let written = written.map_err(|failure| {
                self.broken = true;
                (failure, done)
            })?;
            if written > 0 {
                progress = Instant::now();
            }
            done += written;
            self.size += written as u64;
        }
        Ok(())
    }

    /// Write what the reader takes within a tenth of a second; 0 when it takes nothing.
    fn some(&self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.nonblocking {
            match self.write(bytes)? {
                0 => {}
                written => return Ok(written),
            }
        }
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        let tenth = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        match poll(&mut fds, Some(&tenth)) {
            Ok(0) | Err(Errno::INTR) => Ok(0),
            Ok(_) if self.nonblocking => self.write(bytes),
            Ok(_) => self.write(&bytes[..bytes.len().min(ATOMIC)]),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Failure> {
        match rustix::io::write(&self.fd, bytes) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            other => other.map_err(|error| io::Error::from(error).into()),
        }
    }
}

/// The same open file with flags of its own.
fn reopen(fd: &OwnedFd, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Tells the length of the whole block at the start of some bytes.
pub type Whole = fn(&[u8]) -> Option<usize>;

/// The bytes of whole blocks that lie within the first `limit` bytes.
fn blocks_within(bytes: &[u8], limit: usize, whole: Whole) -> usize {
    let mut end = 0;
    while let Some(length) = whole(&bytes[end..]).filter(|length| end + length <= limit) {
        end += length;
    }
    end
}

/// An open output.
pub enum Destination {
    /// A regular file.
    File(CaptureFile),
    /// Everything else.
    Pipe(Pipe),
}

impl Destination {
    /// Somebody else's descriptor.
    pub fn of(fd: OwnedFd) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind == FileType::RegularFile {
            CaptureFile::adopt(fd).map(Self::File)
        } else {
            Pipe::of(fd, kind).map(Self::Pipe)
        }
    }

    /// Bytes written.
    pub fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size,
            Self::Pipe(pipe) => pipe.size,
        }
    }

    /// Append whole blocks. On failure a file is cut back to whole blocks, so far that `room` bytes fit
    /// behind them; with the reason come the blocks that are lost.
    pub fn append(
        &mut self,
        blocks: &[u8],
        room: u64,
        whole: Whole,
        stopping: &dyn Fn() -> bool,
    ) -> Result<(), (Failure, Vec<u8>)> {
        match self {
            Self::File(file) => file.append(blocks).map_err(|failure| {
                let lost = file.cut_back(blocks, room, whole);
                (failure, lost.unwrap_or_else(|_| blocks.to_vec()))
            }),
            Self::Pipe(pipe) => pipe.append(blocks, stopping).map_err(|(failure, written)| {
                let kept = blocks_within(blocks, written, whole);
                (failure, blocks[kept..].to_vec())
            }),
        }
    }

    /// What becomes ready when the reader has gone.
    pub fn reader(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::File(_) => None,
            Self::Pipe(pipe) => Some(pipe.fd.as_fd()),
        }
    }
}
