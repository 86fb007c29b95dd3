//! Classic BPF, run here instead of in the kernel: on files, and where a program is too long for a kernel.
//!
//! A program is checked once, when it is made, by the rules of the kernel (`net/core/filter.c`,
//! `bpf_check_classic`) and decoded into operations; what then runs cannot fail.  The verdict is the
//! kernel's own for the same packet, ancillary data and negative offsets included.  One thing differs:
//! a program may be longer than the kernel's 4,096 instructions.

mod decode;
mod run;
mod verify;

use decode::{decoded, Decoded};
use thiserror::Error;

/// Longest program taken, in instructions.
pub const MAX_INSTRUCTIONS: usize = 0xffff;
/// Words of scratch memory.
const SLOTS: usize = 16;
/// `SKF_AD_OFF`: from here on an absolute offset names ancillary data.
const ANCILLARY: u32 = 0xffff_f000;

/// One `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation, operand and size.
    pub code: u16,
    /// Instructions to skip when a condition holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// Why a program is not taken; numbers are of instructions, from 0.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// No instructions, or a part of one.
    #[error("{0} bytes are no program: an instruction has 8")]
    Size(usize),
    /// More than `MAX_INSTRUCTIONS`.
    #[error("a program of {0} instructions is too long")]
    TooLong(usize),
    /// No such operation.
    #[error("instruction {0}: no operation has the code {1:#06x}")]
    Code(usize, u16),
    /// Ancillary data that only a kernel has, or nobody.
    #[error("instruction {0}: ancillary data {1:#010x} is not known outside the kernel")]
    Ancillary(usize, u32),
    /// A division by the constant 0, or a shift by a constant of 32 or more.
    #[error("instruction {0}: cannot compute with the constant {1}")]
    Constant(usize, u32),
    /// A slot of scratch memory that there is not.
    #[error("instruction {0}: there is no M[{1}]")]
    Slot(usize, u32),
    /// A slot is read that on some way there nothing was stored in.
    #[error("instruction {0}: M[{1}] is read before it is written")]
    Unwritten(usize, u32),
    /// A jump out of the program.
    #[error("instruction {0}: jumps out of the program")]
    Jump(usize),
    /// No return at the end.
    #[error("the last instruction is no return")]
    End,
}

/// What is known about a packet beside its bytes; in most files nothing is, which is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// `EtherType` as the kernel has it.
    pub protocol: u16,
    /// `PACKET_HOST` 0, broadcast 1, multicast 2, other host 3, outgoing 4.
    pub kind: u8,
    /// Index of the device; 0 when it came from none, and a program that asks for it refuses the packet.
    pub device: u32,
    /// `EtherType` and TCI of the outermost VLAN tag, where that is not in the frame.
    pub vlan: Option<(u16, u16)>,
    /// Where the network header begins.
    pub network: u32,
}

/// A program that has been checked.
#[derive(Clone, Debug)]
pub struct Program {
    decoded: Decoded,
}

impl Program {
    /// Check and decode.
    pub fn new(instructions: &[Instruction]) -> Result<Self, Refused> {
        verify::verify(instructions)?;
        Ok(Self {
            decoded: decoded(instructions),
        })
    }

    /// The same from packed `struct sock_filter`, native byte order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        let packed = bytes.chunks_exact(8);
        if bytes.is_empty() || !packed.remainder().is_empty() {
            return Err(Refused::Size(bytes.len()));
        }
        Self::new(
            &packed
                .filter_map(|chunk| chunk.first_chunk().copied())
                .map(unpacked)
                .collect::<Vec<_>>(),
        )
    }

    /// How many bytes of the packet to keep; 0 refuses it.
    ///
    /// `data` is what was captured of it, `length` what it was on the wire.
    #[inline]
    pub fn run(&self, data: &[u8], length: u32) -> u32 {
        self.run_with(data, length, &Beside::default())
    }

    /// The same with what is known about the packet beside its bytes.
    #[inline]
    pub fn run_with(&self, data: &[u8], length: u32, beside: &Beside) -> u32 {
        run::run(&self.decoded, data, length, beside).unwrap_or(0)
    }

    /// Number of instructions.
    pub const fn len(&self) -> usize {
        self.decoded.ops.len()
    }

    /// Never: a program has a return at least.
    pub const fn is_empty(&self) -> bool {
        self.decoded.ops.is_empty()
    }
}

fn unpacked(bytes: [u8; 8]) -> Instruction {
    let [code @ .., _, _, _, _, _, _] = bytes;
    let [_, _, jt, jf, k @ ..] = bytes;
    Instruction {
        code: u16::from_ne_bytes(code),
        jt,
        jf,
        k: u32::from_ne_bytes(k),
    }
}

#[cfg(test)]
mod tests;
