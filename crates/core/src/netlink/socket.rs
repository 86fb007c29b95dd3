//! One rtnetlink socket: a request out, the answers handed to a closure.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{NetlinkBuffer, NlaBuffer, NlasIterator};
use rustix::io::{retry_on_intr, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{set_socket_timeout, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use rustix::thread::{move_into_link_name_space, LinkNameSpaceType};

use crate::ring::enable;

const HEADER: usize = 16;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const FLAG_REQUEST: u16 = 0x01;
const FLAG_ACKNOWLEDGE: u16 = 0x04;
/// Flag of a question: answer with all there are.
pub(super) const DUMP: u16 = 0x300;
/// The last two bits of a message type that asks; one that orders has others.
const ASKS: u16 = 2;
/// `NLMSGERR_ATTR_MSG`
const WORDS: u16 = 1;
const FLAG_INTERRUPTED: u16 = 0x10;
/// The kernel fills at most 32 KiB of one datagram.
const BUFFER: usize = 64 * 1024;
/// A dump that changed while it was read is read again, but not for ever.
const TRIES: usize = 4;
/// What the kernel has not answered by then it does not answer at all.
const DEADLINE: Duration = Duration::from_secs(10);

/// A request: message type, fixed header and attributes already encoded.
pub(super) struct Request<'a> {
    pub kind: u16,
    pub flags: u16,
    pub payload: &'a [u8],
}

impl Request<'_> {
    fn asks(&self) -> bool {
        self.kind % 4 == ASKS
    }

    fn dumps(&self) -> bool {
        self.asks() && self.flags & DUMP == DUMP
    }
}

/// An rtnetlink socket, bound to the network namespace of the thread that made it.
pub(super) struct RouteSocket {
    fd: OwnedFd,
    deadline: Duration,
    buffer: Vec<u8>,
    sequence: u32,
    said: String,
}

impl RouteSocket {
    pub fn open() -> io::Result<Self> {
        Self::waiting(DEADLINE)
    }

    /// One that waits so long for each datagram of an answer.
    fn waiting(deadline: Duration) -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        for option in [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK] {
            enable(&fd, libc::SOL_NETLINK, option)?;
        }
        set_socket_timeout(&fd, Timeout::Recv, Some(deadline))?;
        Ok(Self {
            fd,
            deadline,
            buffer: vec![0; BUFFER],
            sequence: 0,
            said: String::new(),
        })
    }

    /// The kernel's words with its last refusal, or "".
    pub fn said(&self) -> &str {
        &self.said
    }

    /// All answers to one request, gathered by `parse` from (message type, payload).
    pub fn collect<T>(
        &mut self,
        request: &Request<'_>,
        mut parse: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        for _ in 1..TRIES {
            let (found, complete) = self.ask(request, &mut parse)?;
            if complete {
                return Ok(found);
            }
        }
        self.ask(request, &mut parse).map(|(found, _)| found)
    }

    fn ask<T>(
        &mut self,
        request: &Request<'_>,
        parse: &mut impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> io::Result<(Vec<T>, bool)> {
        self.send(request)?;
        let (mut found, mut complete) = (Vec::new(), true);
        loop {
            let length = self.receive()?;
            let mut rest = self
                .buffer
                .get(..length)
                .ok_or(io::ErrorKind::InvalidData)?;
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let size = message.length() as usize;
                if message.sequence_number() == self.sequence {
                    complete &= message.flags() & FLAG_INTERRUPTED == 0;
                    let payload = &rest[HEADER..size];
                    match message.message_type() {
                        // A listing that the kernel broke off ends like one that it finished, but for its errno.
                        end @ (DONE | ERROR) => {
                            let repeated = if end == ERROR { HEADER } else { 0 };
                            self.said = words(payload, repeated);
                            return finish(payload).map(|()| (found, complete));
                        }
                        kind => found.extend(parse(kind, payload)),
                    }
                    if request.asks() && !request.dumps() {
                        return Ok((found, complete));
                    }
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// Wait for the kernel's next datagram; its length.
    ///
    /// Whoever administers a namespace may write to our sockets in it, which answers nothing.
    fn receive(&mut self) -> io::Result<usize> {
        let began = Instant::now();
        loop {
            let received = retry_on_intr(|| {
                rustix::net::recvfrom(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC)
            });
            let (_, length, from) = match received {
                Err(Errno::AGAIN) => return Err(silence(self.deadline)),
                received => received?,
            };
            if is_kernel(from) {
                return Ok(length);
            }
            if began.elapsed() >= self.deadline {
                return Err(silence(self.deadline));
            }
        }
    }

    fn send(&mut self, request: &Request<'_>) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        // A question ends with its answer.
        let ends = if request.asks() { 0 } else { FLAG_ACKNOWLEDGE };
        let flags = FLAG_REQUEST | request.flags | ends;
        let mut message = Vec::with_capacity(HEADER + request.payload.len());
        message.extend(((HEADER + request.payload.len()) as u32).to_ne_bytes());
        message.extend(request.kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(request.payload);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, &message, SendFlags::empty(), &kernel)?;
        Ok(())
    }
}

fn is_kernel(from: Option<SocketAddrAny>) -> bool {
    from.and_then(|address| SocketAddrNetlink::try_from(address).ok())
        .is_some_and(|address| address.pid() == 0)
}

fn silence(deadline: Duration) -> io::Error {
    let seconds = deadline.as_secs_f64();
    let words = format!("the kernel gave no answer within {seconds} s");
    io::Error::new(io::ErrorKind::TimedOut, words)
}

/// How an answer ended: 0 acknowledges, everything else is a negative errno.
fn finish(payload: &[u8]) -> io::Result<()> {
    match i32_at(payload, 0) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// What the kernel says beyond the number: an error message repeats the header that it refuses, and then has attributes.
fn words(payload: &[u8], repeated: usize) -> String {
    attributes(payload.get(4 + repeated..).unwrap_or_default())
        .find(|&(kind, _)| kind == WORDS)
        .map(|(_, said)| text(said))
        .unwrap_or_default()
}

/// Run `work` with the calling thread's network namespace being `netns`; `None` runs it here.
///
/// The hop is made by a thread of its own, so that the caller's namespace never changes.
pub fn in_netns<T: Send>(
    netns: Option<BorrowedFd<'_>>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let Some(fd) = netns else { return work() };
    std::thread::scope(|scope| {
        let hop = move || {
            move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))?;
            work()
        };
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, hop)?;
        thread
            .join()
            .map_err(|_| io::Error::other("the namespace thread panicked"))?
    })
}

/// The attributes of a message or a nest; stops where they stop making sense.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes)
        .map_while(Result::ok)
        .map(|nla: NlaBuffer<&[u8]>| (nla.kind(), &nla.into_inner()[4..4 + nla.value_length()]))
}

