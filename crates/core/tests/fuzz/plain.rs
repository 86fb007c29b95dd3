//! Classic BPF as its definition reads, one instruction after the other: what the interpreter is compared with.

use tapwright_core::bpf::Instruction;

/// `SKF_AD_OFF`, `SKF_NET_OFF`, `SKF_LL_OFF`: where offsets begin that mean something else.
const ANCILLARY: u32 = 0xffff_f000;
const NETWORK: u32 = 0xfff0_0000;
const LINK: u32 = 0xffe0_0000;

/// The verdict of a program that was verified, on a packet of which nothing is known but its bytes.
pub fn verdict(program: &[Instruction], packet: &[u8], length: u32) -> u32 {
    Machine {
        a: 0,
        x: 0,
        memory: [0; 16],
        packet,
        length,
    }
    .run(program)
    .unwrap_or(0)
}

struct Machine<'a> {
    a: u32,
    x: u32,
    memory: [u32; 16],
    packet: &'a [u8],
    length: u32,
}

impl Machine<'_> {
    fn run(&mut self, program: &[Instruction]) -> Option<u32> {
        let mut next = 0;
        loop {
            let Instruction { code, jt, jf, k } = program[next];
            next += 1;
            let operand = if code & 8 == 0 { k } else { self.x };
            match code & 7 {
                0 => self.a = self.load(code, k)?,
                1 => self.x = self.load(code, k)?,
                2 => self.memory[k as usize] = self.a,
                3 => self.memory[k as usize] = self.x,
                4 => self.a = computed(code & 0xf0, self.a, operand)?,
                5 => {
                    next += match code & 0xf0 {
                        0x00 => k as usize,
                        kind if holds(kind, self.a, operand) => jt.into(),
                        _ => jf.into(),
                    }
                }
                6 => return Some(if code == 0x16 { self.a } else { k }),
                _ if code == 0x07 => self.x = self.a,
                _ => self.a = self.x,
            }
        }
    }

    fn load(&self, code: u16, k: u32) -> Option<u32> {
        let size = [4, 2, 1][usize::from(code >> 3 & 3)];
        match code & 0xe0 {
            0x00 => Some(k),
            0x20 if k >= ANCILLARY => self.beside(k - ANCILLARY),
            0x20 => self.bytes(k, size),
            0x40 => self.bytes(self.x.wrapping_add(k), size),
            0x60 => Some(self.memory[k as usize]),
            0x80 => Some(self.length),
            _ => Some(4 * (self.bytes(k, 1)? & 0xf)),
        }
    }

    fn bytes(&self, offset: u32, size: usize) -> Option<u32> {
        let start = match offset {
            NETWORK.. => offset - NETWORK,
            LINK.. => offset - LINK,
            0x8000_0000.. => return None,
            _ => offset,
        } as usize;
        let bytes = self.packet.get(start..start.checked_add(size)?)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte)),
        )
    }

    /// Ancillary data; of the device nothing can be said, and `SKF_AD_ALU_XOR_X` is no data at all.
    fn beside(&self, number: u32) -> Option<u32> {
        match number {
            8 => None,
            40 => Some(self.a ^ self.x),
            _ => Some(0),
        }
    }
}

/// A shift counts modulo 32; None where a division by 0 is asked for.
fn computed(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a << (operand & 31),
        0x70 => a >> (operand & 31),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        _ => a ^ operand,
    })
}

fn holds(kind: u16, a: u32, operand: u32) -> bool {
    match kind {
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        _ => a & operand != 0,
    }
}
