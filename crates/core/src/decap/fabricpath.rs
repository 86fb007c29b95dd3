//! Cisco FabricPath (also Data Center Ethernet): a frame behind another Ethernet header and a forwarding tag.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::Fault;

const TAG: usize = 2;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let bytes = span.bytes();
    let Some(tag) = bytes.first_chunk::<TAG>() else {
        return Err(Fault::Short {
            needed: TAG,
            had: bytes.len(),
        });
    };
    walk.wrap(
        Kind::FabricPath,
        Some(u32::from(u16::from_be_bytes(*tag) >> 6)),
    )?;
    span.skip(TAG)?.ethernet()
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;

    #[test]
    fn a_frame_in_a_frame() {
        let packet = ethernet(0x8903, &[&[0, 0x60][..], &inner_frame()].concat());
        holds_when_cut(&packet, &inner_frame(), "fabricpath 1");
    }
}
