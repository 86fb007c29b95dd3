use std::fmt;
use std::path::PathBuf;

use crate::read::ReadError;
use crate::write::WriteError;

/// Why a verb could not do what it was asked to.
#[derive(Debug)]
pub enum OfflineError {
    /// An input could not be opened, or is no capture file.
    Open(PathBuf, ReadError),
    /// The output could not be written.
    Write(WriteError),
    /// It was asked to stop; nothing is left behind.
    Stopped,
}

impl From<WriteError> for OfflineError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<(PathBuf, ReadError)> for OfflineError {
    fn from((path, error): (PathBuf, ReadError)) -> Self {
        Self::Open(path, error)
    }
}

impl fmt::Display for OfflineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Write(error) => error.fmt(f),
            Self::Stopped => write!(f, "stopped"),
        }
    }
}

impl std::error::Error for OfflineError {}
