//! PIM register messages (RFC 7761, 4.9.3): multicast on its way to the rendezvous point.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::Fault;

const HEADER: usize = 8;
const REGISTER: u8 = 0x21;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    match span.bytes().first() {
        Some(&REGISTER) => {}
        Some(&other) if other >> 4 != 2 => return Err(Fault::Version(other >> 4)),
        Some(&other) => return Err(Fault::Protocol((other & 15).into())),
        None => {
            return Err(Fault::Short {
                needed: HEADER,
                had: 0,
            })
        }
    }
    walk.wrap(Kind::Pim, None)?;
    span.skip(HEADER)?.ip()
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    fn pim(payload: &[u8]) -> Vec<u8> {
        ethernet(0x0800, &ipv4(103, payload))
    }

    #[test]
    fn registers_hold_a_packet_and_hellos_do_not() {
        let register = [&[0x21, 0, 0xde, 0xff, 0, 0, 0, 0][..], &inner_ip()].concat();
        holds_when_cut(&pim(&register), &inner_ip(), "pim 172.16.0.1>172.16.0.2");
        let hello = pim(&[0x20, 0, 0, 0]);
        assert_eq!(
            (unwrap(&hello).fault(), unwrap(&hello).frame),
            (Fault::Protocol(0), hello)
        );
    }
}
