//! What the kernel checks before it takes a program (`bpf_check_classic`), but for its length.

use super::decode::ancillary;
use super::{Instruction, Refused, ANCILLARY, MAX_INSTRUCTIONS, SLOTS};

/// The operations the kernel knows (`chk_code_allowed`).
const ALLOWED: [u16; 49] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c, 0x1d, 0x20, 0x24,
    0x25, 0x28, 0x2c, 0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40, 0x44, 0x45, 0x48, 0x4c, 0x4d, 0x50,
    0x54, 0x5c, 0x60, 0x61, 0x64, 0x6c, 0x74, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9c, 0xa4, 0xac,
    0xb1,
];
const RETURN: u16 = 0x06;

pub(super) fn verify(program: &[Instruction]) -> Result<(), Refused> {
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Refused::TooLong(program.len()));
    }
    for (index, instruction) in program.iter().enumerate() {
        if !ALLOWED.contains(&instruction.code) {
            return Err(Refused::Code(index, instruction.code));
        }
        operand(index, *instruction)?;
        jump(index, *instruction, program.len())?;
    }
    if program.last().is_none_or(|last| last.code & 7 != RETURN) {
        return Err(Refused::End);
    }
    stores(program)
}

fn operand(index: usize, Instruction { code, k, .. }: Instruction) -> Result<(), Refused> {
    match code {
        0x34 | 0x94 if k == 0 => Err(Refused::Constant(index, k)),
        0x64 | 0x74 if k > 31 => Err(Refused::Constant(index, k)),
        0x20 | 0x28 | 0x30 if k >= ANCILLARY && ancillary(k).is_none() => {
            Err(Refused::Ancillary(index, k))
        }
        0x60 | 0x61 | 0x02 | 0x03 if k as usize >= SLOTS => Err(Refused::Slot(index, k)),
        _ => Ok(()),
    }
}

fn jump(
    index: usize,
    Instruction { code, jt, jf, k }: Instruction,
    len: usize,
) -> Result<(), Refused> {
    let farthest = match code {
        0x05 => k as usize,
        _ if code & 7 == 5 => usize::from(jt.max(jf)),
        _ => return Ok(()),
    };
    if farthest >= len - index - 1 {
        return Err(Refused::Jump(index));
    }
    Ok(())
}

/// No slot is read that was not written on every way there (`check_load_and_stores`).
///
/// As in the kernel, what stands behind a return counts as coming after it.
fn stores(program: &[Instruction]) -> Result<(), Refused> {
    let mut arriving = vec![u16::MAX; program.len()];
    let mut written = 0_u16;
    for (index, &Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        written &= arriving.get(index).copied().unwrap_or(0);
        let slot = 1_u16.checked_shl(k).unwrap_or(0);
        let mut leave = |skipped: usize| {
            if let Some(target) = arriving.get_mut(index + 1 + skipped) {
                *target &= written;
            }
        };
        match code {
            0x02 | 0x03 => written |= slot,
            0x60 | 0x61 if written & slot == 0 => return Err(Refused::Unwritten(index, k)),
            0x05 => {
                leave(k as usize);
                written = u16::MAX;
            }
            _ if code & 7 == 5 => {
                leave(jt.into());
                leave(jf.into());
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
