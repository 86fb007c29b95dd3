//! Provider backbone bridges (IEEE 802.1ah): the customer's frame behind a service tag.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::Fault;

const TAG: usize = 4;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let bytes = span.bytes();
    let Some(&[_, a, b, c]) = bytes.first_chunk::<TAG>() else {
        return Err(Fault::Short {
            needed: TAG,
            had: bytes.len(),
        });
    };
    walk.wrap(Kind::Pbb, Some(u32::from_be_bytes([0, a, b, c])))?;
    span.skip(TAG)?.ethernet()
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;

    #[test]
    fn behind_a_backbone_tag() {
        let tagged = [
            &[0x0f, 0xd3, 0x88, 0xe7, 0, 0x1e, 0xbb, 0x30][..],
            &inner_frame(),
        ]
        .concat();
        holds_when_cut(&ethernet(0x88a8, &tagged), &inner_frame(), "pbb 2014000");
    }
}
