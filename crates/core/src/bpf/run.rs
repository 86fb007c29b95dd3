//! Running a checked program on one packet.

use std::hint::black_box;

use super::decode::{Ancillary, Decoded, Op};
use super::{Beside, SLOTS};

/// `SKF_NET_OFF` and `SKF_LL_OFF`: negative offsets from there on count from the network and from the link header.
const FROM_NETWORK: i32 = -0x10_0000;
const FROM_LINK: i32 = -0x20_0000;
const MOST_SHIFTED: u32 = 31;

/// The verdict; None, which means 0, where a load fails or a division by 0 is asked for.
#[inline]
#[allow(clippy::too_many_lines)] // a line or four for each operation, and nothing else
pub(super) fn run(decoded: &Decoded, data: &[u8], length: u32, beside: &Beside) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; SLOTS]);
    let packet = Packet {
        data,
        network: beside.network,
    };
    let mut next = 0_usize;
    loop {
        let op = *decoded.ops.get(next)?;
        next += 1;
        match op {
            Op::Word(k) => a = packet.word(k)?,
            Op::Half(k) => a = packet.half(k)?,
            Op::Byte(k) => a = packet.byte(k)?,
            Op::WordX(k) => a = packet.word(x.wrapping_add(k))?,
            Op::HalfX(k) => a = packet.half(x.wrapping_add(k))?,
            Op::ByteX(k) => a = packet.byte(x.wrapping_add(k))?,
            Op::Beside(Ancillary::XorX) | Op::XorX => a ^= x,
            Op::Beside(what) => a = known(what, beside)?,
            Op::Immediate(k) => a = k,
            Op::Length => a = length,
            Op::Recall(slot) => a = memory[usize::from(slot & 15)],
            Op::ImmediateX(k) => x = k,
            Op::LengthX => x = length,
            Op::RecallX(slot) => x = memory[usize::from(slot & 15)],
            Op::HeaderX(k) => x = (packet.byte(k)? & 15) << 2,
            Op::Store(slot) => memory[usize::from(slot & 15)] = a,
            Op::StoreX(slot) => memory[usize::from(slot & 15)] = x,
            Op::Add(k) => a = a.wrapping_add(k),
            Op::Multiply(k) => a = a.wrapping_mul(k),
            Op::Divide(k) => a = a.checked_div(k)?,
            Op::Modulo(k) => a = a.checked_rem(k)?,
            Op::And(k) => a &= k,
            Op::Or(k) => a |= k,
            Op::Xor(k) => a ^= k,
            Op::Left(k) => a = a.wrapping_shl(k),
            Op::Right(k) => a = a.wrapping_shr(k),
            Op::AddX => a = a.wrapping_add(x),
            Op::SubtractX => a = a.wrapping_sub(x),
            Op::MultiplyX => a = a.wrapping_mul(x),
            Op::DivideX => a = a.checked_div(x)?,
            Op::ModuloX => a = a.checked_rem(x)?,
            Op::AndX => a &= x,
            Op::OrX => a |= x,
            Op::LeftX => a = a.wrapping_shl(x & MOST_SHIFTED),
            Op::RightX => a = a.wrapping_shr(x & MOST_SHIFTED),
            Op::Negate => a = a.wrapping_neg(),
            Op::Jump(to) => next = to.into(),
            Op::Equal(k, then, otherwise) => next = either(a == k, then, otherwise),
            Op::Greater(k, then, otherwise) => next = either(a > k, then, otherwise),
            Op::AtLeast(k, then, otherwise) => next = either(a >= k, then, otherwise),
            Op::Bits(k, then, otherwise) => next = either(a & k != 0, then, otherwise),
            Op::EqualX(then, otherwise) => next = either(a == x, then, otherwise),
            Op::GreaterX(then, otherwise) => next = either(a > x, then, otherwise),
            Op::AtLeastX(then, otherwise) => next = either(a >= x, then, otherwise),
            Op::BitsX(then, otherwise) => next = either(a & x != 0, then, otherwise),
            Op::WordEqual(at, k, then, otherwise) => {
                a = packet.word(at)?;
                next = either(a == k, then, otherwise);
            }
            Op::HalfEqual(at, k, then, otherwise) => {
                a = packet.half(at)?;
                next = either(a == k, then, otherwise);
            }
            Op::ByteEqual(at, k, then, otherwise) => {
                a = packet.byte(at)?;
                next = either(a == k, then, otherwise);
            }
            Op::WordEqualX(at, k, then, otherwise) => {
                a = packet.word(x.wrapping_add(at))?;
                next = either(a == k, then, otherwise);
            }
            Op::HalfEqualX(at, k, then, otherwise) => {
                a = packet.half(x.wrapping_add(at))?;
                next = either(a == k, then, otherwise);
            }
            Op::ByteEqualX(at, k, then, otherwise) => {
                a = packet.byte(x.wrapping_add(at))?;
                next = either(a == k, then, otherwise);
            }
            Op::HalfBits(at, k, then, otherwise) => {
                a = packet.half(at)?;
                next = either(a & k != 0, then, otherwise);
            }
            Op::HalfBitsX(at, k, then, otherwise) => {
                a = packet.half(x.wrapping_add(at))?;
                next = either(a & k != 0, then, otherwise);
            }
            Op::ByteBitsX(at, k, then, otherwise) => {
                a = packet.byte(x.wrapping_add(at))?;
                next = either(a & k != 0, then, otherwise);
            }
            Op::Among(from, count, then, otherwise) => {
                let from = from as usize;
                let numbers = decoded.numbers.get(from..from + usize::from(count))?;
                // Without an early end, so that several are compared at once.
                let found = numbers
                    .iter()
                    .fold(0, |found, &number| found | u32::from(number == a));
                next = either(found != 0, then, otherwise);
            }
            Op::LengthAtLeast(k, then, otherwise) => {
                a = length;
                next = either(a >= k, then, otherwise);
            }
            Op::Room(k, then, otherwise) => {
                a = length.wrapping_add(k);
                next = either(a >= x, then, otherwise);
            }
            Op::Advance(k, behind) => {
                x = x.wrapping_add(k);
                a = x;
                next = behind.into();
            }
            Op::Return(k) => return Some(k),
            Op::ReturnA => return Some(a),
            Op::ToX => x = a,
            Op::FromX => a = x,
        }
    }
}

