//! MPLS (RFC 3032, 4023, 7510): nothing says what is at the bottom, so it is guessed.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::mpls::{guess, Bottom, Stack};
use crate::wire::Fault;

const CONTROL_WORD: usize = 4;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let stack = Stack::read(span.bytes())?;
    walk.wrap(Kind::Mpls, Some(stack.bottom))?;
    let inside = span.skip(stack.len)?;
    match guess(inside.bytes())? {
        Bottom::Ip => inside.ip(),
        Bottom::ControlWord => inside.skip(CONTROL_WORD)?.ethernet(),
        Bottom::Ethernet => inside.ethernet(),
        Bottom::Other(nibble) => Err(Fault::Protocol(nibble.into())),
    }
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    const LABELS: [u8; 8] = [0, 1, 0x00, 64, 0, 1, 0xf1, 64];

    fn labelled(payload: &[u8]) -> Vec<u8> {
        ethernet(0x8847, &[&LABELS[..], payload].concat())
    }

    #[test]
    fn ip_ends_where_it_says_and_not_where_the_padding_does() {
        holds_when_cut(&labelled(&inner_ip()), &inner_ip(), "mpls 31");
        holds(
            &labelled(&[&inner_ip()[..], &[0; 9]].concat()),
            &inner_ip(),
            "mpls 31",
        );
        let six = ipv6(58, &[128, 0, 0, 0]);
        holds_when_cut(&labelled(&six), &six, "mpls 31");
    }

    #[test]
    fn pseudowires_with_and_without_control_word() {
        holds(&labelled(&inner_frame()), &inner_frame(), "mpls 31");
        holds(
            &labelled(&[&[0; 4][..], &inner_frame()].concat()),
            &inner_frame(),
            "mpls 31",
        );
    }

    #[test]
    fn channels_and_endless_stacks_stay() {
        assert_eq!(
            unwrap(&labelled(&[0x10, 0, 0, 7])).fault(),
            Fault::Protocol(1)
        );
        assert_eq!(
            unwrap(&ethernet(0x8847, &[0; 400])).fault(),
            Fault::TooMany(32)
        );
    }
}
