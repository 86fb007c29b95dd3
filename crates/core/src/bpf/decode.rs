//! Checked instructions as operations: what can be known beforehand is known, and one match does the rest.
//!
//! Each operation stands where its instruction stood, so that jumps stay what they were.  One that
//! begins a sequence often met does the whole of it and goes on behind; the others of the sequence
//! stay in place for those who jump there.

use super::{Instruction, ANCILLARY};

/// Where a jump goes: an operation's number.
type To = u16;

/// One operation.  Offsets are relative to the packet (`...X`: to X).
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Word(u32),
    Half(u32),
    Byte(u32),
    WordX(u32),
    HalfX(u32),
    ByteX(u32),
    Beside(Ancillary),
    Immediate(u32),
    Length,
    Recall(u8),
    ImmediateX(u32),
    LengthX,
    RecallX(u8),
    /// X = 4 times the lower half of the byte at that offset: the length of an IPv4 header.
    HeaderX(u32),
    Store(u8),
    StoreX(u8),
    Add(u32),
    Multiply(u32),
    Divide(u32),
    Modulo(u32),
    And(u32),
    Or(u32),
    Xor(u32),
    Left(u32),
    Right(u32),
    AddX,
    SubtractX,
    MultiplyX,
    DivideX,
    ModuloX,
    AndX,
    OrX,
    XorX,
    LeftX,
    RightX,
    Negate,
    Jump(To),
    Equal(u32, To, To),
    Greater(u32, To, To),
    AtLeast(u32, To, To),
    Bits(u32, To, To),
    EqualX(To, To),
    GreaterX(To, To),
    AtLeastX(To, To),
    BitsX(To, To),
    Return(u32),
    ReturnA,
    /// X = A.
    ToX,
    /// A = X.
    FromX,
    /// A load, and what it is compared with.
    WordEqual(u32, u32, To, To),
    HalfEqual(u32, u32, To, To),
    ByteEqual(u32, u32, To, To),
    WordEqualX(u32, u32, To, To),
    HalfEqualX(u32, u32, To, To),
    ByteEqualX(u32, u32, To, To),
    HalfBits(u32, u32, To, To),
    HalfBitsX(u32, u32, To, To),
    ByteBitsX(u32, u32, To, To),
    /// Whether A is one of so many numbers from there on in `Decoded::numbers`.
    Among(u32, u16, To, To),
    /// A = the length, and whether it is so much.
    LengthAtLeast(u32, To, To),
    /// A = the length and so much, and whether X fits below it.
    Room(u32, To, To),
    /// X += so much, and A = X.
    Advance(u32, To),
}

/// A program decoded.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    pub(super) ops: Box<[Op]>,
    /// What `Among` compares with.
    pub(super) numbers: Vec<u32>,
}

/// What is known about a packet beside its bytes (`SKF_AD_*`), as far as it is known outside the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ancillary {
    Protocol,
    Kind,
    Device,
    VlanTag,
    VlanPresent,
    VlanProtocol,
    /// Not data: A ^= X.
    XorX,
}

/// The data that an absolute load of a `k` from `ANCILLARY` on names; None where nobody here knows it.
pub(super) const fn ancillary(k: u32) -> Option<Ancillary> {
    match k.wrapping_sub(ANCILLARY) {
        0 => Some(Ancillary::Protocol),
        4 => Some(Ancillary::Kind),
        8 => Some(Ancillary::Device),
        40 => Some(Ancillary::XorX),
        44 => Some(Ancillary::VlanTag),
        48 => Some(Ancillary::VlanPresent),
        60 => Some(Ancillary::VlanProtocol),
        _ => None,
    }
}

/// So many comparisons in a row are worth a list.
const SHORTEST_CHAIN: usize = 4;

/// Decode what `verify` let pass.
pub(super) fn decoded(program: &[Instruction]) -> Decoded {
    let ops = (0..)
        .zip(program)
        .map(|(at, &instruction)| op(at, instruction))
        .collect();
    let (ops, numbers) = listed(threaded(ops));
    let ops = (0..ops.len()).map(|at| fused(at, &ops[at..])).collect();
    Decoded { ops, numbers }
}

fn op(at: u32, Instruction { code, jt, jf, k }: Instruction) -> Op {
    let slot = (k & 15) as u8;
    match code {
        0x20 | 0x28 | 0x30 => load(code, k),
        0x40 => Op::WordX(k),
        0x48 => Op::HalfX(k),
        0x50 => Op::ByteX(k),
        0x00 => Op::Immediate(k),
        0x80 => Op::Length,
        0x60 => Op::Recall(slot),
        0x01 => Op::ImmediateX(k),
        0x81 => Op::LengthX,
        0x61 => Op::RecallX(slot),
        0xb1 => Op::HeaderX(k),
        0x02 => Op::Store(slot),
        0x03 => Op::StoreX(slot),
        0x07 => Op::ToX,
        0x87 => Op::FromX,
        0x16 => Op::ReturnA,
        0x05 => Op::Jump((at + 1 + k) as To),
        _ if code & 7 == 4 => arithmetic(code, k),
        _ if code & 7 == 5 => condition(
            code,
            k,
            (at + 1 + u32::from(jt)) as To,
            (at + 1 + u32::from(jf)) as To,
        ),
        _ => Op::Return(k),
    }
}

