//! One message to the kernel as its caller encoded it, and the answers as the kernel did.
//!
//! For what is made and unmade now and then, and whose particulars somebody else knows.

use std::io;
use std::path::Path;

use super::scan::hop;
use super::socket::{Request, RouteSocket};

/// Bytes of an answer: whoever administers a namespace can have the kernel list as much there as they like.
const MOST: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub struct Refusal {
    /// What failed, with its errno.
    pub error: io::Error,
    /// The kernel's own words beyond the errno, or nothing.
    pub said: String,
    /// It was the namespace that could not be entered.
    pub outside: bool,
}

/// What the kernel answers in the namespace at `path` ("" is the caller's own): payloads, and none for an order it took.
///
/// `flags` are those of `struct nlmsghdr`, without request and acknowledgement.
pub fn message(
    path: &Path,
    kind: u16,
    flags: u16,
    payload: &[u8],
) -> Result<Vec<Vec<u8>>, Refusal> {
    let request = Request {
        kind,
        flags,
        payload,
    };
    let failed = |error: io::Error, outside| Refusal {
        error,
        said: String::new(),
        outside,
    };
    let asked = hop(|traveller| {
        traveller.enter(path).map_err(|error| failed(error, true))?;
        let mut socket = RouteSocket::open().map_err(|error| failed(error, false))?;
        gathered(&mut socket, &request, MOST).map_err(|error| Refusal {
            error,
            said: socket.said().to_owned(),
            outside: false,
        })
    });
    asked.map_err(|error| failed(error, false))?
}

/// All answers, read to their end; an error where they have more than `most` bytes.
fn gathered(
    socket: &mut RouteSocket,
    request: &Request<'_>,
    most: usize,
) -> io::Result<Vec<Vec<u8>>> {
    let mut size = 0;
    let answers = socket.collect(request, |_, answer| {
        size += answer.len();
        (size <= most).then(|| answer.to_vec())
    })?;
    if size > most {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTM_GETLINK: u16 = 18;
    const RTM_DELLINK: u16 = 17;

    fn of(index: u32) -> Vec<u8> {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body
    }

    #[test]
    fn one_answer_many_and_none() {
        let here = Path::new("");
        assert_eq!(message(here, RTM_GETLINK, 0, &of(1)).unwrap().len(), 1);
        assert!(!message(here, RTM_GETLINK, 0x300, &of(0))
            .unwrap()
            .is_empty());
        let refusal = message(here, RTM_GETLINK, 0, &of(0x7fff_fff0)).unwrap_err();
        assert_eq!(refusal.error.raw_os_error(), Some(libc::ENODEV));
        assert!(!refusal.outside);
    }

    #[test]
    fn an_answer_without_end_is_not_kept() {
        let mut socket = RouteSocket::open().unwrap();
        let request = Request {
            kind: RTM_GETLINK,
            flags: 0x300,
            payload: &of(0),
        };
        let found = gathered(&mut socket, &request, MOST).unwrap();
        let size: usize = found.iter().map(Vec::len).sum();
        let refusal = gathered(&mut socket, &request, size - 1).unwrap_err();
        assert_eq!(refusal.raw_os_error(), Some(libc::EFBIG));
    }

    #[test]
    fn an_order_is_refused_with_an_errno() {
        let refusal = message(Path::new(""), RTM_DELLINK, 0, &of(0x7fff_fff0)).unwrap_err();
        let code = refusal.error.raw_os_error();
        assert!(code == Some(libc::ENODEV) || code == Some(libc::EPERM));
    }

    #[test]
    fn a_namespace_that_is_gone_is_told_from_a_device() {
        let refusal = message(Path::new("/run/netns/never/was"), RTM_GETLINK, 0, &of(1));
        assert!(refusal.unwrap_err().outside);
    }
}
