//! What must hold for any bytes.

use std::io::Cursor;

use tapwright_core::bpf::{Instruction, Program};
use tapwright_core::decap::{Decap, Options};
use tapwright_core::read::{Item, ReadError, Reader, Step};

use crate::plain;

/// Link types that are looked into, and one that is not.
const LINKS: [u16; 12] = [1, 101, 113, 276, 0, 108, 9, 50, 51, 104, 219, 195];

/// The first byte chooses link type and how much longer the packet was on the wire; the rest is the packet.
pub fn decap(data: &[u8]) {
    let Some((&first, packet)) = data.split_first() else {
        return;
    };
    let link = LINKS[usize::from(first & 15) % LINKS.len()];
    let wire = packet.len() + usize::from(first >> 4) * 4;
    let mut unwrapper = Decap::new(&Options::default());
    let found = unwrapper.unwrap(link, packet, wire as u32);
    let (bytes, at) = (found.frame.span.bytes(), found.frame.span.at());
    assert_eq!(
        packet.get(at..at + bytes.len()),
        Some(bytes),
        "a frame is part of its packet"
    );
    assert!(found.frame.span.wire() >= bytes.len());
    assert!(found.wrappings.len() <= Options::default().depth);
    if found.wrappings.is_empty() {
        assert_eq!(
            (bytes, found.frame.kind.link()),
            (packet, if link == 101 { 101 } else { link })
        );
        return;
    }
    let deep = found.wrappings.len() == Options::default().depth;
    let (kind, inner_wire) = (found.frame.kind, found.frame.span.wire());
    let again = unwrapper.unwrap(kind.link(), bytes, inner_wire as u32);
    assert!(
        deep || again.wrappings.is_empty(),
        "the innermost frame holds no other"
    );
}

/// Most that is read of what a few bytes decompress to.
const MOST: u64 = 8 << 20;

/// A file of any kind.
pub fn reader(data: &[u8]) {
    let stream = Cursor::new(data.to_vec());
    let mut reader = match Reader::of_stream(Box::new(stream)) {
        Ok(reader) => reader,
        Err(error) => return told(&error),
    };
    let (mut items, mut before) = (0_u64, 0);
    loop {
        match reader.advance() {
            Ok(Step::End) => return,
            Ok(_) => check(&reader),
            Err(error) => return told(&error),
        }
        items += 1;
        assert!(
            reader.offset() > before || items == 1,
            "every item takes some of the file"
        );
        before = reader.offset();
        if before > MOST {
            return;
        }
    }
}

fn check(reader: &Reader) {
    match reader.item() {
        Item::Packet(packet) => {
            assert!(reader.interfaces().len() > packet.interface as usize);
            assert!(packet.data.len() as u64 <= reader.offset());
            assert_eq!(packet.options.len() % 4, 0);
        }
        Item::Interface(index) => assert!(reader.interfaces().len() > index as usize),
        Item::Statistics(counts) => assert!(reader.interfaces().len() > counts.interface as usize),
        Item::Section(_) | Item::Block(_) => {}
    }
}

fn told(error: &ReadError) {
    assert!(!error.to_string().is_empty());
    if let ReadError::Io(error) = error {
        panic!("memory cannot fail to be read: {error}");
    }
}

/// Operations that a kernel knows, in the order of their codes.
const OPERATIONS: [u16; 49] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c, 0x1d, 0x20, 0x24,
    0x25, 0x28, 0x2c, 0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40, 0x44, 0x45, 0x48, 0x4c, 0x4d, 0x50,
    0x54, 0x5c, 0x60, 0x61, 0x64, 0x6c, 0x74, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9c, 0xa4, 0xac,
    0xb1,
];

/// The first byte is the number of instructions, which follow (little endian); the rest is a packet.
///
/// The program must be refused, or give the verdict that its definition gives; so must what it becomes when
/// all that would have it refused is put right.
pub fn interpreter(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else {
        return;
    };
    let (program, packet) = rest.split_at(rest.len().min(usize::from(count) * 8));
    let given: Vec<_> = program.chunks_exact(8).map(instruction).collect();
    agree(&given, packet);
    agree(&repaired(&given), packet);
}

fn agree(program: &[Instruction], packet: &[u8]) {
    let Ok(checked) = Program::new(program) else {
        return;
    };
    for length in [packet.len() as u32, packet.len() as u32 + 9] {
        let verdict = checked.run(packet, length);
        assert_eq!(
            verdict,
            plain::verdict(program, packet, length),
            "{program:x?}"
        );
    }
}

/// An instruction as a fuzzer has it.
fn instruction(bytes: &[u8]) -> Instruction {
    Instruction {
        code: u16::from_le_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

/// The same with operations, constants, slots and jumps that there are, and a return at the end.
fn repaired(program: &[Instruction]) -> Vec<Instruction> {
    let put = |code, k| Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let stores = (0..16).map(|slot| put(0x02, slot));
    let behind = (0..program.len()).rev();
    let whole = program.iter().zip(behind).map(|(&given, left)| {
        let code = match OPERATIONS.binary_search(&given.code) {
            Ok(_) => given.code,
            Err(_) => OPERATIONS[usize::from(given.code) % OPERATIONS.len()],
        };
        let reach = left.min(255) as u8;
        let k = match code {
            0x02 | 0x03 | 0x60 | 0x61 => given.k & 15,
            0x05 => given.k.min(left as u32),
            0x34 | 0x94 => given.k.max(1),
            0x64 | 0x74 => given.k & 31,
            0x20 | 0x28 | 0x30 if given.k >= 0xffff_f000 => 0xffff_f028, // A ^= X
            _ => given.k,
        };
        Instruction {
            code,
            jt: given.jt.min(reach),
            jf: given.jf.min(reach),
            k,
        }
    });
    stores.chain(whole).chain([put(0x16, 0)]).collect()
}
