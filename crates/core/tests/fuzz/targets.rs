//! What must hold for any bytes.

use std::io::Cursor;

use tapwright_core::decap::{Decap, Options, Span};
use tapwright_core::read::{Item, ReadError, Reader, Step};

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
    let found = unwrapper.unwrap(link, Span::new(packet, wire));
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
    let again = unwrapper.unwrap(kind.link(), Span::new(bytes, inner_wire));
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
