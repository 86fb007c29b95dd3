use super::frame::{Frame, FrameKind};
use super::glance::Glance;
use super::kind::Kind;
use super::options::Options;
use super::span::Span;
use super::table::{self, Open, Ports};
use super::wrapping::Wrapping;
use super::{ip, Inside};
use crate::wire::erspan::Direction;
use crate::wire::ethernet::{ethertype, Ethernet};
use crate::wire::ip::Addresses;
use crate::wire::{cooked, Fault};

/// Where and why unwrapping stopped before it was through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The layer that stays as it is.
    pub layer: Kind,
    /// Where it begins in the packet.
    pub offset: usize,
    /// Why.
    pub fault: Fault,
    /// The capture kept too little of the packet; it was long enough on the wire.
    pub cut: bool,
}

/// The innermost frame of a packet and what was around it.
#[derive(Clone, Copy, Debug)]
pub struct Unwrapped<'w, 'a> {
    /// The innermost frame.
    pub frame: Frame<'a>,
    /// What was taken off, outermost first; empty when it was not wrapped.
    pub wrappings: &'w [Wrapping],
    /// What an ERSPAN header or GRE header said of this one packet.
    pub marks: &'w Marks,
    /// Set when something that looked like one more layer could not be taken off.
    pub stuck: Option<Stuck>,
}

/// What a mirror's header tells of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Which way it passed the mirrored port (ERSPAN type III).
    pub direction: Option<Direction>,
    /// The sender's clock and its granularity (ERSPAN type III).
    pub timestamp: Option<(u32, u8)>,
    /// The GRE sequence number nearest to the frame.
    pub sequence: Option<u32>,
    /// The whole GRE key nearest to the frame, of which NVGRE uses the upper 24 bits to tell networks apart.
    pub key: Option<u32>,
}

/// An unwrapper: options made into tables, and room for one packet's layers.
pub struct Decap {
    ports: Ports,
    walk: Walk,
}

impl Decap {
    /// Prepare for many packets.
    pub fn new(options: &Options) -> Self {
        let limit = options.depth.min(Options::MOST_DEPTH);
        Self {
            ports: Ports::new(options),
            walk: Walk::new(limit),
        }
    }

    /// Take everything off a packet of link type `link`, of which `wire` bytes were on the wire.
    #[inline]
    pub fn unwrap<'w, 'a>(
        &'w mut self,
        link: u16,
        bytes: &'a [u8],
        wire: u32,
    ) -> Unwrapped<'w, 'a> {
        let span = Span::new(bytes, wire as usize);
        let walk = &mut self.walk;
        walk.restart();
        let mut frame = Frame {
            kind: FrameKind::of_link(link),
            span,
        };
        let mut depth = 0;
        let stuck = loop {
            match walk.inside(frame, &self.ports) {
                Ok(Some(inner)) => frame = inner,
                Ok(None) => break None,
                Err(fault) => break Some(walk.stuck(fault)),
            }
            depth = walk.depth;
        };
        Unwrapped {
            frame,
            wrappings: walk.stack.get(..depth).unwrap_or_default(),
            marks: &walk.marks,
            stuck,
        }
    }
}

/// One packet being unwrapped: what was found so far.
pub(super) struct Walk {
    stack: [Wrapping; Options::MOST_DEPTH],
    depth: usize,
    limit: usize,
    /// Addresses of the innermost IP header walked so far, until the next frame begins.
    outer: Option<Addresses>,
    layer: Kind,
    offset: usize,
    wire: usize,
    pub(super) marks: Marks,
}

impl Walk {
    fn new(limit: usize) -> Self {
        let none = Wrapping {
            kind: Kind::Link,
            id: None,
            outer: None,
            index: None,
        };
        Self {
            stack: [none; Options::MOST_DEPTH],
            depth: 0,
            limit,
            outer: None,
            layer: Kind::Link,
            offset: 0,
            wire: 0,
            marks: Marks::default(),
        }
    }

    #[inline]
    fn restart(&mut self) {
        self.depth = 0;
        self.marks = Marks::default();
    }

