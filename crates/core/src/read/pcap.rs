//! Classic pcap records (draft-ietf-opsawg-pcap), in all the variants libpcap reads.

use super::buffer::Buffer;
use super::byteorder::{Fields, Order};
use super::error::{Damage, ReadError};
use super::interface::Interface;
use super::located::{Located, Step};
use super::LARGEST_BLOCK;

const FILE_HEADER: usize = 24;
const FCS_PRESENT: u32 = 0x0400_0000;
/// Records may be this long whatever the header says: offload makes large packets.
const USUAL_MOST: u32 = 262_144;

/// How to read records of one file.
pub struct Pcap {
    order: Order,
    header: usize,
    unit: u64,
    /// Files older than version 2.3 have the two lengths the other way round; in 2.3 it varies.
    swapped: Swapped,
    most: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Swapped {
    No,
    Yes,
    WhenLonger,
}

impl Pcap {
    /// Read the file header, magic included.
    pub fn open(
        buffer: &mut Buffer,
        order: Order,
        nano: bool,
        extended: bool,
    ) -> Result<(Self, Interface), ReadError> {
        let Some(bytes) = buffer.peek_array::<FILE_HEADER>() else {
            return Err(buffer.cut_short(FILE_HEADER as u64));
        };
        let header = Header::read(&bytes, order).map_err(|what| buffer.damaged(0, what))?;
        let swapped = match header.version {
            (2, 0..=2) | (543, 0) => Swapped::Yes,
            (2, 3) => Swapped::WhenLonger,
            (2, _) => Swapped::No,
            (major, minor) => return Err(buffer.damaged(0, Damage::Version(major, minor))),
        };
        buffer.pass(FILE_HEADER);
        let made = Self {
            order,
            header: if extended { 24 } else { 16 },
            unit: if nano { 1 } else { 1000 },
            swapped,
            most: header.snaplen.clamp(USUAL_MOST, LARGEST_BLOCK as u32),
        };
        Ok((
            made,
            Interface::plain(header.link as u16, header.snaplen, nano, header.fcs()),
        ))
    }

    /// The next record; None at the end of the file.
    #[inline]
    pub fn next(&self, buffer: &mut Buffer, packet: &mut Located) -> Result<Step, ReadError> {
        let Some(h) = buffer.peek_array::<16>() else {
            return self.end(buffer);
        };
        let order = self.order;
        let seconds = order.u32([h[0], h[1], h[2], h[3]]);
        let fraction = order.u32([h[4], h[5], h[6], h[7]]);
        let first = order.u32([h[8], h[9], h[10], h[11]]);
        let (captured, wire) = self.lengths(first, order.u32([h[12], h[13], h[14], h[15]]));
        if captured > self.most {
            let what = Damage::Length {
                of: "record",
                says: captured.into(),
                bound: self.most.into(),
            };
            return Err(buffer.damaged(0, what));
        }
        let whole = self.header + captured as usize;
        if buffer.peek(whole).is_none() {
            return Err(buffer.cut_short(whole as u64));
        }
        let (begin, end) = buffer.pass(whole);
        packet.time = Some(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit);
        packet.wire = wire;
        packet.data = (begin + self.header, end);
        Ok(Step::Packet)
    }

    /// Whether the whole next record is among these bytes.
    pub fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.first_chunk::<16>().is_some_and(|h| {
            let first = self.order.u32([h[8], h[9], h[10], h[11]]);
            let (captured, _) = self.lengths(first, self.order.u32([h[12], h[13], h[14], h[15]]));
            bytes.len() >= self.header + captured as usize
        })
    }

    #[inline]
    const fn lengths(&self, first: u32, second: u32) -> (u32, u32) {
        match self.swapped {
            Swapped::No => (first, second),
            Swapped::WhenLonger if first <= second => (first, second),
            _ => (second, first),
        }
    }

    #[cold]
    fn end(&self, buffer: &mut Buffer) -> Result<Step, ReadError> {
        if buffer.left() > 0 {
            return Err(buffer.cut_short(self.header as u64));
        }
        buffer.ended().map(|()| Step::End)
    }
}

/// What of the file header matters.
struct Header {
    version: (u16, u16),
    snaplen: u32,
    link: u32,
}

impl Header {
    fn read(bytes: &[u8; FILE_HEADER], order: Order) -> Result<Self, Damage> {
        let mut fields = Fields::new(bytes, order);
        let _magic = fields.u32()?;
        let version = (fields.u16()?, fields.u16()?);
        let _zone_and_accuracy = fields.u64()?;
        Ok(Self {
            version,
            snaplen: fields.u32()?,
            link: fields.u32()?,
        })
    }

