use super::buffer::Stretch;

/// What lies where `Reader::advance` went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet.
    Packet,
    /// Anything else.
    Other,
    /// Nothing: the end.
    End,
}

/// A packet that was found: what its header says, and where the rest of it is.
#[derive(Clone, Copy, Debug)]
pub struct Located {
    /// Index of the interface over all sections.
    pub interface: u32,
    /// Bytes on the wire.
    pub wire: u32,
    /// Nanoseconds since the epoch.
    pub time: Option<u64>,
    /// The data, for `Buffer::at`.
    pub data: Stretch,
    /// Its options.
    pub options: Body,
}

impl Located {
    /// None yet.
    pub const NONE: Self = Self {
        interface: 0,
        wire: 0,
        time: None,
        data: (0, 0),
        options: Body::There((0, 0)),
    };
}

/// Where bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// In the file as they should be.
    There(Stretch),
    /// In `Pcapng::turned`.
    Turned,
}
