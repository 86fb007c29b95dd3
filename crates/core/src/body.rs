//! A packet as it is written: whole as it was captured, or what was inside of it.

use crate::decap::{self, FrameKind};
use crate::frame::Frame;

/// Captured bytes in up to three parts, so that nothing is copied to put them together, and the length on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// The parts, already cut to the snap length.
    pub data: [&'a [u8]; 3],
    /// Bytes on the wire.
    pub length: u32,
}

/// An Ethernet header with addresses of zeros, for an IP packet that came without one.
const OVER_IPV4: [u8; 14] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00];
const OVER_IPV6: [u8; 14] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd];

impl<'a> Body<'a> {
    /// The frame as it was on the wire: the `tag` that the kernel took out goes back behind the addresses.
    #[inline]
    pub fn whole(frame: &Frame<'a>, tag: Option<&'a [u8; 4]>, snaplen: usize) -> Self {
        const ADDRESSES: usize = 12;
        let length = frame.length + tag.map_or(0, |_| 4);
        let data = match (tag, frame.data.split_at_checked(ADDRESSES)) {
            (Some(tag), Some((addresses, rest))) => [addresses, tag, rest],
            _ => [frame.data, &[], &[]],
        };
        Self { data, length }.cut(snaplen)
    }

    /// What was inside, as an Ethernet frame whatever it was.
    #[inline]
    pub fn inner(frame: &decap::Frame<'a>, snaplen: usize) -> Self {
        let (bytes, wire) = (frame.span.bytes(), frame.span.wire());
        let header: &'static [u8] = match (frame.kind, bytes.first().map(|first| first >> 4)) {
            (FrameKind::Ip, Some(6)) => &OVER_IPV6,
            (FrameKind::Ip, _) => &OVER_IPV4,
            _ => &[],
        };
        let length = (wire + header.len()).min(u32::MAX as usize) as u32;
        let data = [header, bytes, &[]];
        Self { data, length }.cut(snaplen)
    }

    /// Bytes kept of it.
    #[inline]
    pub fn captured(&self) -> usize {
        self.data.iter().map(|part| part.len()).sum()
    }

    #[inline]
    fn cut(self, snaplen: usize) -> Self {
        let mut left = snaplen;
        let data = self.data.map(|part| {
            let kept = &part[..part.len().min(left)];
            left -= kept.len();
            kept
        });
        Self { data, ..self }
    }
}

/// The 802.1Q tag the kernel took out, as it stood in the frame.
pub fn tag_bytes(frame: &Frame<'_>) -> Option<[u8; 4]> {
    let (tpid, tci) = frame.tag?;
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), tci.to_be_bytes());
    Some([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decap::Span;

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame {
            time: 0,
            outgoing: false,
            length: 1000,
            tag: None,
            data,
        }
    }

    #[test]
    fn a_tag_goes_back_behind_the_addresses() {
        let bytes: Vec<u8> = (0..20).collect();
        let tag = [0x81, 0, 0, 10];
        let joined = |snaplen| {
            Body::whole(&frame(&bytes), Some(&tag), snaplen)
                .data
                .concat()
        };
        assert_eq!(joined(100), [&bytes[..12], &tag, &bytes[12..]].concat());
        assert_eq!(joined(14), [&bytes[..12], &tag[..2]].concat());
        assert_eq!(joined(5), bytes[..5]);
        assert_eq!(Body::whole(&frame(&bytes), Some(&tag), 9).length, 1004);
        let short = frame(&bytes[..8]);
        assert_eq!(
            Body::whole(&short, Some(&tag), 100).data.concat(),
            bytes[..8]
        );
        assert_eq!(
            Body::whole(&frame(&bytes), None, 4).data.concat(),
            bytes[..4]
        );
    }

    #[test]
    fn what_was_inside_is_an_ethernet_frame() {
        let packet = [0x60, 1, 2, 3];
        let span = Span::new(&packet, 100);
        let of = |kind| Body::inner(&decap::Frame { kind, span }, 16);
        let frame = of(FrameKind::Ethernet);
        assert_eq!((frame.data.concat(), frame.length), (packet.to_vec(), 100));
        let raw = of(FrameKind::Ip);
        assert_eq!(
            (raw.data.concat(), raw.length),
            ([&OVER_IPV6[..], &packet[..2]].concat(), 114)
        );
    }
}
