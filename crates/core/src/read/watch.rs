use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// How much was read, for others to look at, and whether to go on waiting for more.
#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes of the files themselves.
    pub read: AtomicU64,
    stop: AtomicBool,
}

impl Watch {
    /// Nothing more is wanted: who waits for a pipe stops waiting.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether that was said.
    #[inline]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What can be waited for.
#[cfg(unix)]
pub trait Awaited: Read + Send + std::os::fd::AsFd {}
#[cfg(not(unix))]
pub trait Awaited: Read + Send {}

impl Awaited for File {}
#[cfg(not(unix))]
impl Awaited for io::Stdin {}

/// A file or pipe whose bytes are counted, and which is not waited for longer than anybody wants.
pub struct Watched<R> {
    bytes: R,
    watch: Arc<Watch>,
}

impl<R: Awaited> Watched<R> {
    /// Watch these bytes.
    pub fn new(bytes: R, watch: &Arc<Watch>) -> Self {
        Self {
            bytes,
            watch: Arc::clone(watch),
        }
    }

    /// Until there is something to read, the end, or a stop.
    #[cfg(unix)]
    fn wait(&self) -> io::Result<()> {
        use rustix::event::{poll, PollFd, PollFlags, Timespec};

        let tenth = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        while !self.watch.stopped() {
            let mut fds = [PollFd::new(&self.bytes, PollFlags::IN)];
            match poll(&mut fds, Some(&tenth)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("stopped"))
    }

    #[cfg(not(unix))]
    fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Awaited> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        let count = self.bytes.read(into)?;
        self.watch.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
