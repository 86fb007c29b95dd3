//! Sleeping until something happens.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags, Timespec};

use crate::sources::Sources;

/// Sleep at most `longest`, or until `wake` is readable.
pub fn nap(wake: BorrowedFd<'_>, longest: Duration) {
    let fds = &mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)];
    sleep(fds, longest);
}

/// Sleep at most `longest`, until `wake` is readable, packets come, or an error is to be noticed: whether
/// `reader`, who takes what we write, has gone.
pub fn listen(
    wake: BorrowedFd<'_>,
    reader: Option<BorrowedFd<'_>>,
    sources: &mut Sources,
    longest: Duration,
) -> bool {
    let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let mut fds = vec![readable(wake)];
    fds.extend(reader.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty())));
    let first = fds.len();
    let rings = |sources: &Sources| -> Vec<u16> {
        let numbered = (0..).zip(sources.iter());
        numbered
            .filter_map(|(n, source)| source.ring().map(|_| n))
            .collect()
    };
    let numbers = rings(sources);
    fds.extend(
        sources
            .iter()
            .filter_map(|s| s.ring())
            .map(|ring| readable(ring.as_fd())),
    );
    sleep(&mut fds, longest);
    let failed: Vec<bool> = fds
        .iter()
        .map(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
        .collect();
    for (number, _) in numbers
        .into_iter()
        .zip(&failed[first..])
        .filter(|(_, failed)| **failed)
    {
        sources[number].take_error();
    }
    failed[1..first].contains(&true)
}

fn sleep(fds: &mut [PollFd<'_>], longest: Duration) {
    const UNABLE: Duration = Duration::from_millis(1);
    let timeout = Timespec::try_from(longest).ok();
    if poll(fds, timeout.as_ref()).is_err() {
        std::thread::sleep(UNABLE); // interrupted, or not able to wait: never a loop without a pause
    }
}
