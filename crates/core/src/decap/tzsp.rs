//! TZSP, what access points and MikroTik routers mirror with (informal; UDP 37008).

use super::kind::Kind;
use super::span::Span;
use super::walk::Walk;
use super::Inside;
use crate::wire::Fault;

const ETHERNET: u16 = 1;
const PADDING: u8 = 0;
const END: u8 = 1;
const MOST_FIELDS: usize = 64;

pub(super) fn open<'a>(walk: &mut Walk, span: Span<'a>) -> Inside<'a> {
    let bytes = span.bytes();
    let Some(&[version, kind, high, low]) = bytes.first_chunk::<4>() else {
        return Err(Fault::Short {
            needed: 4,
            had: bytes.len(),
        });
    };
    if version != 1 {
        return Err(Fault::Version(version));
    }
    if kind > 1 {
        return Err(Fault::Protocol(kind.into())); // keep-alives and configuration
    }
    let protocol = u16::from_be_bytes([high, low]);
    if protocol != ETHERNET {
        return Err(Fault::Protocol(protocol.into()));
    }
    walk.wrap(Kind::Tzsp, None)?;
    span.skip(fields(bytes)?)?.ethernet()
}

/// Where the tagged fields end.
fn fields(bytes: &[u8]) -> Result<usize, Fault> {
    let mut offset = 4;
    for _ in 0..MOST_FIELDS {
        match bytes.get(offset..) {
            Some([END, ..]) => return Ok(offset + 1),
            Some([PADDING, ..]) => offset += 1,
            Some([_, length, ..]) => offset += 2 + usize::from(*length),
            _ => {
                return Err(Fault::Short {
                    needed: offset + 2,
                    had: bytes.len(),
                })
            }
        }
    }
    Err(Fault::TooMany(MOST_FIELDS))
}

#[cfg(test)]
mod tests {
    use crate::decap::craft::*;
    use crate::wire::Fault;

    #[test]
    fn with_tagged_fields() {
        let head = [1, 0, 0, 1, 0, 10, 1, 0xd0, 41, 2, 0, 1, 1];
        let packet = over_udp(37008, &[&head[..], &inner_frame()].concat());
        holds_when_cut(&packet, &inner_frame(), "tzsp 172.16.0.1>172.16.0.2");
    }

    #[test]
    fn other_payloads_and_endless_fields_stay() {
        assert_eq!(
            unwrap(&over_udp(37008, &[1, 0, 0, 18, 1])).fault(),
            Fault::Protocol(18)
        );
        assert_eq!(
            unwrap(&over_udp(37008, &[&[1, 0, 0, 1][..], &[0; 99]].concat())).fault(),
            Fault::TooMany(64)
        );
    }
}
