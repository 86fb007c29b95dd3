use super::byteorder::Order;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Compression {
    /// By the first bytes of a file.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => Self::None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }
}

/// The layout of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Blocks; the byte order is told by each section.
    Pcapng,
    /// Records.
    Pcap {
        /// Of all numbers in it.
        order: Order,
        /// The fraction of a second is in nanoseconds, not microseconds.
        nano: bool,
        /// Records have the eight more bytes of Kuznetzov's tcpdump.
        extended: bool,
    },
}

impl Format {
    /// By the first four bytes of a file.
    pub fn detect(magic: [u8; 4]) -> Option<Self> {
        if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            return Some(Self::Pcapng);
        }
        [Order::Little, Order::Big].into_iter().find_map(|order| {
            let (nano, extended) = match order.u32(magic) {
                0xa1b2_c3d4 => (false, false),
                0xa1b2_3c4d => (true, false),
                0xa1b2_cd34 => (false, true),
                _ => return None,
            };
            Some(Self::Pcap {
                order,
                nano,
                extended,
            })
        })
    }

    /// Its name, with byte order and resolution where they are not the usual ones.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcapng => "pcapng",
            Self::Pcap { extended: true, .. } => "pcap (extended)",
            Self::Pcap { nano: false, .. } => "pcap",
            Self::Pcap { nano: true, .. } => "pcap (nanoseconds)",
        }
    }
}
