//! pcapng blocks (draft-ietf-opsawg-pcapng), of both byte orders, any number of sections.

use super::buffer::{Buffer, Stretch};
use super::byteorder::{Fields, Order};
use super::error::{Damage, ReadError};
use super::interface::{Interface, Section};
use super::item::{BlockKind, Statistics};
use super::located::{Body, Located, Step};
use super::options::{self, code, Options, Place};
use super::LARGEST_BLOCK;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const MAGIC: u32 = 0x1a2b_3c4d;
const HEAD: usize = 8;
const TAIL: usize = 4;
const MOST_INTERFACES: usize = 1 << 16;

/// What a block that is no packet turned out to be; stretches are for `Buffer::at`.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// A section begins.
    Section,
    /// The interface described last.
    Interface,
    /// Statistics, and where the comment is.
    Statistics(Statistics<'static>, Stretch),
    /// Another block: its body lies in the file, or, turned into our byte order, in `Pcapng::turned`.
    Block(BlockKind, Body),
}

/// The state of reading one file.
pub struct Pcapng {
    order: Order,
    sections: u32,
    /// Index of the section's first interface.
    base: usize,
    interfaces: Vec<Interface>,
    /// The section that began last.
    pub section: Section,
    /// Bytes that had to be turned into our byte order.
    pub turned: Vec<u8>,
    /// The last block that was no packet.
    pub found: Found,
}

impl Pcapng {
    /// Before the first section header.
    pub fn new() -> Self {
        Self {
            order: Order::NATIVE,
            sections: 0,
            base: 0,
            interfaces: Vec::new(),
            section: Section::default(),
            turned: Vec::new(),
            found: Found::Section,
        }
    }

    /// All interfaces so far.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Sections begun so far.
    pub const fn sections(&self) -> u32 {
        self.sections
    }

    /// The next block; None at the end of the file.
    #[inline]
    pub fn next(&mut self, buffer: &mut Buffer, packet: &mut Located) -> Result<Step, ReadError> {
        let Some(h) = buffer.peek_array::<HEAD>() else {
            return end(buffer);
        };
        let kind = [h[0], h[1], h[2], h[3]];
        if self.order.u32(kind) == SECTION_HEADER {
            self.turn(buffer)?;
        }
        let (kind, length) = (
            self.order.u32(kind),
            self.order.u32([h[4], h[5], h[6], h[7]]),
        );
        let whole = checked(length).map_err(|what| buffer.damaged(0, what))?;
        let Some(block) = buffer.peek(whole) else {
            return Err(buffer.cut_short(whole as u64));
        };
        let last = block
            .last_chunk::<TAIL>()
            .map_or(0, |tail| self.order.u32(*tail));
        if last != length {
            return Err(buffer.damaged(0, Damage::Lengths(length, last)));
        }
        let (begin, end) = buffer.pass(whole);
        let body = (begin + HEAD, end - TAIL);
        self.block(kind, buffer.at(body), body.0, packet)
            .map_err(|what| buffer.damaged(whole, what))
    }