/// A jump to a jump goes where that one goes.
fn threaded(mut ops: Vec<Op>) -> Vec<Op> {
    for at in (0..ops.len()).rev() {
        let goes = |to: To| match ops.get(usize::from(to)) {
            Some(&Op::Jump(onward)) => onward,
            _ => to,
        };
        ops[at] = match ops[at] {
            Op::Jump(to) => Op::Jump(goes(to)),
            Op::Equal(k, then, otherwise) => Op::Equal(k, goes(then), goes(otherwise)),
            Op::Greater(k, then, otherwise) => Op::Greater(k, goes(then), goes(otherwise)),
            Op::AtLeast(k, then, otherwise) => Op::AtLeast(k, goes(then), goes(otherwise)),
            Op::Bits(k, then, otherwise) => Op::Bits(k, goes(then), goes(otherwise)),
            Op::AtLeastX(then, otherwise) => Op::AtLeastX(goes(then), goes(otherwise)),
            other => other,
        };
    }
    ops
}

/// Comparisons of A one behind the other that all lead to the same place become a look into a list.
///
/// A jump into the middle of them looks into the rest of the list.
fn listed(mut ops: Vec<Op>) -> (Vec<Op>, Vec<u32>) {
    let (mut numbers, mut at) = (Vec::new(), 0);
    while at < ops.len() {
        let (list, then, otherwise) = chain(at, &ops);
        for skipped in 0..(list.len() + 1).saturating_sub(SHORTEST_CHAIN) {
            let (from, count) = (numbers.len() + skipped, list.len() - skipped);
            ops[at + skipped] = Op::Among(from as u32, count as u16, then, otherwise);
        }
        at += list.len().max(1);
        numbers.extend(list);
    }
    (ops, numbers)
}

/// The numbers compared with from `at` on, where a match leads, and where none does.
fn chain(at: usize, ops: &[Op]) -> (Vec<u32>, To, To) {
    let (mut list, mut place, mut nowhere) = (Vec::new(), 0, 0);
    for (next, op) in (at + 1..).zip(&ops[at..]) {
        match *op {
            Op::Equal(k, then, otherwise) if list.is_empty() || then == place => {
                list.push(k);
                (place, nowhere) = (then, otherwise);
                if usize::from(otherwise) != next {
                    break;
                }
            }
            _ => break,
        }
    }
    (list, place, nowhere)
}

/// The sequence that begins here as one operation, if it is one that is often met.
fn fused(at: usize, ops: &[Op]) -> Op {
    match *ops {
        [Op::Word(at), Op::Equal(k, then, otherwise), ..] => Op::WordEqual(at, k, then, otherwise),
        [Op::Half(at), Op::Equal(k, then, otherwise), ..] => Op::HalfEqual(at, k, then, otherwise),
        [Op::Byte(at), Op::Equal(k, then, otherwise), ..] => Op::ByteEqual(at, k, then, otherwise),
        [Op::WordX(at), Op::Equal(k, then, otherwise), ..] => {
            Op::WordEqualX(at, k, then, otherwise)
        }
        [Op::HalfX(at), Op::Equal(k, then, otherwise), ..] => {
            Op::HalfEqualX(at, k, then, otherwise)
        }
        [Op::ByteX(at), Op::Equal(k, then, otherwise), ..] => {
            Op::ByteEqualX(at, k, then, otherwise)
        }
        [Op::Half(at), Op::Bits(k, then, otherwise), ..] => Op::HalfBits(at, k, then, otherwise),
        [Op::HalfX(at), Op::Bits(k, then, otherwise), ..] => Op::HalfBitsX(at, k, then, otherwise),
        [Op::ByteX(at), Op::Bits(k, then, otherwise), ..] => Op::ByteBitsX(at, k, then, otherwise),
        [Op::Length, Op::AtLeast(k, then, otherwise), ..] => Op::LengthAtLeast(k, then, otherwise),
        [Op::Length, Op::Add(k), Op::AtLeastX(then, otherwise), ..] => Op::Room(k, then, otherwise),
        [Op::FromX, Op::Add(k), Op::ToX, ..] => Op::Advance(k, (at + 3) as To),
        [first, ..] => first,
        [] => Op::Return(0),
    }
}

fn load(code: u16, k: u32) -> Op {
    match (ancillary(k), code) {
        (Some(data), _) => Op::Beside(data),
        (_, 0x20) => Op::Word(k),
        (_, 0x28) => Op::Half(k),
        _ => Op::Byte(k),
    }
}

fn arithmetic(code: u16, k: u32) -> Op {
    match code {
        0x04 => Op::Add(k),
        0x14 => Op::Add(k.wrapping_neg()),
        0x24 => Op::Multiply(k),
        0x34 => Op::Divide(k),
        0x44 => Op::Or(k),
        0x54 => Op::And(k),
        0x64 => Op::Left(k),
        0x74 => Op::Right(k),
        0x94 => Op::Modulo(k),
        0xa4 => Op::Xor(k),
        0x0c => Op::AddX,
        0x1c => Op::SubtractX,
        0x2c => Op::MultiplyX,
        0x3c => Op::DivideX,
        0x4c => Op::OrX,
        0x5c => Op::AndX,
        0x6c => Op::LeftX,
        0x7c => Op::RightX,
        0x9c => Op::ModuloX,
        0xac => Op::XorX,
        _ => Op::Negate,
    }
}

fn condition(code: u16, k: u32, then: To, otherwise: To) -> Op {
    match code {
        0x15 => Op::Equal(k, then, otherwise),
        0x25 => Op::Greater(k, then, otherwise),
        0x35 => Op::AtLeast(k, then, otherwise),
        0x45 => Op::Bits(k, then, otherwise),
        0x1d => Op::EqualX(then, otherwise),
        0x2d => Op::GreaterX(then, otherwise),
        0x3d => Op::AtLeastX(then, otherwise),
        _ => Op::BitsX(then, otherwise),
    }
}
