//! A network namespace that somebody may take away while we read in it.

use std::fs::{metadata, read_dir, File};
use std::io;
use std::os::unix::fs::MetadataExt;

/// A namespace and the path that leads to it.
///
/// An open packet socket keeps its namespace, and the devices in it, alive when everybody else has
/// gone. A capture must not: so it looks now and then whether it is the last one.
#[derive(Debug)]
pub struct Netns {
    path: String,
    inode: u64,
}

impl Netns {
    /// Open the namespace at `path`; `None` when that is "", our own.
    pub fn open(path: &str) -> io::Result<Option<(Self, File)>> {
        if path.is_empty() {
            return Ok(None);
        }
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        let path = path.to_owned();
        Ok(Some((Self { path, inode }, file)))
    }

    /// Whether its path still leads to it, or a process lives in it.
    pub fn is_wanted(&mut self) -> bool {
        if inode(&self.path) == Some(self.inode) {
            return true;
        }
        match resident(self.inode) {
            Some(path) => self.path = path,
            None => return false,
        }
        true
    }
}

fn inode(path: &str) -> Option<u64> {
    metadata(path).ok().map(|found| found.ino())
}

/// The path by way of a process that lives in it.
fn resident(wanted: u64) -> Option<String> {
    let processes = read_dir("/proc").ok()?.filter_map(Result::ok);
    processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|pid| format!("/proc/{pid}/ns/net"))
        .find(|path| inode(path) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_went_is_replaced_by_a_resident() {
        let (mut netns, _) = Netns::open("/proc/self/ns/net").unwrap().unwrap();
        assert!(netns.is_wanted());
        netns.path = "/proc/0/ns/net".into();
        assert!(netns.is_wanted() && netns.path != "/proc/0/ns/net");
        netns.path = "/proc/0/ns/net".into();
        netns.inode = 1;
        assert!(!netns.is_wanted());
    }
}