    /// The frame inside `frame`; None when it carries no other.
    #[inline]
    fn inside<'a>(&mut self, frame: Frame<'a>, ports: &Ports) -> Result<Option<Frame<'a>>, Fault> {
        let span = frame.span;
        match frame.kind {
            FrameKind::Ethernet => match Glance::at(span.bytes()) {
                Glance::Tcp => Ok(None),
                Glance::Datagram(glance) => glance.inside(self, span, ports),
                Glance::Unclear => self.inside_ethernet(span, ports),
            },
            FrameKind::Ip => {
                self.outer = None;
                ip::payload(self, span, ports)
            }
            FrameKind::Link(link) => {
                self.outer = None;
                self.enter(Kind::Link, &span);
                match cooked::read(link, span.bytes()) {
                    None => Ok(None),
                    Some(header) => {
                        let header = header?;
                        self.payload(header.ethertype, span.skip(header.len)?, ports)
                    }
                }
            }
        }
    }

    fn inside_ethernet<'a>(
        &mut self,
        span: Span<'a>,
        ports: &Ports,
    ) -> Result<Option<Frame<'a>>, Fault> {
        self.outer = None;
        self.enter(Kind::Ethernet, &span);
        let header = Ethernet::read(span.bytes())?;
        self.payload(header.ethertype(), span.skip(header.header_len())?, ports)
    }

    #[inline]
    fn payload<'a>(
        &mut self,
        number: u16,
        span: Span<'a>,
        ports: &Ports,
    ) -> Result<Option<Frame<'a>>, Fault> {
        if number == ethertype::IPV4 || number == ethertype::IPV6 {
            return ip::payload(self, span, ports);
        }
        match table::of_ethertype(number) {
            Some(row) => self.open(row.kind, row.open, span).map(Some),
            None => Ok(None),
        }
    }

    /// What something that carries EtherTypes (GRE, Geneve, MPLS, PPP...) holds: it must be a frame or lead to one.
    #[inline]
    pub(super) fn carried<'a>(&mut self, number: u16, span: Span<'a>) -> Inside<'a> {
        match number {
            ethertype::BRIDGED => span.ethernet(),
            ethertype::IPV4 | ethertype::IPV6 => span.ip(),
            _ => match table::of_ethertype(number) {
                Some(row) => self.open(row.kind, row.open, span),
                None => Err(Fault::Protocol(number.into())),
            },
        }
    }

    /// Go into a layer of a table.
    #[inline]
    pub(super) fn open<'a>(&mut self, kind: Kind, open: Open, span: Span<'a>) -> Inside<'a> {
        self.enter(kind, &span);
        open(self, span)
    }

    /// From now on `kind`, which begins at `span`, is the layer that has the fault.
    #[inline]
    pub(super) fn enter(&mut self, kind: Kind, span: &Span<'_>) {
        (self.layer, self.offset, self.wire) = (kind, span.at(), span.wire());
    }

    /// The layer entered last is of `kind` and has this identity: taken off, if the depth limit allows.
    #[inline]
    pub(super) fn wrap(&mut self, kind: Kind, id: Option<u32>) -> Result<(), Fault> {
        self.wrap_indexed(kind, id, None)
    }

    /// As `wrap`, with the index of the mirrored port.
    #[inline]
    pub(super) fn wrap_indexed(
        &mut self,
        kind: Kind,
        id: Option<u32>,
        index: Option<u32>,
    ) -> Result<(), Fault> {
        self.layer = kind;
        if self.depth >= self.limit {
            return Err(Fault::Depth(self.limit));
        }
        let Some(slot) = self.stack.get_mut(self.depth) else {
            return Err(Fault::Depth(self.depth));
        };
        *slot = Wrapping {
            kind,
            id,
            outer: self.outer,
            index,
        };
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn carried_by(&mut self, outer: Addresses) {
        self.outer = Some(outer);
    }

    fn stuck(&self, fault: Fault) -> Stuck {
        let cut = matches!(fault, Fault::Short { needed, .. } if needed <= self.wire);
        Stuck {
            layer: self.layer,
            offset: self.offset,
            fault,
            cut,
        }
    }
}