/// Where a condition leads.
///
/// It must stay a branch, which the processor predicts: chosen without one, each operation would wait for the
/// packet's bytes that the one before it looks at, and all of it takes twice the time.
#[inline]
fn either(condition: bool, then: u16, otherwise: u16) -> usize {
    if condition {
        black_box(());
        then.into()
    } else {
        otherwise.into()
    }
}

struct Packet<'a> {
    data: &'a [u8],
    network: u32,
}

impl Packet<'_> {
    #[inline]
    fn word(&self, offset: u32) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(offset)?))
    }

    #[inline]
    fn half(&self, offset: u32) -> Option<u32> {
        Some(u16::from_be_bytes(self.bytes(offset)?).into())
    }

    #[inline]
    fn byte(&self, offset: u32) -> Option<u32> {
        Some(u8::from_be_bytes(self.bytes(offset)?).into())
    }

    #[inline]
    fn bytes<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = offset as usize;
        match self.data.get(start..start.saturating_add(N)) {
            Some(bytes) => bytes.first_chunk().copied(),
            None => self.behind_a_header(offset),
        }
    }

    /// An offset that is no byte of the packet, or a negative one that counts from a header.
    #[cold]
    fn behind_a_header<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let offset = i32::from_ne_bytes(offset.to_ne_bytes());
        let (header, from) = match offset {
            FROM_NETWORK..0 => (self.network, FROM_NETWORK),
            FROM_LINK..FROM_NETWORK => (0, FROM_LINK),
            _ => return None,
        };
        let start = header.checked_add(offset.abs_diff(from))?;
        self.data.get(start as usize..)?.first_chunk().copied()
    }
}

#[cold]
fn known(what: Ancillary, beside: &Beside) -> Option<u32> {
    Some(match what {
        Ancillary::Protocol => beside.protocol.into(),
        Ancillary::Kind => beside.kind.into(),
        Ancillary::Device if beside.device == 0 => return None,
        Ancillary::Device => beside.device,
        Ancillary::VlanTag => beside.vlan.map_or(0, |(_, tci)| tci.into()),
        Ancillary::VlanPresent => beside.vlan.is_some().into(),
        Ancillary::VlanProtocol => beside.vlan.map_or(0, |(protocol, _)| protocol.into()),
        Ancillary::XorX => 0,
    })
}