/// One attribute, encoded and padded.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + value.len());
    bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes
        .get(offset..offset + 2)?
        .try_into()
        .ok()
        .map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes
        .get(offset..offset + 4)?
        .try_into()
        .ok()
        .map(u32::from_ne_bytes)
}

pub(super) fn i32_at(bytes: &[u8], offset: usize) -> Option<i32> {
    u32_at(bytes, offset).map(|bits| i32::from_ne_bytes(bits.to_ne_bytes()))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes
        .get(offset..offset + 8)?
        .try_into()
        .ok()
        .map(u64::from_ne_bytes)
}

/// Names and descriptions come from strangers: any bytes, ended by the first zero.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn is_late(received: io::Result<usize>) {
        let error = received.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "the kernel gave no answer within 0.02 s");
    }

    #[test]
    fn a_kernel_that_says_nothing_is_not_waited_for_without_end() {
        is_late(RouteSocket::waiting(SOON).unwrap().receive());
        let usual = RouteSocket::open().unwrap();
        let deadline = rustix::net::sockopt::socket_timeout(&usual.fd, Timeout::Recv);
        assert_eq!(deadline, Ok(Some(DEADLINE)));
    }

    #[test]
    fn what_somebody_else_says_is_no_answer() {
        let (mut socket, stranger) = (RouteSocket::waiting(SOON).unwrap(), RouteSocket::open());
        rustix::net::bind(&socket.fd, &SocketAddrNetlink::new(0, 0)).unwrap();
        let ours = rustix::net::getsockname(&socket.fd).unwrap();
        let ours = SocketAddrNetlink::try_from(ours).unwrap();
        let said = rustix::net::sendto(&stranger.unwrap().fd, &[0; 16], SendFlags::empty(), &ours);
        // Who may not administer the namespace may not even say it.
        assert!(matches!(said, Ok(16) | Err(Errno::PERM)), "{said:?}");
        is_late(socket.receive());
    }

    #[test]
    fn attributes_survive_every_cut() {
        let mut bytes = attribute(3, b"eth0\0");
        bytes.extend(attribute(7, &42u32.to_ne_bytes()));
        let all: Vec<_> = attributes(&bytes).collect();
        assert_eq!(all, [(3, &b"eth0\0"[..]), (7, &42u32.to_ne_bytes()[..])]);
        for end in 0..bytes.len() {
            assert!(attributes(&bytes[..end]).count() <= 1);
        }
    }

    #[test]
    fn a_length_below_the_header_ends_the_walk() {
        assert_eq!(attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(attributes(&[0; 16]).count(), 0);
    }

    #[test]
    fn foreign_names_are_kept_readable() {
        assert_eq!(text(b"eth\xff0\0rest"), "eth\u{fffd}0");
        assert_eq!(text(b""), "");
    }
}
