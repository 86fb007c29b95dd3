//! Capture files for tests, in either byte order, and what reading them gives.

use std::io::{Cursor, Read};

use super::byteorder::Order;
use super::{Item, ReadError, Reader, Step};

/// Writes numbers in one byte order.
#[derive(Clone)]
pub struct Craft {
    pub order: Order,
    pub bytes: Vec<u8>,
}

impl Craft {
    pub fn new(order: Order) -> Self {
        Self {
            order,
            bytes: Vec::new(),
        }
    }

    pub fn u16(mut self, number: u16) -> Self {
        let bytes = match self.order {
            Order::Little => number.to_le_bytes(),
            Order::Big => number.to_be_bytes(),
        };
        self.bytes.extend(bytes);
        self
    }

    pub fn u32(mut self, number: u32) -> Self {
        let bytes = match self.order {
            Order::Little => number.to_le_bytes(),
            Order::Big => number.to_be_bytes(),
        };
        self.bytes.extend(bytes);
        self
    }

    pub fn u64(self, number: u64) -> Self {
        let (high, low) = ((number >> 32) as u32, number as u32);
        match self.order {
            Order::Little => self.u32(low).u32(high),
            Order::Big => self.u32(high).u32(low),
        }
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend(data);
        self
    }

    pub fn padded(self, data: &[u8]) -> Self {
        let padding = data.len().next_multiple_of(4) - data.len();
        self.data(data).data(&[0; 3][..padding])
    }

    pub fn option(self, code: u16, value: &[u8]) -> Self {
        self.u16(code).u16(value.len() as u16).padded(value)
    }

    /// A block around what `body` adds.
    pub fn block(self, kind: u32, body: impl FnOnce(Self) -> Self) -> Self {
        let inner = body(Self::new(self.order)).bytes;
        let length = inner.len() as u32 + 12;
        self.u32(kind).u32(length).data(&inner).u32(length)
    }

    pub fn section(self) -> Self {
        self.block(0x0a0d_0d0a, |b| {
            b.u32(0x1a2b_3c4d)
                .u16(1)
                .u16(0)
                .u64(u64::MAX)
                .option(4, b"craft")
        })
    }

    /// An interface whose times are in units of 10^-`digits` seconds.
    pub fn interface(self, link: u16, digits: u8) -> Self {
        self.block(1, |b| {
            b.u16(link)
                .u16(0)
                .u32(0)
                .option(2, b"eth0")
                .option(9, &[digits])
                .u32(0)
        })
    }

    pub fn packet(self, interface: u32, time: u64, data: &[u8]) -> Self {
        let length = data.len() as u32;
        let (high, low) = ((time >> 32) as u32, time as u32);
        self.block(6, |b| {
            b.u32(interface)
                .u32(high)
                .u32(low)
                .u32(length)
                .u32(length + 4)
                .padded(data)
        })
    }

    /// The header of a pcap file.
    pub fn pcap(self, magic: u32, version: (u16, u16), link: u32) -> Self {
        self.u32(magic)
            .u16(version.0)
            .u16(version.1)
            .u64(0)
            .u32(65535)
            .u32(link)
    }

    pub fn record(self, seconds: u32, fraction: u32, data: &[u8]) -> Self {
        let length = data.len() as u32;
        self.u32(seconds)
            .u32(fraction)
            .u32(length)
            .u32(length + 4)
            .data(data)
    }
}

/// A packet, or a word for anything else.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Packet {
        interface: u32,
        time: Option<u64>,
        wire: u32,
        data: Vec<u8>,
        options: Vec<u8>,
    },
    Other(String),
}

/// Read everything; the error that ended it, when one did.
pub fn read(bytes: &[u8]) -> (Vec<Got>, Option<ReadError>) {
    read_stream(Box::new(Cursor::new(bytes.to_vec())))
}

pub fn read_stream(stream: Box<dyn Read + Send>) -> (Vec<Got>, Option<ReadError>) {
    let mut got = Vec::new();
    let mut reader = match Reader::of_stream(stream) {
        Ok(reader) => reader,
        Err(error) => return (got, Some(error)),
    };
    loop {
        match reader.advance() {
            Ok(Step::End) => return (got, None),
            Ok(_) => got.push(own(&reader.item())),
            Err(error) => return (got, Some(error)),
        }
    }
}

fn own(item: &Item<'_>) -> Got {
    match item {
        Item::Packet(packet) => Got::Packet {
            interface: packet.interface,
            time: packet.time,
            wire: packet.wire,
            data: packet.data.to_vec(),
            options: packet.options.to_vec(),
        },
        other => Got::Other(format!("{other:?}")),
    }
}

/// Only the packets' data.
pub fn data(got: &[Got]) -> Vec<Vec<u8>> {
    got.iter()
        .filter_map(|item| {
            if let Got::Packet { data, .. } = item {
                Some(data.clone())
            } else {
                None
            }
        })
        .collect()
}
