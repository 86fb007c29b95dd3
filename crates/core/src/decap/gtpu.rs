//! GTP-U (3GPP TS 29.281): the packets of mobile subscribers.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::gtpu::Gtpu;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let header = Gtpu::read(span.bytes())?;
    walk.wrap(Kind::Gtpu, Some(header.teid))?;
    span.limit(header.total).skip(header.len)?.ip()
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    #[test]
    fn with_and_without_extension_headers() {
        let ip = inner_ip();
        let length = ip.len() as u8;
        let plain = [&[0x30, 255, 0, length, 0, 0, 0, 9][..], &ip].concat();
        holds_when_cut(&over_udp(2152, &plain), &ip, "gtpu 9 172.16.0.1>172.16.0.2");
        let extended = [
            &[
                0x34,
                255,
                0,
                length + 8,
                0,
                0,
                0,
                9,
                0,
                0,
                0,
                0x85,
                1,
                0,
                1,
                0,
            ][..],
            &ip,
        ]
        .concat();
        holds_when_cut(
            &over_udp(2152, &extended),
            &ip,
            "gtpu 9 172.16.0.1>172.16.0.2",
        );
    }

    #[test]
    fn echo_requests_stay() {
        let packet = over_udp(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            (unwrap(&packet).fault(), unwrap(&packet).frame),
            (Fault::Protocol(1), packet)
        );
    }
}