    /// Whether the whole next block is among these bytes (a section header is taken to be).
    pub fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.first_chunk::<HEAD>().is_some_and(|h| {
            let length = self.order.u32([h[4], h[5], h[6], h[7]]) as usize;
            bytes.len() >= length || self.order.u32([h[0], h[1], h[2], h[3]]) == SECTION_HEADER
        })
    }

    /// A section header is read in its own byte order.
    #[cold]
    fn turn(&mut self, buffer: &mut Buffer) -> Result<(), ReadError> {
        let Some(&[.., a, b, c, d]) = buffer.peek(12).and_then(|head| head.first_chunk::<12>())
        else {
            return Err(buffer.cut_short(12));
        };
        self.order = match u32::from_le_bytes([a, b, c, d]) {
            MAGIC => Order::Little,
            other if other.swap_bytes() == MAGIC => Order::Big,
            other => return Err(buffer.damaged(0, Damage::ByteOrder(other))),
        };
        Ok(())
    }

    #[inline]
    fn block(
        &mut self,
        kind: u32,
        body: &[u8],
        at: usize,
        packet: &mut Located,
    ) -> Result<Step, Damage> {
        match kind {
            6 => self.enhanced(body, at, packet),
            2 => self.obsolete(body, at, packet),
            3 => self.simple(body, at, packet),
            _ => self.no_packet(kind, body, at),
        }
    }

    #[cold]
    fn no_packet(&mut self, kind: u32, body: &[u8], at: usize) -> Result<Step, Damage> {
        self.found = match kind {
            SECTION_HEADER => self.begin(body)?,
            1 => self.describe(body)?,
            5 => self.statistics(body, at)?,
            _ => self.other(kind, body, at),
        };
        Ok(Step::Other)
    }

    #[cold]
    fn begin(&mut self, body: &[u8]) -> Result<Found, Damage> {
        let mut fields = Fields::new(body, self.order);
        let (_magic, major, minor, _length) =
            (fields.u32()?, fields.u16()?, fields.u16()?, fields.u64()?);
        if major != 1 {
            return Err(Damage::Version(major, minor));
        }
        self.section = Section::described(fields.rest(), self.order);
        self.sections += 1;
        self.base = self.interfaces.len();
        Ok(Found::Section)
    }

    #[cold]
    fn describe(&mut self, body: &[u8]) -> Result<Found, Damage> {
        let mut fields = Fields::new(body, self.order);
        let (link, _reserved, snaplen) = (fields.u16()?, fields.u16()?, fields.u32()?);
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(Damage::TooManyInterfaces);
        }
        let section = self.sections.saturating_sub(1);
        self.interfaces.push(Interface::described(
            link,
            snaplen,
            section,
            fields.rest(),
            self.order,
        ));
        Ok(Found::Interface)
    }

    #[inline]
    fn interface(&self, id: u32) -> Result<(u32, &Interface), Damage> {
        let index = self.base + id as usize;
        match self.interfaces.get(index) {
            Some(interface) => Ok((index as u32, interface)),
            None => Err(Damage::NoInterface(id)),
        }
    }

    #[inline]
    fn enhanced(&mut self, body: &[u8], at: usize, packet: &mut Located) -> Result<Step, Damage> {
        let mut fields = Fields::new(body, self.order);
        let (id, units, captured, wire) =
            (fields.u32()?, fields.time()?, fields.u32()?, fields.u32()?);
        let (index, interface) = self.interface(id)?;
        let time = Some(interface.time(units));
        let (data, options) = divide(&fields, captured, at)?;
        let rest = fields
            .rest()
            .get(captured.next_multiple_of(4) as usize..)
            .unwrap_or_default();
        *packet = Located {
            interface: index,
            time,
            wire,
            data,
            options: self.options_of(rest, options),
        };
        Ok(Step::Packet)
    }

    /// The obsolete Packet Block: the drop count is a field, not an option.
    #[cold]
    fn obsolete(&mut self, body: &[u8], at: usize, packet: &mut Located) -> Result<Step, Damage> {
        let mut fields = Fields::new(body, self.order);
        let (id, drops) = (fields.u16()?, fields.u16()?);
        let (units, captured, wire) = (fields.time()?, fields.u32()?, fields.u32()?);
        let (index, interface) = self.interface(id.into())?;
        let time = Some(interface.time(units));
        let (data, _) = divide(&fields, captured, at)?;
        let rest = fields
            .rest()
            .get(captured.next_multiple_of(4) as usize..)
            .unwrap_or_default();
        self.turned.clear();
        options::put_native(&mut self.turned, Place::Packet, rest, self.order);
        if drops != 0 && drops != u16::MAX {
            options::put(
                &mut self.turned,
                code::EPB_DROPCOUNT,
                &u64::from(drops).to_ne_bytes(),
            );
        }
        *packet = Located {
            interface: index,
            time,
            wire,
            data,
            options: Body::Turned,
        };
        Ok(Step::Packet)
    }

    /// A Simple Packet Block: of the section's first interface, cut to its snap length, at no known time.
    #[cold]
    fn simple(&mut self, body: &[u8], at: usize, packet: &mut Located) -> Result<Step, Damage> {
        let mut fields = Fields::new(body, self.order);
        let wire = fields.u32()?;
        let (index, interface) = self.interface(0)?;
        let limit = if interface.snaplen == 0 {
            u32::MAX
        } else {
            interface.snaplen
        };
        let captured = (fields.rest().len() as u32).min(wire).min(limit);
        let (data, _) = divide(&fields, captured, at)?;
        *packet = Located {
            interface: index,
            time: None,
            wire,
            data,
            options: Body::There((at, at)),
        };
        Ok(Step::Packet)
    }

    /// Options as they are, unless they are of the other byte order or hold what may not be copied.
    #[inline]
    fn options_of(&mut self, bytes: &[u8], there: Stretch) -> Body {
        if bytes.is_empty() {
            return Body::There(there);
        }
        if let (Order::NATIVE, Some(length)) = (self.order, options::length_to_copy(bytes)) {
            return Body::There((there.0, there.0 + length));
        }
        self.turned.clear();
        options::put_native(&mut self.turned, Place::Packet, bytes, self.order);
        Body::Turned
    }

    #[cold]
    fn statistics(&mut self, body: &[u8], at: usize) -> Result<Found, Damage> {
        let mut fields = Fields::new(body, self.order);
        let (id, units) = (fields.u32()?, fields.time()?);
        let (index, interface) = self.interface(id)?;
        let mut made = Statistics {
            interface: index,
            time: interface.time(units),
            ..Statistics::default()
        };
        let mut comment = (at, at);
        let (bytes, begin) = (fields.rest(), at + fields.position());
        for (code, value) in Options::new(bytes, self.order) {
            let number = value
                .first_chunk::<8>()
                .map(|number| self.order.u64(*number));
            let time = Fields::new(value, self.order)
                .time()
                .ok()
                .map(|units| interface.time(units));
            match code {
                code::ISB_STARTTIME => made.start = time,
                code::ISB_ENDTIME => made.end = time,
                code::ISB_IFRECV => made.received = number,
                code::ISB_IFDROP => made.dropped = number,
                code::ISB_FILTERACCEPT => made.accepted = number,
                code::ISB_OSDROP => made.os_dropped = number,
                code::ISB_USRDELIV => made.delivered = number,
                code::COMMENT => comment = stretch(bytes, value, begin),
                _ => {}
            }
        }
        Ok(Found::Statistics(made, comment))
    }

    #[cold]
    fn other(&mut self, kind: u32, body: &[u8], at: usize) -> Found {
        let native = self.order == Order::NATIVE;
        let kind = match kind {
            4 => BlockKind::Names,
            9 => BlockKind::Journal,
            10 => BlockKind::Secrets,
            0x0bad if native => BlockKind::Custom,
            0x0bad | 0x4000_0bad => BlockKind::CustomFixed,
            other => BlockKind::Unknown(other),
        };
        if native || !matches!(kind, BlockKind::Names | BlockKind::Secrets) {
            return Found::Block(kind, Body::There((at, at + body.len())));
        }
        self.turned.clear();
        match kind {
            BlockKind::Names => turn_names(&mut self.turned, body, self.order),
            _ => turn_secrets(&mut self.turned, body, self.order),
        }
        Found::Block(kind, Body::Turned)
    }
}

