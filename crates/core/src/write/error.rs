use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a file could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// The system refused.
    Io(PathBuf, io::Error),
    /// A pcap file has one link type; these two were to go into it.
    LinkTypes(u16, u16),
    /// There is such a file, and it was not to be replaced.
    Exists(PathBuf),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::LinkTypes(first, other) => {
                write!(f, "a pcap file has one link type, and there are packets of link types {first} and {other}")
            }
            Self::Exists(path) => write!(f, "{} exists already", path.display()),
        }
    }
}

impl std::error::Error for WriteError {}
