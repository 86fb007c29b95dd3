use std::fs::File;
use std::io::{self, Write};

use crate::read::Compression;

/// A file being written, compressed on the way.
pub enum Sink {
    /// As it is.
    Plain(File),
    /// gzip.
    Gzip(flate2::write::GzEncoder<File>),
    /// Zstandard.
    Zstd(zstd::stream::write::Encoder<'static, File>),
    /// LZ4 frames.
    Lz4(Box<lz4_flex::frame::FrameEncoder<File>>),
}

const ZSTD_LEVEL: i32 = 3;

impl Sink {
    /// Compress into `file`.
    pub fn new(file: File, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(file),
            Compression::Gzip => Self::Gzip(flate2::write::GzEncoder::new(
                file,
                flate2::Compression::default(),
            )),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?),
            Compression::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(file))),
        })
    }

    /// Write all of it.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Lz4(encoder) => encoder.write_all(bytes),
        }
    }

    /// Complete the compressed data.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(encoder) => encoder.finish().map(drop),
            Self::Zstd(encoder) => encoder.finish().map(drop),
            Self::Lz4(encoder) => encoder.finish().map(drop).map_err(io::Error::other),
        }
    }
}
