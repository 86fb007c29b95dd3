//! The engine as its owner holds it: opened, started, asked to end, asked for its account.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{eventfd, EventfdFlags};

use crate::account::Account;
use crate::batch::{Batch, Queue};
use crate::collect::Sessions;
use crate::compose::Composer;
use crate::geometry::geometry;
use crate::govern::Step;
use crate::out::{Out, Output};
use crate::pcapng::Section;
use crate::sink::Preamble;
use crate::source::{Role, Spec};
use crate::sources::Sources;
use crate::worker::{clock, Worker};

/// When to stop, and how much memory rings may take. 0 means no limit.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Limits {
    pub snaplen: u32,
    pub packets: u64,
    pub seconds: f64,
    pub bytes: u64,
    pub buffer: u64,
}

/// What the engine's thread and its owner share.
pub(crate) struct Shared {
    account: Mutex<Account>,
    stopping: AtomicBool,
    /// Why, where it was not a person.
    reason: Mutex<String>,
    steps: Mutex<Vec<Step>>,
    /// Readable once the end was asked for.
    pub wake: OwnedFd,
    done: Mutex<bool>,
    finished: Condvar,
    pub queue: Queue,
}

impl Shared {
    fn new() -> io::Result<Self> {
        Ok(Self {
            account: Mutex::default(),
            stopping: AtomicBool::new(false),
            reason: Mutex::default(),
            steps: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            done: Mutex::new(false),
            finished: Condvar::new(),
            queue: Queue::default(),
        })
    }

    pub fn publish(&self, account: Account) {
        *lock(&self.account) = account;
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Why it was asked to end.
    pub fn reason(&self) -> String {
        lock(&self.reason).clone()
    }

    /// The steps that were asked for since the last time.
    pub fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut *lock(&self.steps))
    }

    pub fn close(&self) {
        self.queue.close();
        *lock(&self.done) = true;
        self.finished.notify_all();
    }
}

/// A capture: opened by `open`, moving from `start`, ended by `stop`, a limit or a failure.
pub struct Engine {
    shared: Arc<Shared>,
    worker: Mutex<Option<Box<Worker>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What could not be opened, and why.
#[derive(Debug)]
pub struct OpenError {
    /// The device's name, or the output's path.
    pub subject: String,
    /// What the system said.
    pub error: io::Error,
}

impl Engine {
    /// Open every socket, then the output. Nothing is left behind on failure.
    pub fn open(
        specs: Vec<Spec>,
        section: Section,
        names: Vec<(IpAddr, String)>,
        output: Output,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let preamble = Preamble {
            section,
            interfaces: specs.iter().map(|spec| spec.interface.clone()).collect(),
            names,
        };
        let shared = Shared::new().map_err(|error| OpenError {
            subject: String::new(),
            error,
        })?;
        let shared = Arc::new(shared);
        let kept = specs
            .iter()
            .filter(|spec| spec.role != Role::Strange)
            .count();
        let shape = geometry(kept, limits.buffer, limits.packets, limits.snaplen);
        let sessions = Sessions::new(&preamble.names);
        let sources =
            Sources::open(specs, shape).map_err(|(subject, error)| OpenError { subject, error })?;
        let subject = output.name();
        let composer = Composer::new(&sources, sessions, limits.snaplen);
        let rotates = matches!(output, Output::File(_, _, Some(_)));
        let out =
            Out::open(output, &preamble, clock()).map_err(|error| OpenError { subject, error })?;
        let worker = Worker::new(Arc::clone(&shared), sources, composer, out, limits, rotates);
        Ok(Self {
            shared,
            worker: Mutex::new(Some(Box::new(worker))),
            thread: Mutex::default(),
        })
    }

    /// Start the thread; a second call does nothing.
    pub fn start(&self) -> io::Result<()> {
        let Some(worker) = lock(&self.worker).take() else {
            return Ok(());
        };
        let thread = std::thread::Builder::new()
            .name("tapwright".into())
            .spawn(move || worker.run())?;
        *lock(&self.thread) = Some(thread);
        Ok(())
    }

    /// Keep less of each packet, or fewer of them, or all again, from a moment from now on.
    pub fn step(&self, step: Step) {
        lock(&self.shared.steps).push(step);
    }

    /// Ask it to end for a `reason`; the first one that is given counts.
    pub fn stop_because(&self, reason: &str) {
        let mut given = lock(&self.shared.reason);
        if given.is_empty() {
            reason.clone_into(&mut given);
        }
        drop(given);
        self.stop();
    }

    /// Ask it to end.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes()); // full means it is awake anyway
    }

    /// Wait for the end; `true` when it has come.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let (done, finished) = (lock(&self.shared.done), &self.shared.finished);
        let Some(timeout) = timeout else {
            let waited = finished.wait_while(done, |done| !*done);
            return *waited.unwrap_or_else(PoisonError::into_inner);
        };
        let waited = finished.wait_timeout_while(done, timeout, |done| !*done);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The account now.
    pub fn account(&self) -> Account {
        lock(&self.shared.account).clone()
    }

    /// The next batch of a capture without a file.
    pub fn next_batch(&self, timeout: Duration) -> Option<Batch> {
        self.shared.queue.take(timeout)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
