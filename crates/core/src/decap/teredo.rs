//! Teredo (RFC 4380): IPv6 over UDP, behind up to two optional headers.

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::Fault;

const ORIGIN: usize = 8;

pub(super) fn open<'a>(walk: &mut Walk, mut span: Span<'a>) -> Inside<'a> {
    walk.wrap(Kind::Teredo, None)?;
    if let [0, 1, client, authentication, ..] = *span.bytes() {
        span = span.skip(13 + usize::from(client) + usize::from(authentication))?;
    }
    if span.bytes().starts_with(&[0, 0]) {
        span = span.skip(ORIGIN)?;
    }
    match span.bytes().first() {
        Some(first) if first >> 4 == 6 => span.ip(),
        Some(first) => Err(Fault::Version(first >> 4)),
        None => Err(Fault::Short { needed: 1, had: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;

    #[test]
    fn with_and_without_its_headers() {
        let six = ipv6(58, &[128, 0, 0, 0]);
        let authentication = [0, 1, 2, 3, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let origin = [0, 0, 1, 1, 2, 2, 2, 2];
        for headers in [
            &[][..],
            &authentication,
            &origin,
            &[&authentication[..], &origin].concat(),
        ] {
            let packet = over_udp(3544, &[headers, &six].concat());
            holds_when_cut(&packet, &six, "teredo 172.16.0.1>172.16.0.2");
        }
    }
}
