use super::super::craft::{data, read, Craft, Got};
use super::super::each_option;
use super::*;

const ORDERS: [Order; 2] = [Order::Little, Order::Big];

fn start(order: Order) -> Craft {
    Craft::new(order).section().interface(1, 6)
}

fn packets(got: &[Got]) -> Vec<&Got> {
    got.iter()
        .filter(|item| matches!(item, Got::Packet { .. }))
        .collect()
}

#[test]
fn enhanced_packets_in_both_orders_with_options() {
    for order in ORDERS {
        let flags = Craft::new(order).u32(6).bytes;
        let options = |b: Craft| b.option(2, &flags).option(1, b"hey").u32(0);
        let file = start(order)
            .block(6, |b| {
                options(b.u32(0).u32(0).u32(7).u32(3).u32(60).padded(b"abc"))
            })
            .bytes;
        let (got, error) = read(&file);
        assert!(error.is_none());
        let [Got::Packet {
            interface: 0,
            time: Some(7000),
            wire: 60,
            data,
            options,
        }] = packets(&got)[..]
        else {
            panic!("{got:?}")
        };
        assert_eq!(data, b"abc");
        let found: Vec<_> = each_option(options).collect();
        assert_eq!(found, [(2, &6_u32.to_ne_bytes()[..]), (1, &b"hey"[..])]);
    }
}

#[test]
fn simple_and_obsolete_packets() {
    for order in ORDERS {
        let file = Craft::new(order)
            .section()
            .block(1, |b| b.u16(1).u16(0).u32(4))
            .block(3, |b| b.u32(60).data(b"abcd"))
            .block(2, |b| {
                b.u16(0).u16(5).u32(0).u32(9).u32(2).u32(2).padded(b"xy")
            })
            .bytes;
        let (got, error) = read(&file);
        assert!(error.is_none());
        let found = packets(&got);
        assert!(
            matches!(found[0], Got::Packet { time: None, wire: 60, data, .. } if data == b"abcd")
        );
        let Got::Packet {
            time,
            data,
            options,
            ..
        } = found[1]
        else {
            panic!()
        };
        assert_eq!((*time, &data[..]), (Some(9000), &b"xy"[..]));
        assert_eq!(
            each_option(options).next(),
            Some((4, &5_u64.to_ne_bytes()[..]))
        );
    }
}

#[test]
fn sections_of_different_byte_order_number_their_interfaces_anew() {
    let second = Craft::new(Order::Big)
        .section()
        .interface(101, 9)
        .interface(113, 0)
        .packet(1, 3, b"two")
        .bytes;
    let file = start(Order::Little)
        .packet(0, 1, b"one")
        .data(&second)
        .bytes;
    let (got, error) = read(&file);
    assert!(error.is_none());
    assert!(matches!(
        packets(&got)[1],
        Got::Packet {
            interface: 2,
            time: Some(3_000_000_000),
            ..
        }
    ));
}

