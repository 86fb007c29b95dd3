//! Packets inside a ring block: `struct tpacket3_hdr` and `struct sockaddr_ll`, read safely.

/// Which way a packet goes, as the VM sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// To the VM.
    Inbound = 1,
    /// From the VM.
    Outbound = 2,
}

/// One packet, still in the ring.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Whether it was leaving the device.
    pub outgoing: bool,
    /// Bytes on the wire, without a tag the kernel took out.
    pub length: u32,
    /// The 802.1Q tag the kernel took out of the frame: TPID and TCI.
    pub tag: Option<(u16, u16)>,
    /// What was captured.
    pub data: &'a [u8],
}

mod field {
    // tpacket_block_desc with its tpacket_hdr_v1
    pub const NUM_PKTS: usize = 12;
    pub const OFFSET_TO_FIRST: usize = 16;
    pub const BLOCK_LENGTH: usize = 20;
    // tpacket3_hdr
    pub const NEXT_OFFSET: usize = 0;
    pub const SEC: usize = 4;
    pub const NSEC: usize = 8;
    pub const SNAPLEN: usize = 12;
    pub const LEN: usize = 16;
    pub const STATUS: usize = 20;
    pub const MAC: usize = 24;
    pub const VLAN_TCI: usize = 32;
    pub const VLAN_TPID: usize = 36;
    pub const HEADER: usize = 48;
    // sockaddr_ll behind it
    pub const PKTTYPE: usize = HEADER + 10;
}

const VLAN_VALID: u32 = 1 << 4; // TP_STATUS_VLAN_VALID
const TPID_VALID: u32 = 1 << 6; // TP_STATUS_VLAN_TPID_VALID
const OUTGOING: u8 = 4; // PACKET_OUTGOING
const DOT1Q: u16 = 0x8100;

impl<'a> Frame<'a> {
    /// The packet whose header starts at `offset` of `block`; `None` when it makes no sense.
    #[inline]
    pub fn at(block: &'a [u8], offset: usize) -> Option<Self> {
        let header = block.get(offset..offset + field::PKTTYPE + 1)?;
        let status = u32_at(header, field::STATUS);
        let start = offset + usize::from(u16_at(header, field::MAC));
        let captured = u32_at(header, field::SNAPLEN) as usize;
        let tag = (status & VLAN_VALID != 0).then(|| {
            let tpid = u16_at(header, field::VLAN_TPID);
            let known = status & TPID_VALID != 0 && tpid != 0;
            (
                if known { tpid } else { DOT1Q },
                u32_at(header, field::VLAN_TCI) as u16,
            )
        });
        Some(Self {
            time: u64::from(u32_at(header, field::SEC)) * 1_000_000_000
                + u64::from(u32_at(header, field::NSEC)),
            outgoing: header[field::PKTTYPE] == OUTGOING,
            length: u32_at(header, field::LEN),
            tag,
            data: block.get(start..start + captured)?,
        })
    }

    /// What the kernel calls the packet's type, as far as filters ask for it: `PACKET_OUTGOING` or `PACKET_HOST`.
    #[inline]
    pub fn kind(&self) -> u8 {
        [0, OUTGOING][usize::from(self.outgoing)]
    }

    /// Its EtherType; 0 when it is too short to have one.
    #[inline]
    pub fn ethertype(&self) -> u16 {
        let field = self.data.get(12..).and_then(<[u8]>::first_chunk::<2>);
        field.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }
}

/// The part of a block that holds its packets.
pub fn used(block: &[u8]) -> &[u8] {
    let length = block
        .get(..field::HEADER)
        .map_or(0, |head| u32_at(head, field::BLOCK_LENGTH) as usize);
    block.get(..length).unwrap_or(block)
}

/// Time and place of every packet of a block, without looking at the packets.
pub struct Walk<'a> {
    block: &'a [u8],
    offset: usize,
    left: u32,
}

impl<'a> Walk<'a> {
    /// Walk a block the kernel handed over.
    pub fn new(block: &'a [u8]) -> Self {
        let left = block
            .get(..field::HEADER)
            .map_or(0, |b| u32_at(b, field::NUM_PKTS));
        let offset = block
            .get(..field::HEADER)
            .map_or(0, |b| u32_at(b, field::OFFSET_TO_FIRST) as usize);
        Self {
            block,
            offset,
            left,
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = (u64, usize);

    #[inline]
    fn next(&mut self) -> Option<(u64, usize)> {
        if self.left == 0 {
            return None;
        }
        let header = self.block.get(self.offset..self.offset + field::HEADER)?;
        let found = (
            u64::from(u32_at(header, field::SEC)) * 1_000_000_000
                + u64::from(u32_at(header, field::NSEC)),
            self.offset,
        );
        self.left -= 1;
        let step = u32_at(header, field::NEXT_OFFSET) as usize;
        self.offset += step;
        if step == 0 {
            self.left = 0;
        }
        Some(found)
    }
}

#[inline]
fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes([
        bytes[offset],
        bytes[offset + 1],
        bytes[offset + 2],
        bytes[offset + 3],
    ])
}

#[inline]
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes([bytes[offset], bytes[offset + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(next: u32, status: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut h = vec![0u8; 80];
        h[0..4].copy_from_slice(&next.to_ne_bytes());
        h[4..8].copy_from_slice(&7u32.to_ne_bytes());
        h[8..12].copy_from_slice(&9u32.to_ne_bytes());
        h[12..16].copy_from_slice(&(payload.len() as u32).to_ne_bytes());
        h[16..20].copy_from_slice(&1500u32.to_ne_bytes());
        h[20..24].copy_from_slice(&status.to_ne_bytes());
        h[24..26].copy_from_slice(&80u16.to_ne_bytes());
        h[32..36].copy_from_slice(&10u32.to_ne_bytes());
        h[36..38].copy_from_slice(&0x88a8u16.to_ne_bytes());
        h[58] = kind;
        h.extend(payload);
        h
    }

    fn block(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut b = vec![0u8; 48];
        b[12..16].copy_from_slice(&(packets.len() as u32).to_ne_bytes());
        b[16..20].copy_from_slice(&48u32.to_ne_bytes());
        for packet in packets {
            b.extend(packet);
        }
        b
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        let first = header(84, VLAN_VALID | TPID_VALID, 4, b"abcd");
        let second = header(0, 0, 0, b"efgh");
        let bytes = block(&[first, second]);
        let places: Vec<_> = Walk::new(&bytes).collect();
        assert_eq!(places, [(7_000_000_009, 48), (7_000_000_009, 132)]);
        let frame = Frame::at(&bytes, 48).unwrap();
        assert_eq!(
            (frame.data, frame.length, frame.outgoing),
            (&b"abcd"[..], 1500, true)
        );
        assert_eq!(frame.tag, Some((0x88a8, 10)));
        let frame = Frame::at(&bytes, 132).unwrap();
        assert_eq!(
            (frame.data, frame.outgoing, frame.tag),
            (&b"efgh"[..], false, None)
        );
    }

    #[test]
    fn a_damaged_block_ends_early_and_never_panics() {
        let bytes = block(&[header(84, 0, 4, b"abcd"), header(0, 0, 0, b"efgh")]);
        for end in 0..bytes.len() {
            for (_, offset) in Walk::new(&bytes[..end]) {
                let _ = Frame::at(&bytes[..end], offset);
            }
        }
        let endless = block(&[header(0, 0, 0, b""), header(0, 0, 0, b"")]);
        assert_eq!(Walk::new(&endless).count(), 1);
    }
}
