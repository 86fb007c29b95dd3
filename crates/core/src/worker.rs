//! The engine's thread: rings in, one ordered stream out.

use std::os::fd::AsFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::account::{Account, Tally};
use crate::collect::Session;
use crate::compose::Composer;
use crate::destination::Failure;
use crate::engine::{Limits, Shared};
use crate::govern::Remarks;
use crate::nap::{Naps, Pace};
use crate::order::{Order, Place};
use crate::out::Out;
use crate::pcapng::{packet_size, Statistics};
use crate::source::Source;
use crate::sources::Sources;
use crate::waiting;

/// How long the thread sleeps when nothing comes.
const SLEEP: Duration = Duration::from_millis(250);
/// How often the account is made known while packets come.
const PUBLISH: Duration = Duration::from_millis(100);
/// How often the ports' own counters are read.
const REFRESH: Duration = Duration::from_secs(1);
/// After the filters were closed, a packet may still be on its way into a ring.
const LAST: Duration = Duration::from_millis(2);
/// What the kernel accepted and does not hand over within this time is given up.
const DRAIN: Duration = Duration::from_secs(1);

/// What becomes of the packets that are read now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Write,
    BeyondLimit,
    Lose,
}

/// The capture is ending.
struct Ending {
    reason: String,
    since: Instant,
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    sources: Sources,
    composer: Composer,
    /// A copy of the mirrors' accounts for whoever asks.
    sessions: Arc<Vec<Session>>,
    order: Order,
    out: Out,
    limits: Limits,
    /// Some limit has to be looked at before each packet.
    guarded: bool,
    fate: Fate,
    ending: Option<Ending>,
    naps: Naps,
    pace: Pace,
    /// Packets came since the thread slept.
    busy: bool,
    written: u64,
    remarks: Remarks,
    stuck: u64,
    /// Nanoseconds of a processor; 0 until the thread runs.
    cpu: u64,
    started: Instant,
    deadline: Option<Instant>,
    /// `started` as nanoseconds since the epoch.
    began: u64,
    published: Instant,
    refreshed: Instant,
    /// Kept for its memory.
    taken: Vec<Place>,
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        sources: Sources,
        composer: Composer,
        out: Out,
        limits: Limits,
        rotates: bool,
    ) -> Self {
        let now = Instant::now();
        let mut worker = Self {
            shared,
            naps: Naps::new(sources.shape()),
            pace: Pace::default(),
            composer,
            sessions: Arc::default(),
            sources,
            order: Order::default(),
            out,
            limits,
            guarded: limits.packets > 0 || limits.bytes > 0 || rotates,
            fate: Fate::Write,
            ending: None,
            busy: false,
            written: 0,
            remarks: Remarks::default(),
            stuck: 0,
            cpu: 0,
            started: now,
            deadline: deadline(now, limits.seconds),
            began: clock(),
            published: now,
            refreshed: now,
            taken: Vec::new(),
        };
        worker.publish("");
        worker
    }

    pub fn run(mut self: Box<Self>) {
        // A panic must not leave the owner waiting for ever.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work()));
        let reason =
            outcome.unwrap_or_else(|_| "error: the engine failed; please report this".into());
        self.sessions = Arc::new(self.composer.sessions.all());
        self.publish(&reason);
        let shared = Arc::clone(&self.shared);
        drop(self); // nothing is open any more when the owner hears of the end
        shared.close();
    }

    fn work(&mut self) -> String {
        loop {
            let now = clock();
            let came = self.sources.gather(&mut self.order);
            self.write_up_to_horizon(now);
            self.relieve();
            if !came {
                self.flush();
            }
            self.take_steps();
            self.check_limits();
            self.tend();
            if self.is_drained() {
                return self.finish();
            }
            self.busy |= came;
            if !came {
                self.sleep();
            }
        }
    }

    /// Write what no older packet can still come before.
    fn write_up_to_horizon(&mut self, now: u64) {
        let mark = self.order.mark(self.sources.horizon(now), now);
        self.write(mark);
    }

    /// When a ring runs full because its packets wait for others, write them out of order.
    fn relieve(&mut self) {
        if let Some(latest) = self.sources.pressed() {
            self.write(latest);
        }
    }

    fn write(&mut self, mark: u64) {
        let mut taken = std::mem::take(&mut self.taken);
        self.order.take(mark, &mut taken);
        for place in &taken {
            if self.guarded && self.fate == Fate::Write {
                self.guard(place);
            }
            let source = &mut self.sources[place.source];
            match self.fate {
                Fate::Write => self.deliver(place),
                Fate::BeyondLimit => source.account.beyond_limit += 1,
                Fate::Lose => source.account.engine_dropped += 1,
            }
            self.sources[place.source].settle(place.block);
        }
        self.taken = taken;
    }

    /// Before a packet is written: end the capture where a limit forbids it, begin a new file where one is due.
    fn guard(&mut self, place: &Place) {
        let frame = self.sources[place.source].frame(place);
        let captured = frame.map_or(0, |frame| frame.data.len());
        if let Some(limit) = self.limit(captured) {
            self.end(limit, Fate::BeyondLimit);
        } else if self
            .out
            .stream()
            .is_some_and(|sink| sink.wants_new_file(captured))
        {
            self.rotate();
        }
    }

    /// The limit that one packet more would break.
    fn limit(&mut self, captured: usize) -> Option<&'static str> {
        if self.limits.packets > 0 && self.written >= self.limits.packets {
            return Some("count");
        }
        let (limit, sink) = (self.limits.bytes, self.out.stream()?);
        let after =
            sink.size() + packet_size(captured) as u64 + sink.trailer_room() + self.remarks.room();
        (limit > 0 && after > limit).then_some("size")
    }

    fn deliver(&mut self, place: &Place) {
        let source = &self.sources[place.source];
        let Some(frame) = source.frame(place) else {
            self.sources[place.source].account.engine_dropped += 1; // the kernel wrote what makes no sense
            return;
        };
        let (time, mut comment) = (frame.time, String::new());
        if !self.remarks.is_empty() {
            comment = self.remarks.due(time);
        }
        let written = self
            .composer
            .pass(place.source, source, &frame, &comment, &mut self.out);
        let source = &mut self.sources[place.source];
        let Some(written) = written else {
            source.account.refused += 1;
            self.remarks.put_back(time, comment);
            return;
        };
        source.told();
        source.wrote(&written);
        self.written += 1;
        if self.out.is_full() {
            self.flush();
        }
    }

    /// Hand what was gathered to the file or the reader.
    fn flush(&mut self) {
        let shared = &*self.shared;
        let end = self.deadline;
        let stopping = || shared.is_stopping() || end.is_some_and(|end| Instant::now() >= end);
        if let Err((failure, lost)) = self.out.flush(&shared.queue, &stopping) {
            self.lose(&lost);
            if let Some(failure) = failure {
                self.fail(&failure);
            }
        }
    }

    /// Packets counted as written turned out to be lost.
    fn lose(&mut self, lost: &[Tally]) {
        let sources = self.sources.len();
        for (interface, tally) in lost.iter().enumerate() {
            let source = match interface.checked_sub(sources) {
                None => Some(interface as u16),
                Some(session) => {
                    let sessions = &mut self.composer.sessions;
                    sessions
                        .lose(session, tally.packets, tally.length)
                        .map(|source| source as u16)
                }
            };
            if let Some(source) = source {
                self.sources[source].account.lose(tally);
            }
        }
    }

    /// What follows is lost, whatever the capture was ending for.
    fn fail(&mut self, failure: &Failure) {
        let reason = match failure {
            Failure::DiskFull => "disk full",
            Failure::Gone => "output gone",
            Failure::Other(text) => &format!("error: {text}"),
        };
        self.end(reason, Fate::Lose);
    }

    fn rotate(&mut self) {
        self.flush();
        if self.fate != Fate::Write {
            return;
        }
        self.sources.refresh();
        let trailer = self.statistics();
        if let Some(Err(failure)) = self.out.stream().map(|sink| sink.rotate(&trailer, clock())) {
            self.fail(&failure);
        }
        self.remarks.repeat(self.began);
    }

    /// Step down or up, as far as that was asked for.
    fn take_steps(&mut self) {
        for step in self.shared.take_steps() {
            if self.ending.is_none() {
                self.stuck += self.sources.step(&step) as u64;
            }
            self.remarks.note(clock(), &step);
            self.pace = step.pace();
        }
    }

    fn check_limits(&mut self) {
        if self.ending.is_some() {
            return;
        }
        if self.shared.is_stopping() {
            let reason = self.shared.reason();
            let reason = if reason.is_empty() {
                "stopped"
            } else {
                &reason
            };
            self.end(reason, Fate::Write);
        } else if deadline(self.started, self.limits.seconds)
            .is_some_and(|end| Instant::now() >= end)
        {
            self.end("time", Fate::Write);
        } else if self.limits.packets > 0 && self.written >= self.limits.packets {
            self.end("count", Fate::BeyondLimit);
        } else if self.sources.are_gone() {
            self.end("all sources gone", Fate::Write);
        }
    }

    /// Let nothing more in, and settle what is there.
    fn end(&mut self, reason: &str, fate: Fate) {
        self.fate = fate;
        let since = self.ending.take().map(|ending| ending.since);
        if since.is_none() {
            self.sources.close_intake();
        }
        self.ending = Some(Ending {
            reason: reason.into(),
            since: since.unwrap_or_else(Instant::now),
        });
    }

    /// Whether the capture is ending and nothing more can come; then all that waited is written.
    fn is_drained(&mut self) -> bool {
        let Some(waited) = self.ending.as_ref().map(|ending| ending.since.elapsed()) else {
            return false;
        };
        self.sources.count();
        if self.sources.is_gathered() && waited > LAST || waited > DRAIN {
            self.write(u64::MAX);
            return true;
        }
        false
    }

    /// Complete the file; why the capture ended.
    fn finish(&mut self) -> String {
        self.flush();
        self.take_steps();
        let trailer = self.statistics();
        if let Err(failure) = self.out.finish(&trailer, &|| true) {
            if self.fate != Fate::Lose {
                self.fail(&failure);
            }
        }
        self.ending
            .take()
            .map_or_else(String::new, |ending| ending.reason)
    }

    /// Look after everything but packets, now and then.
    fn tend(&mut self) {
        if self.ending.is_none() && self.refreshed.elapsed() >= REFRESH {
            self.sources.look_after();
            self.sources.refresh();
            self.sessions = Arc::new(self.composer.sessions.all());
            self.refreshed = Instant::now();
        }
        if self.published.elapsed() >= PUBLISH {
            self.sources.count();
            self.cpu = cpu_time();
            self.publish("");
        }
    }

    /// Wait for packets, for the owner, or until waiting packets are old enough.
    fn sleep(&mut self) {
        let wake = self.shared.wake.as_fd();
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(Instant::now()));
        let longest = |pause: Duration| left.map_or(pause, |left| pause.min(left));
        if self.ending.is_some() {
            std::thread::sleep(Duration::from_millis(1));
        } else if std::mem::take(&mut self.busy) || !self.order.is_empty() {
            waiting::nap(wake, longest(self.naps.length(self.pace)));
        } else {
            self.sources.count();
            self.publish("");
            let shared = Arc::clone(&self.shared);
            let reader = self.out.reader();
            if waiting::listen(
                shared.wake.as_fd(),
                reader,
                &mut self.sources,
                longest(SLEEP),
            ) {
                self.fail(&Failure::Gone);
            }
        }
    }

    fn statistics(&mut self) -> Vec<Statistics> {
        let now = clock();
        let unsaid = match self.ending {
            Some(_) => self.remarks.due(u64::MAX).replace('\n', "; "),
            None => String::new(),
        };
        let said = |ledger: String| match unsaid.as_str() {
            "" => ledger,
            text => format!("{ledger}; {text}"),
        };
        let of = |(interface, source): (u32, &Source)| Statistics {
            interface,
            time: now,
            start: self.began,
            end: now,
            received: source.account.port.map(|(packets, _)| packets),
            accepted: source.account.accepted,
            os_dropped: source.account.kernel_dropped,
            delivered: source.account.written,
            comment: said(source.account.ledger()),
        };
        let sessions = &self.composer.sessions;
        let mirrors = sessions.statistics(self.sources.len(), self.began, now);
        (0..)
            .zip(self.sources.iter())
            .map(of)
            .chain(mirrors)
            .collect()
    }

    fn publish(&mut self, ended: &str) {
        let (file_bytes, files) = self.out.extent();
        self.shared.publish(Account {
            sources: self.sources.accounts(),
            sessions: Arc::clone(&self.sessions),
            strangers: self.composer.strangers.clone(),
            file_bytes,
            files,
            reordered: self.order.reordered(),
            cpu: self.cpu,
            stuck: self.stuck,
            ended: ended.to_owned(),
            elapsed: self.started.elapsed().as_nanos() as u64,
        });
        self.published = Instant::now();
    }
}

fn deadline(started: Instant, seconds: f64) -> Option<Instant> {
    let limit = Duration::try_from_secs_f64(seconds).ok()?;
    started.checked_add(limit).filter(|_| seconds > 0.0)
}

/// Nanoseconds that this thread has had of a processor.
fn cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).map_or(0, |time| time.as_nanos() as u64)
}

/// Nanoseconds since the epoch.
pub(crate) fn clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}