    /// Bytes of frame check sequence, when the header has it (in units of 16 bits).
    const fn fcs(&self) -> u8 {
        if self.link & FCS_PRESENT == 0 {
            0
        } else {
            (self.link >> 28) as u8 * 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::craft::{data, read, Craft, Got};
    use super::*;

    const MICRO: u32 = 0xa1b2_c3d4;
    const NANO: u32 = 0xa1b2_3c4d;
    const EXTENDED: u32 = 0xa1b2_cd34;

    fn packet(time: u64, wire: u32, data: &[u8]) -> Got {
        Got::Packet {
            interface: 0,
            time: Some(time),
            wire,
            data: data.to_vec(),
            options: Vec::new(),
        }
    }

    #[test]
    fn both_orders_and_both_resolutions() {
        for order in [Order::Little, Order::Big] {
            for (magic, time) in [(MICRO, 5_000_007_000), (NANO, 5_000_000_007)] {
                let file = Craft::new(order)
                    .pcap(magic, (2, 4), 1)
                    .record(5, 7, b"abc")
                    .record(6, 0, b"")
                    .bytes;
                let (got, error) = read(&file);
                assert!(error.is_none());
                assert_eq!(
                    got[1..],
                    [packet(time, 7, b"abc"), packet(6_000_000_000, 4, b"")]
                );
            }
        }
    }

    #[test]
    fn longer_records_of_the_extended_kind() {
        let head = |craft: Craft| craft.pcap(EXTENDED, (2, 4), 1).u32(1).u32(0).u32(2).u32(9);
        let file = head(Craft::new(Order::Big))
            .u64(0x0102_0304)
            .data(b"xy")
            .bytes;
        assert_eq!(read(&file).0[1..], [packet(1_000_000_000, 9, b"xy")]);
    }

    #[test]
    fn old_versions_have_the_lengths_the_other_way_round() {
        let file = |version| {
            Craft::new(Order::Little)
                .pcap(MICRO, version, 1)
                .u32(1)
                .u32(0)
                .u32(9)
                .u32(2)
                .data(b"xy")
                .bytes
        };
        for version in [(2, 2), (543, 0), (2, 3)] {
            assert_eq!(
                read(&file(version)).0[1..],
                [packet(1_000_000_000, 9, b"xy")],
                "{version:?}"
            );
        }
        assert!(read(&file((2, 4))).1.is_some());
        assert_eq!(
            read(&file((3, 0))).1.unwrap().to_string(),
            "damaged at byte 0: version 3.0 of the format is not known"
        );
    }

    #[test]
    fn the_link_type_field_also_holds_the_length_of_the_frame_check_sequence() {
        let file = Craft::new(Order::Little)
            .pcap(MICRO, (2, 4), 0x2400_0001)
            .bytes;
        let reader = super::super::Reader::of_stream(Box::new(std::io::Cursor::new(file))).unwrap();
        assert_eq!(
            (reader.interfaces()[0].link, reader.interfaces()[0].fcs),
            (1, 4)
        );
    }

    #[test]
    fn cut_anywhere_it_gives_all_whole_records_and_says_where_it_ends() {
        let file = Craft::new(Order::Little)
            .pcap(MICRO, (2, 4), 1)
            .record(1, 0, b"abcd")
            .record(2, 0, b"efgh")
            .bytes;
        for length in 24..=file.len() {
            let (got, error) = read(&file[..length]);
            let whole = (length - 24) / 20;
            assert_eq!(data(&got), [b"abcd", b"efgh"][..whole]);
            let expected = (length - 24) % 20 != 0;
            assert_eq!(error.is_some(), expected, "{length}");
            if let Some(ReadError::Damaged { offset, .. }) = error {
                assert_eq!(offset, 24 + 20 * whole as u64);
            }
        }
    }

    #[test]
    fn an_absurd_length_is_refused_with_its_place() {
        let file = Craft::new(Order::Little)
            .pcap(MICRO, (2, 4), 1)
            .record(1, 0, b"abcd")
            .u32(2)
            .u32(0)
            .u32(u32::MAX)
            .u32(60)
            .bytes;
        let (got, error) = read(&file);
        assert_eq!(data(&got), [b"abcd"]);
        assert_eq!(
            error.unwrap().to_string(),
            "damaged at byte 44: record of 4294967295 bytes, at most 262144 make sense"
        );
    }
}
