//! pcapng options (section 3.5 of the draft): walked in either byte order, and put into ours.

use super::byteorder::Order;

/// Option codes.
#[allow(missing_docs)] // the names are the draft's
pub mod code {
    pub const END: u16 = 0;
    pub const COMMENT: u16 = 1;
    pub const CUSTOM_TEXT: u16 = 2988;
    pub const CUSTOM_BYTES: u16 = 2989;
    pub const CUSTOM_TEXT_NO_COPY: u16 = 19372;
    pub const CUSTOM_BYTES_NO_COPY: u16 = 19373;
    pub const SHB_HARDWARE: u16 = 2;
    pub const SHB_OS: u16 = 3;
    pub const SHB_USERAPPL: u16 = 4;
    pub const IF_NAME: u16 = 2;
    pub const IF_DESCRIPTION: u16 = 3;
    pub const IF_SPEED: u16 = 8;
    pub const IF_TSRESOL: u16 = 9;
    pub const IF_TZONE: u16 = 10;
    pub const IF_FILTER: u16 = 11;
    pub const IF_FCSLEN: u16 = 13;
    pub const IF_TSOFFSET: u16 = 14;
    pub const EPB_FLAGS: u16 = 2;
    pub const EPB_HASH: u16 = 3;
    pub const EPB_DROPCOUNT: u16 = 4;
    pub const EPB_PACKETID: u16 = 5;
    pub const EPB_QUEUE: u16 = 6;
    pub const EPB_VERDICT: u16 = 7;
    pub const EPB_PROCESS: u16 = 8;
    pub const ISB_STARTTIME: u16 = 2;
    pub const ISB_ENDTIME: u16 = 3;
    pub const ISB_IFRECV: u16 = 4;
    pub const ISB_IFDROP: u16 = 5;
    pub const ISB_FILTERACCEPT: u16 = 6;
    pub const ISB_OSDROP: u16 = 7;
    pub const ISB_USRDELIV: u16 = 8;
}

/// The options of one block: (code, value) until the end; what is cut short ends it too.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Options<'a> {
    /// Options that stand in `bytes`.
    pub const fn new(bytes: &'a [u8], order: Order) -> Self {
        Self { bytes, order }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, d], rest) = self.bytes.split_first_chunk::<4>()?;
        let (code, length) = (self.order.u16([a, b]), usize::from(self.order.u16([c, d])));
        if code == code::END {
            self.bytes = &[];
            return None;
        }
        let value = rest.get(..length)?;
        self.bytes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    }
}

/// The options of `bytes`, which are in this machine's order.
pub fn each(bytes: &[u8]) -> Options<'_> {
    Options::new(bytes, Order::NATIVE)
}

/// How many bytes of options, without the mark of their end, can be copied as they are; None when one must not be.
pub fn length_to_copy(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (code, value) in each(bytes) {
        if !may_copy(code) {
            return None;
        }
        length += 4 + value.len().next_multiple_of(4);
    }
    (length <= bytes.len()).then_some(length)
}

/// Append one option in this machine's byte order.
pub fn put(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len()) else {
        return;
    };
    out.extend_from_slice(&code.to_ne_bytes());
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Which block an option stands in: codes mean something else in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Interface description.
    Interface,
    /// Packet.
    Packet,
    /// Any other.
    Other,
}

/// Whether a program that writes a changed file may take the option over.
pub const fn may_copy(code: u16) -> bool {
    code != code::CUSTOM_TEXT_NO_COPY && code != code::CUSTOM_BYTES_NO_COPY
}

/// Append the options that may be copied, turned from `order` into this machine's.
pub fn put_native(out: &mut Vec<u8>, place: Place, bytes: &[u8], order: Order) {
    for (code, value) in Options::new(bytes, order).filter(|(code, _)| may_copy(*code)) {
        if order == Order::NATIVE {
            put(out, code, value);
        } else {
            put(out, code, &turned(place, code, value));
        }
    }
}

/// A value in the other byte order; text, addresses and bytes have none.
fn turned(place: Place, code: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    let number = match (place, code) {
        (_, code::CUSTOM_TEXT | code::CUSTOM_BYTES) => value.get_mut(..4),
        (Place::Interface, code::IF_SPEED | code::IF_TZONE | code::IF_TSOFFSET | 16 | 17) => {
            value.get_mut(..)
        }
        (
            Place::Packet,
            code::EPB_FLAGS | code::EPB_DROPCOUNT | code::EPB_PACKETID | code::EPB_QUEUE,
        ) => value.get_mut(..),
        (Place::Packet, code::EPB_VERDICT)
            if value.first().is_some_and(|kind| matches!(kind, 1 | 2)) =>
        {
            value.get_mut(1..9)
        }
        (Place::Packet, code::EPB_PROCESS) => {
            if let Some(second) = value.get_mut(4..8) {
                second.reverse();
            }
            value.get_mut(..4)
        }
        _ => None,
    };
    if let Some(number) = number {
        number.reverse();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_endian_options_become_ours() {
        let big = [
            0, 1, 0, 3, b'h', b'e', b'y', 0, // comment
            0, 2, 0, 4, 0, 0, 0, 5, // flags
            0x4b, 0xac, 0, 4, 1, 2, 3, 4, // custom, not to be copied
            0x0b, 0xac, 0, 6, 0, 0, 0, 9, b'x', b'y', 0, 0, // custom
            0, 0, 0, 0, 0, 9, 0, 9,
        ];
        let mut out = Vec::new();
        put_native(&mut out, Place::Packet, &big, Order::Big);
        let found: Vec<_> = each(&out).collect();
        let five = 5_u32.to_ne_bytes();
        let nine = [&9_u32.to_ne_bytes()[..], b"xy"].concat();
        assert_eq!(found, [(1, &b"hey"[..]), (2, &five[..]), (2988, &nine[..])]);
    }

    #[test]
    fn options_that_are_cut_short_end() {
        assert_eq!(
            Options::new(&[1, 0, 9, 0, 1, 2, 3], Order::Little).count(),
            0
        );
        assert_eq!(Options::new(&[1, 0, 3], Order::Little).count(), 0);
        assert_eq!(
            Options::new(&[1, 0, 3, 0, 1, 2, 3], Order::Little).count(),
            1
        );
    }
}
