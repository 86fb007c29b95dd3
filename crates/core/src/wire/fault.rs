use std::fmt;

/// Why a header could not be read, or leads to nothing we can read; with the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fewer bytes than the header needs.
    Short {
        /// Bytes needed, counted from the header's start.
        needed: usize,
        /// Bytes there were.
        had: usize,
    },
    /// A length field that contradicts itself or the header it is in.
    Length {
        /// What the field says, in bytes.
        says: usize,
        /// The least that would make sense.
        least: usize,
    },
    /// A version that the format does not have.
    Version(u8),
    /// A flag that must be set is not, or one that nobody can follow is.
    Flags(u32),
    /// It carries a protocol that is neither a frame nor leads to one.
    Protocol(u32),
    /// Not the first fragment of a datagram; the offset is in bytes.
    Fragment(u32),
    /// What follows is encrypted.
    Encrypted,
    /// More headers of one sort than anything real has.
    TooMany(usize),
    /// The depth limit: it is wrapped more often than we were told to look.
    Depth(usize),
}

impl Fault {
    /// How many different faults there are.
    pub const KINDS: usize = 9;

    /// A small number for counting: the same for all faults of one sort.
    pub const fn index(self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Length { .. } => 1,
            Self::Version(_) => 2,
            Self::Flags(_) => 3,
            Self::Protocol(_) => 4,
            Self::Fragment(_) => 5,
            Self::Encrypted => 6,
            Self::TooMany(_) => 7,
            Self::Depth(_) => 8,
        }
    }

    /// One word for tables and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short { .. } => "short",
            Self::Length { .. } => "length",
            Self::Version(_) => "version",
            Self::Flags(_) => "flags",
            Self::Protocol(_) => "protocol",
            Self::Fragment(_) => "fragment",
            Self::Encrypted => "encrypted",
            Self::TooMany(_) => "too-many",
            Self::Depth(_) => "depth",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { needed, had } => write!(f, "needs {needed} bytes, has {had}"),
            Self::Length { says, least } => {
                write!(f, "length field says {says}, less than {least}")
            }
            Self::Version(version) => write!(f, "version {version} is not known"),
            Self::Flags(flags) => write!(f, "flags {flags:#x} cannot be followed"),
            Self::Protocol(protocol) => {
                write!(f, "carries protocol {protocol:#06x}, which is no frame")
            }
            Self::Fragment(offset) => write!(f, "fragment at offset {offset} of a datagram"),
            Self::Encrypted => write!(f, "encrypted"),
            Self::TooMany(count) => write!(f, "more than {count} headers of one sort"),
            Self::Depth(limit) => write!(f, "wrapped more than {limit} times"),
        }
    }
}
