use super::span::Span;
use crate::wire::cooked::link;

/// What a capture file can hold as a packet by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// An Ethernet frame.
    Ethernet,
    /// An IP packet without a link layer.
    Ip,
    /// The packet as it was captured, with this link type.
    Link(u16),
}

impl FrameKind {
    /// The kind of packets of a link type.
    #[inline]
    pub const fn of_link(number: u16) -> Self {
        match number {
            link::ETHERNET => Self::Ethernet,
            _ if link::is_raw(number) => Self::Ip,
            _ => Self::Link(number),
        }
    }

    /// The link type under which a file holds it.
    #[inline]
    pub const fn link(self) -> u16 {
        match self {
            Self::Ethernet => link::ETHERNET,
            Self::Ip => link::RAW,
            Self::Link(number) => number,
        }
    }
}

/// A packet that can stand by itself.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: FrameKind,
    /// Its bytes.
    pub span: Span<'a>,
}
