//! Where bytes come from: a file or standard input, decompressed on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use lz4_flex::frame::FrameDecoder;

use super::format::Compression;
use super::watch::{Watch, Watched};

/// A stream of uncompressed bytes.
pub struct Source {
    /// The bytes.
    pub bytes: Box<dyn Read + Send>,
    /// How they were compressed.
    pub compression: Compression,
    /// Size of the file itself; None for a pipe.
    pub size: Option<u64>,
}

/// Memory that decompressing may ask for: the largest window zstd uses below `--ultra` is 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 25;
const CHUNK: usize = 128 << 10;

/// Open `path`, `-` being standard input.
pub fn open(path: &Path, watch: &Arc<Watch>) -> io::Result<Source> {
    if path.as_os_str() == "-" {
        return decompressed(Box::new(Watched::new(standard_input()?, watch)), None);
    }
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let size = about.is_file().then_some(about.len());
    decompressed(Box::new(Watched::new(file, watch)), size)
}

/// The descriptor itself: what a buffer in between holds cannot be waited for.
#[cfg(unix)]
fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(not(unix))]
fn standard_input() -> io::Result<io::Stdin> {
    Ok(io::stdin())
}

/// Decompress a stream when it begins like a compressed one.
pub fn decompressed(mut bytes: Box<dyn Read + Send>, size: Option<u64>) -> io::Result<Source> {
    let start = first(&mut *bytes)?;
    let compression = Compression::detect(&start);
    let whole = Cursor::new(start).chain(bytes);
    let bytes: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(
            BufReader::with_capacity(CHUNK, whole),
        )),
        Compression::Lz4 => Box::new(Lz4(FrameDecoder::new(BufReader::with_capacity(
            CHUNK, whole,
        )))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(Source {
        bytes,
        compression,
        size,
    })
}

/// The first four bytes, or all there are.
fn first(bytes: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(4);
    bytes.take(4).read_to_end(&mut start)?;
    Ok(start)
}

/// One LZ4 frame after another.
struct Lz4<R: Read>(FrameDecoder<BufReader<R>>);

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.0.read(into)?;
            if count > 0 || into.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::byteorder::Order;
    use super::super::craft::{data, read, read_stream, Craft};
    use super::*;
    use std::io::Write;

    fn file(packets: u32) -> Vec<u8> {
        let mut craft = Craft::new(Order::Little).pcap(0xa1b2_c3d4, (2, 4), 1);
        let mut state = 1_u32;
        for number in 0..packets {
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            craft = craft.record(number, 0, &[(); 400].map(|()| noise()));
        }
        craft.bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let blocks =
            lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(blocks, Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 1).unwrap()
    }

    #[test]
    fn every_compression_also_in_several_pieces() {
        let plain = file(2000);
        let (first, second) = plain.split_at(plain.len() / 3);
        for compress in [gzip, lz4, zstd] {
            let whole = compress(&plain);
            let pieces = [compress(first), compress(second)].concat();
            for bytes in [whole, pieces] {
                let (got, error) = read(&bytes);
                assert!(error.is_none(), "{error:?}");
                assert_eq!(data(&got).len(), 2000);
            }
        }
    }

    #[test]
    fn compressed_and_cut_it_gives_what_can_be_had() {
        let plain = file(2000);
        for compress in [gzip, lz4, zstd] {
            let whole = compress(&plain);
            let (got, error) = read(&whole[..whole.len() * 2 / 3]);
            assert!(!data(&got).is_empty());
            let text = error.unwrap().to_string();
            assert!(text.contains("of the uncompressed data"), "{text}");
        }
    }

    #[test]
    fn a_stream_that_comes_byte_by_byte() {
        struct Slow(Cursor<Vec<u8>>);
        impl Read for Slow {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0.read(&mut into[..1])
            }
        }
        let (got, error) = read_stream(Box::new(Slow(Cursor::new(gzip(&file(20))))));
        assert!(error.is_none());
        assert_eq!(data(&got).len(), 20);
    }

    #[test]
    fn what_is_no_capture_is_told_by_its_first_bytes() {
        assert_eq!(read(b"").1.unwrap().to_string(), "empty file");
        let text = read(b"PK\x03\x04zip").1.unwrap().to_string();
        assert_eq!(
            text,
            "neither pcap nor pcapng, plain or compressed (begins with 50 4b 03 04 7a 69 70)"
        );
        assert!(read(&gzip(b"hello"))
            .1
            .unwrap()
            .to_string()
            .contains("begins with 68 65 6c 6c 6f"));
    }
}
