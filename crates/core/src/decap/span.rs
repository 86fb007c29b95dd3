use super::frame::{Frame, FrameKind};
use super::Inside;
use crate::wire::{ethernet, Fault};

/// So many bytes of an IP packet must be there for it to be one.
const LEAST_IP: usize = 20;

/// A stretch of a packet: the bytes that were captured of it, where it begins, and how long it was on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    bytes: &'a [u8],
    /// Where it begins, and 32 bits higher its length on the wire.  One number, since a processor that is to load two
    /// at once which were stored one by one has to wait for them, and a span goes from hand to hand.
    place: u64,
}

const fn place(at: u32, wire: u32) -> u64 {
    (wire as u64) << 32 | at as u64
}

impl<'a> Span<'a> {
    /// A whole packet, of which `wire` bytes were on the wire.
    #[inline]
    pub fn new(bytes: &'a [u8], wire: usize) -> Self {
        let wire = wire.max(bytes.len()).min(u32::MAX as usize) as u32;
        Self {
            bytes,
            place: place(0, wire),
        }
    }

    /// The captured bytes.
    #[inline]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where it begins in the packet.
    #[inline]
    pub const fn at(&self) -> usize {
        self.place as u32 as usize
    }

    /// Its length on the wire; not less than what was captured.
    #[inline]
    pub const fn wire(&self) -> usize {
        (self.place >> 32) as usize
    }

    /// What comes after the first `count` bytes.
    #[inline]
    pub fn skip(self, count: usize) -> Result<Self, Fault> {
        match self.bytes.get(count..) {
            Some(bytes) => Ok(Self {
                bytes,
                place: self.place + count as u64 - ((count as u64) << 32),
            }),
            None => Err(Fault::Short {
                needed: count,
                had: self.bytes.len(),
            }),
        }
    }

    /// Without what is beyond `total` bytes: padding and trailers of what is around it.
    #[inline]
    #[must_use]
    pub fn limit(self, total: usize) -> Self {
        let bytes = self.bytes.get(..total).unwrap_or(self.bytes);
        let wire = self.wire().min(total);
        Self {
            bytes,
            place: place(self.place as u32, wire as u32),
        }
    }

    /// The same as `limit`, for a length field that may be absent.
    #[inline]
    #[must_use]
    pub fn limit_to(self, total: Option<usize>) -> Self {
        match total {
            Some(total) => self.limit(total),
            None => self,
        }
    }

    /// As `limit`, where the rest of it came in other packets: the length on the wire is then that of the whole.
    #[inline]
    #[must_use]
    pub fn limit_whole(self, total: Option<usize>) -> Self {
        match total {
            Some(total) => Self {
                place: place(self.place as u32, total as u32), // of 16 bits
                ..self.limit(total)
            },
            None => self,
        }
    }

    /// It is an Ethernet frame.
    #[inline]
    pub fn ethernet(self) -> Inside<'a> {
        if self.bytes.len() < ethernet::LEN {
            return Err(Fault::Short {
                needed: ethernet::LEN,
                had: self.bytes.len(),
            });
        }
        Ok(Frame {
            kind: FrameKind::Ethernet,
            span: self,
        })
    }

    /// It is an IP packet of either version, which ends where its own header says; the live filter asks for as much.
    #[inline]
    pub fn ip(self) -> Inside<'a> {
        if self.bytes.len() < LEAST_IP {
            return Err(Fault::Short {
                needed: LEAST_IP,
                had: self.bytes.len(),
            });
        }
        match self.bytes.first().map_or(0, |first| first >> 4) {
            4 => Ok(self.raw(self.length_at(2, 0, 20))),
            6 => Ok(self.raw(self.length_at(4, 40, 40))),
            version => Err(Fault::Version(version)),
        }
    }

    fn raw(self, total: Option<usize>) -> Frame<'a> {
        Frame {
            kind: FrameKind::Ip,
            span: self.limit_to(total),
        }
    }

    /// A length field at `offset`, plus `more`; None when it cannot be (0 is what offload leaves).
    #[inline]
    fn length_at(&self, offset: usize, more: usize, least: usize) -> Option<usize> {
        let field = self.bytes.get(offset..)?.first_chunk::<2>()?;
        match usize::from(u16::from_be_bytes(*field)) {
            0 => None,
            length if length + more < least => None,
            length => Some(length + more),
        }
    }
}
