use std::fmt;
use std::io;

/// Why a file gives no more packets.
#[derive(Debug)]
pub enum ReadError {
    /// The system could not read it.
    Io(io::Error),
    /// It is no capture file of a kind we read; its first bytes are shown.
    Format {
        /// Up to eight first bytes.
        starts: Vec<u8>,
    },
    /// From `offset` on it makes no sense.
    Damaged {
        /// Byte in the file; in the uncompressed data when `compressed`.
        offset: u64,
        /// What is wrong there.
        what: Damage,
        /// The file is compressed, and `offset` counts uncompressed bytes.
        compressed: bool,
    },
}

/// What is wrong with a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The file ends within a block or record.
    CutShort {
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        had: u64,
    },
    /// A length that cannot be: too small for what it is the length of, or absurdly large.
    Length {
        /// Of what.
        of: &'static str,
        /// What the file says.
        says: u64,
        /// The most (or, when smaller, the least) that makes sense.
        bound: u64,
    },
    /// The two lengths of a pcapng block differ.
    Lengths(u32, u32),
    /// A packet of an interface that was never described.
    NoInterface(u32),
    /// More interfaces than anybody has.
    TooManyInterfaces,
    /// A version of the format that nobody has defined: major and minor.
    Version(u16, u16),
    /// A section header without its byte-order magic.
    ByteOrder(u32),
    /// The compressed data cannot be decompressed.
    Compression(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort { needed, had } => {
                write!(f, "cut short: {needed} bytes needed, {had} there")
            }
            Self::Length { of, says, bound } if says > bound => {
                write!(f, "{of} of {says} bytes, at most {bound} make sense")
            }
            Self::Length { of, says, bound } => {
                write!(f, "{of} of {says} bytes, at least {bound} make sense")
            }
            Self::Lengths(first, last) => {
                write!(f, "block begins with length {first} and ends with {last}")
            }
            Self::NoInterface(id) => write!(f, "packet of interface {id}, which is not described"),
            Self::TooManyInterfaces => write!(f, "more interfaces than anybody has"),
            Self::Version(major, minor) => {
                write!(f, "version {major}.{minor} of the format is not known")
            }
            Self::ByteOrder(found) => {
                write!(f, "section header with byte-order magic {found:#010x}")
            }
            Self::Compression(what) => write!(f, "cannot be decompressed: {what}"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Format { starts } if starts.is_empty() => write!(f, "empty file"),
            Self::Format { starts } => {
                write!(
                    f,
                    "neither pcap nor pcapng, plain or compressed (begins with"
                )?;
                starts
                    .iter()
                    .try_for_each(|byte| write!(f, " {byte:02x}"))?;
                write!(f, ")")
            }
            Self::Damaged {
                offset,
                what,
                compressed,
            } => {
                let of = if *compressed {
                    " of the uncompressed data"
                } else {
                    ""
                };
                write!(f, "damaged at byte {offset}{of}: {what}")
            }
        }
    }
}

impl std::error::Error for ReadError {}
