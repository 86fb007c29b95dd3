use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::behind::Behind;
use super::compress::Sink;
use crate::read::Compression;

/// How full buffers get to the disk.
pub enum Out {
    /// In a thread of its own: one large file.
    Behind(Behind),
    /// Opened for each buffer: many files at once, none of them open in between.  What is
    /// compressed then consists of several members, which every reader takes as one.
    Append(PathBuf, Compression),
}

impl Out {
    /// One large file.
    pub fn behind(file: File, compression: Compression, size: usize) -> io::Result<Self> {
        Ok(Self::Behind(Behind::new(
            Sink::new(file, compression)?,
            size,
        )?))
    }

    /// One of many.
    pub fn append(path: &Path, compression: Compression) -> Self {
        Self::Append(path.to_owned(), compression)
    }

    /// Take a full buffer, give back an empty one.
    pub fn swap(&mut self, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Behind(behind) => behind.swap(buffer),
            Self::Append(path, compression) => {
                let file = OpenOptions::new().append(true).open(path)?;
                let mut sink = Sink::new(file, *compression)?;
                sink.write(&buffer)?;
                sink.finish()?;
                buffer.clear();
                Ok(buffer)
            }
        }
    }

    /// Wait until all is written.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Behind(behind) => behind.finish(),
            Self::Append(..) => Ok(()),
        }
    }
}
