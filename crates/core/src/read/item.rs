use super::interface::Section;

/// One thing a capture file holds.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// A section begins.
    Section(&'a Section),
    /// An interface is described; its index in `Reader::interfaces`.
    Interface(u32),
    /// Statistics of an interface.
    Statistics(Statistics<'a>),
    /// Something else.
    Block(Block<'a>),
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Index of the interface, over all sections of the file.
    pub interface: u32,
    /// Nanoseconds since the epoch; None for a Simple Packet Block.
    pub time: Option<u64>,
    /// Bytes on the wire.
    pub wire: u32,
    /// Bytes kept.
    pub data: &'a [u8],
    /// Options in this machine's byte order; only those that may be copied.
    pub options: &'a [u8],
}

/// An Interface Statistics Block; times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics<'a> {
    /// Index of the interface.
    pub interface: u32,
    /// When they were taken.
    pub time: u64,
    /// When the capture began.
    pub start: Option<u64>,
    /// When it ended.
    pub end: Option<u64>,
    /// Packets the device counted.
    pub received: Option<u64>,
    /// Lost by the device.
    pub dropped: Option<u64>,
    /// Accepted by the filter.
    pub accepted: Option<u64>,
    /// Lost by the operating system.
    pub os_dropped: Option<u64>,
    /// Delivered to the program.
    pub delivered: Option<u64>,
    /// A comment (tapwright's ledger, when it made the file); UTF-8 unless a stranger wrote it.
    pub comment: &'a [u8],
}

/// Which other block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockKind {
    /// Names of addresses.
    Names,
    /// Keys to decrypt packets with.
    Secrets,
    /// An entry of systemd's journal.
    Journal,
    /// Somebody's own, which may be copied.
    Custom,
    /// Somebody's own, which a program that changes the file must not copy; or of the other byte order.
    CustomFixed,
    /// Of a type we do not know.
    Unknown(u32),
}

impl BlockKind {
    /// The type number it has in a file.
    pub const fn number(self) -> u32 {
        match self {
            Self::Names => 4,
            Self::Journal => 9,
            Self::Secrets => 10,
            Self::Custom => 0x0bad,
            Self::CustomFixed => 0x4000_0bad,
            Self::Unknown(number) => number,
        }
    }

    /// Whether it says the same in another file.
    pub const fn may_copy(self) -> bool {
        !matches!(self, Self::CustomFixed | Self::Unknown(_))
    }
}

/// Another block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Which.
    pub kind: BlockKind,
    /// What is between its two lengths; in this machine's byte order when it `may_copy`.
    pub body: &'a [u8],
}
