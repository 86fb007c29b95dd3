use super::byteorder::Order;
use super::options::{self, code, Options, Place};

/// The unit of an interface's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// 10^-n seconds.
    Decimal(u8),
    /// 2^-n seconds.
    Binary(u8),
}

impl Resolution {
    /// As the option `if_tsresol` has it.
    pub const fn of_option(value: u8) -> Self {
        if value & 0x80 == 0 {
            Self::Decimal(value)
        } else {
            Self::Binary(value & 0x7f)
        }
    }

    /// Nanoseconds in `units`, rounded down; what does not fit becomes the largest number there is.
    #[inline]
    pub fn nanoseconds(self, units: u64) -> u64 {
        match self {
            Self::Decimal(9) => units,
            Self::Decimal(6) => units.saturating_mul(1000),
            Self::Decimal(digits @ 0..=8) => {
                units.saturating_mul(10_u64.pow(9 - u32::from(digits)))
            }
            Self::Decimal(digits) => 10_u64
                .checked_pow(u32::from(digits) - 9)
                .map_or(0, |unit| units / unit),
            Self::Binary(bits @ 0..=64) => {
                u64::try_from((u128::from(units) * 1_000_000_000) >> bits).unwrap_or(u64::MAX)
            }
            Self::Binary(_) => 0,
        }
    }

    /// How many digits of a second it has, at most 9.
    pub const fn digits(self) -> u8 {
        match self {
            Self::Decimal(digits) if digits < 9 => digits,
            _ => 9,
        }
    }
}

/// What packets were captured at, as the file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Link type.
    pub link: u16,
    /// Snap length; 0 means no limit.
    pub snaplen: u32,
    /// Name, "" when it has none.
    pub name: String,
    /// Description.
    pub description: String,
    /// Capture filter, when it is an expression.
    pub filter: String,
    /// Unit of its times.
    pub resolution: Resolution,
    /// Seconds to add to its times.
    pub offset: i64,
    /// Bytes of frame check sequence at the end of each packet.
    pub fcs: u8,
    /// Which section of the file describes it, from 0.
    pub section: u32,
    /// All its options but those of time, in this machine's byte order; empty for pcap.
    pub options: Vec<u8>,
}

impl Interface {
    /// One without options, as a pcap file has it.
    pub fn plain(link: u16, snaplen: u32, nano: bool, fcs: u8) -> Self {
        Self {
            link,
            snaplen,
            name: String::new(),
            description: String::new(),
            filter: String::new(),
            resolution: Resolution::Decimal(if nano { 9 } else { 6 }),
            offset: 0,
            fcs,
            section: 0,
            options: Vec::new(),
        }
    }

    /// The one an Interface Description Block describes.
    pub(super) fn described(
        link: u16,
        snaplen: u32,
        section: u32,
        bytes: &[u8],
        order: Order,
    ) -> Self {
        let mut made = Self {
            section,
            ..Self::plain(link, snaplen, false, 0)
        };
        for (code, value) in Options::new(bytes, order) {
            made.option(code, value, order);
        }
        let mut all = Vec::new();
        options::put_native(&mut all, Place::Interface, bytes, order);
        for (code, value) in options::each(&all) {
            if code != code::IF_TSRESOL && code != code::IF_TSOFFSET {
                options::put(&mut made.options, code, value);
            }
        }
        made
    }

    fn option(&mut self, code: u16, value: &[u8], order: Order) {
        match (code, value) {
            (code::IF_NAME, _) => self.name = text(value),
            (code::IF_DESCRIPTION, _) => self.description = text(value),
            (code::IF_FILTER, [0, expression @ ..]) => self.filter = text(expression),
            (code::IF_TSRESOL, [resolution]) => {
                self.resolution = Resolution::of_option(*resolution);
            }
            (code::IF_FCSLEN, [length]) => self.fcs = bytes_of_fcs(*length),
            (code::IF_TSOFFSET, _) => {
                if let Some(seconds) = value.first_chunk::<8>() {
                    self.offset = i64::from_ne_bytes(order.u64(*seconds).to_ne_bytes());
                }
            }
            _ => {}
        }
    }

    /// Nanoseconds since the epoch of a time in this interface's units; never before the epoch.
    #[inline]
    pub fn time(&self, units: u64) -> u64 {
        let time = self.resolution.nanoseconds(units);
        if self.offset == 0 {
            return time;
        }
        let moved = i128::from(time) + i128::from(self.offset) * 1_000_000_000;
        u64::try_from(moved.max(0)).unwrap_or(u64::MAX)
    }
}

/// The draft says bits, and some writers bytes.
const fn bytes_of_fcs(length: u8) -> u8 {
    if length < 16 {
        length
    } else {
        length / 8
    }
}

/// What a section header says of who captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Hardware.
    pub hardware: String,
    /// Operating system.
    pub os: String,
    /// The program that captured.
    pub application: String,
    /// Comments, one a line.
    pub comment: String,
}

impl Section {
    pub(super) fn described(bytes: &[u8], order: Order) -> Self {
        let mut made = Self::default();
        for (code, value) in Options::new(bytes, order) {
            match code {
                code::SHB_HARDWARE => made.hardware = text(value),
                code::SHB_OS => made.os = text(value),
                code::SHB_USERAPPL => made.application = text(value),
                code::COMMENT if made.comment.is_empty() => made.comment = text(value),
                code::COMMENT => made.comment = format!("{}\n{}", made.comment, text(value)),
                _ => {}
            }
        }
        made
    }
}

/// Text of a file: UTF-8 it should be; what is not becomes a replacement character.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_end_matches('\0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution() {
        assert_eq!(
            Resolution::of_option(6).nanoseconds(1_000_001),
            1_000_001_000
        );
        assert_eq!(Resolution::of_option(9).nanoseconds(7), 7);
        assert_eq!(Resolution::of_option(0).nanoseconds(3), 3_000_000_000);
        assert_eq!(Resolution::of_option(12).nanoseconds(1999), 1);
        assert_eq!(
            Resolution::of_option(0x94).nanoseconds(1 << 19),
            500_000_000
        );
        for strange in 0..=255 {
            Resolution::of_option(strange).nanoseconds(u64::MAX);
        }
    }

    #[test]
    fn times_before_the_epoch_are_the_epoch() {
        let mut interface = Interface::plain(1, 0, true, 0);
        interface.offset = -5;
        assert_eq!(
            (interface.time(7_000_000_000), interface.time(1)),
            (2_000_000_000, 0)
        );
        interface.offset = i64::MAX;
        assert_eq!(interface.time(1), u64::MAX);
    }
}