/// The length of a block with its padding, when it can be one.
#[inline]
fn checked(length: u32) -> Result<usize, Damage> {
    let whole = length as usize;
    if whole < HEAD + TAIL {
        return Err(Damage::Length {
            of: "block",
            says: length.into(),
            bound: (HEAD + TAIL) as u64,
        });
    }
    if whole > LARGEST_BLOCK {
        return Err(Damage::Length {
            of: "block",
            says: length.into(),
            bound: LARGEST_BLOCK as u64,
        });
    }
    Ok(whole)
}

/// Where a packet's data and its options are, in a block whose body begins at `at`.
#[inline]
fn divide(fields: &Fields<'_>, captured: u32, at: usize) -> Result<(Stretch, Stretch), Damage> {
    let (length, room) = (captured as usize, fields.rest().len());
    if length > room {
        return Err(Damage::Length {
            of: "packet",
            says: captured.into(),
            bound: room as u64,
        });
    }
    let begin = at + fields.position();
    let options = begin + length.next_multiple_of(4).min(room);
    Ok(((begin, begin + length), (options, begin + room)))
}

/// Where `part` is, which is part of `whole`, which begins at `begin`.
fn stretch(whole: &[u8], part: &[u8], begin: usize) -> Stretch {
    let offset = begin + (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    (offset, offset + part.len())
}

/// Records of names are laid out like options, and options follow them.
fn turn_names(out: &mut Vec<u8>, body: &[u8], order: Order) {
    let mut used = 0;
    for (kind, value) in Options::new(body, order) {
        options::put(out, kind, value);
        used += 4 + value.len().next_multiple_of(4);
    }
    out.extend_from_slice(&[0; 4]);
    let rest = body.get(used + 4..).unwrap_or_default();
    if !rest.is_empty() {
        options::put_native(out, Place::Other, rest, order);
        out.extend_from_slice(&[0; 4]);
    }
}

fn turn_secrets(out: &mut Vec<u8>, body: &[u8], order: Order) {
    let mut fields = Fields::new(body, order);
    let (Ok(kind), Ok(length)) = (fields.u32(), fields.u32()) else {
        return;
    };
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&length.to_ne_bytes());
    let rest = fields.rest();
    let split = (length as usize).next_multiple_of(4).min(rest.len());
    let (secrets, options) = rest.split_at_checked(split).unwrap_or_default();
    out.extend_from_slice(secrets);
    if !options.is_empty() {
        options::put_native(out, Place::Other, options, order);
        out.extend_from_slice(&[0; 4]);
    }
}

#[cold]
fn end(buffer: &mut Buffer) -> Result<Step, ReadError> {
    if buffer.left() > 0 {
        return Err(buffer.cut_short(HEAD as u64));
    }
    buffer.ended().map(|()| Step::End)
}

#[cfg(test)]
mod tests;