#[test]
fn statistics_in_the_interfaces_unit() {
    for order in ORDERS {
        let seven = Craft::new(order).u64(7).bytes;
        let start_time = Craft::new(order).u32(0).u32(5).bytes;
        let file = start(order)
            .block(5, |b| {
                b.u32(0)
                    .u32(0)
                    .u32(9)
                    .option(2, &start_time)
                    .option(7, &seven)
                    .option(1, b"adds up")
                    .u32(0)
            })
            .bytes;
        let (got, _) = read(&file);
        let Got::Other(text) = got.last().unwrap() else {
            panic!()
        };
        let comment = format!("{:?}", b"adds up");
        for part in [
            "time: 9000",
            "start: Some(5000)",
            "os_dropped: Some(7)",
            "received: None",
            &comment,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn names_and_secrets_turn_into_our_byte_order() {
    let blocks = |order| {
        Craft::new(order)
            .section()
            .block(4, |b| {
                b.option(1, b"\x0a\0\0\x05db-3\0")
                    .u32(0)
                    .option(2, b"dns")
                    .u32(0)
            })
            .block(10, |b| b.u32(0x544c_534b).u32(6).padded(b"SECRET"))
            .bytes
    };
    assert_eq!(
        read(&blocks(Order::Little)).0[1..],
        read(&blocks(Order::Big)).0[1..]
    );
}

#[test]
fn what_nobody_knows_is_told_and_stepped_over() {
    let file = start(Order::Little)
        .block(0x8000_0007, |b| b.u32(1))
        .block(0x4000_0bad, |b| b.u32(9))
        .packet(0, 1, b"x")
        .bytes;
    let (got, error) = read(&file);
    assert!(error.is_none());
    assert_eq!(data(&got), [b"x"]);
    let others = format!("{got:?}");
    assert!(others.contains("Unknown(2147483655)") && others.contains("CustomFixed"));
}

#[test]
fn options_that_must_not_be_copied_are_not_given() {
    for order in ORDERS {
        let file = start(order)
            .block(6, |b| {
                b.u32(0)
                    .u64(0)
                    .u32(0)
                    .u32(0)
                    .option(19372, b"\0\0\0\x09secret")
                    .option(1, b"kept")
                    .u32(0)
            })
            .bytes;
        let (got, _) = read(&file);
        let [Got::Packet { options, .. }] = packets(&got)[..] else {
            panic!()
        };
        assert_eq!(
            each_option(options).collect::<Vec<_>>(),
            [(1, &b"kept"[..])]
        );
    }
}

fn damage(file: &Craft) -> String {
    let (got, error) = read(&file.bytes);
    assert_eq!(data(&got), [b"fine"], "what came before the damage");
    error.unwrap().to_string()
}

#[test]
fn damage_is_told_with_its_place_after_everything_before_it() {
    let fine = || start(Order::Big).packet(0, 1, b"fine");
    let place = fine().bytes.len();
    let at = |what: &str| format!("damaged at byte {place}: {what}");
    assert_eq!(
        damage(&fine().packet(7, 1, b"x")),
        at("packet of interface 7, which is not described")
    );
    assert_eq!(
        damage(&fine().u32(6).u32(8).u32(0)),
        at("block of 8 bytes, at least 12 make sense")
    );
    assert_eq!(
        damage(&fine().u32(6).u32(0x7fff_fff0)),
        at("block of 2147483632 bytes, at most 16777216 make sense")
    );
    assert_eq!(
        damage(&fine().u32(6).u32(16).u32(0).u32(12)),
        at("block begins with length 16 and ends with 12")
    );
    assert_eq!(
        damage(&fine().u32(6)),
        at("cut short: 8 bytes needed, 4 there")
    );
    assert_eq!(
        damage(&fine().u32(6).u32(64).u32(0)),
        at("cut short: 64 bytes needed, 12 there")
    );
    assert_eq!(
        damage(&fine().block(6, |b| b.u32(0))),
        at("block body of 4 bytes, at least 8 make sense")
    );
    assert_eq!(
        damage(&fine().block(6, |b| b.u32(0).u64(0).u32(99).u32(99))),
        at("packet of 99 bytes, at most 0 make sense")
    );
    assert_eq!(
        damage(&fine().block(0x0a0d_0d0a, |b| b.u32(7))),
        at("section header with byte-order magic 0x07000000")
    );
}

#[test]
fn cut_anywhere_it_never_gives_a_packet_that_was_not_there() {
    let file = start(Order::Little)
        .packet(0, 1, b"abcd")
        .packet(0, 2, b"efghi")
        .bytes;
    for length in 0..file.len() {
        let (got, _) = read(&file[..length]);
        assert!([b"abcd".to_vec(), b"efghi".to_vec()].starts_with(&data(&got)));
    }
}

#[test]
fn more_interfaces_than_anybody_has_end_it() {
    let mut file = start(Order::Little).packet(0, 1, b"fine");
    for _ in 0..MOST_INTERFACES {
        file = file.block(1, |b| b.u16(1).u16(0).u32(0));
    }
    assert!(damage(&file).ends_with("more interfaces than anybody has"));
}
