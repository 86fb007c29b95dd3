use super::{Beside, Instruction, Program, Refused};

const RETURN_A: (u16, u32) = (0x16, 0);

fn straight(ops: &[(u16, u32)]) -> Result<Program, Refused> {
    jumping(
        &ops.iter()
            .map(|&(code, k)| (code, 0, 0, k))
            .collect::<Vec<_>>(),
    )
}

fn jumping(ops: &[(u16, u8, u8, u32)]) -> Result<Program, Refused> {
    Program::new(
        &ops.iter()
            .map(|&(code, jt, jf, k)| Instruction { code, jt, jf, k })
            .collect::<Vec<_>>(),
    )
}

fn verdict(ops: &[(u16, u32)], data: &[u8]) -> u32 {
    straight(ops).unwrap().run(data, 100)
}

#[test]
fn loads_are_big_endian_and_within_the_packet() {
    let data = [1, 2, 3, 4, 5, 6];
    assert_eq!(verdict(&[(0x20, 1), RETURN_A], &data), 0x0203_0405);
    assert_eq!(verdict(&[(0x28, 4), RETURN_A], &data), 0x0506);
    assert_eq!(verdict(&[(0x30, 5), RETURN_A], &data), 6);
    assert_eq!(
        verdict(&[(0x01, 2), (0x40, 0), RETURN_A], &data),
        0x0304_0506
    );
    assert_eq!(verdict(&[(0xb1, 5), (0x87, 0), RETURN_A], &data), 24);
    for (code, k) in [
        (0x20, 3),
        (0x28, 5),
        (0x30, 6),
        (0x30, 0x7fff_ffff),
        (0xb1, 6),
    ] {
        assert_eq!(verdict(&[(code, k), (0x06, 1)], &data), 0, "{code:#x} {k}");
    }
    for x in [0xffff_ffff, 6, 0x8000_0000] {
        assert_eq!(verdict(&[(0x01, x), (0x50, 0), (0x06, 1)], &data), 0, "{x}");
    }
}

#[test]
fn an_index_wraps_around_as_in_the_kernel() {
    assert_eq!(
        verdict(&[(0x01, 0xffff_fffe), (0x50, 5), RETURN_A], &[0, 0, 0, 9]),
        9
    );
}

#[test]
fn negative_offsets_count_from_headers() {
    let data = [0, 1, 2, 3];
    let link = u32::MAX - 0x20_0000 + 1;
    let network = u32::MAX - 0x10_0000 + 1;
    assert_eq!(verdict(&[(0x30, link + 3), RETURN_A], &data), 3);
    let beside = Beside {
        network: 2,
        ..Beside::default()
    };
    assert_eq!(
        straight(&[(0x30, network + 1), RETURN_A])
            .unwrap()
            .run_with(&data, 4, &beside),
        3
    );
    assert_eq!(
        straight(&[(0x30, network + 2), (0x06, 1)])
            .unwrap()
            .run_with(&data, 4, &beside),
        0
    );
    assert_eq!(verdict(&[(0x30, link - 1), (0x06, 1)], &data), 0);
}

#[test]
fn arithmetic_wraps_and_never_traps() {
    let with_x = |code, a, x| verdict(&[(0x00, a), (0x01, x), (code, 0), RETURN_A], &[]);
    assert_eq!(with_x(0x0c, u32::MAX, 2), 1);
    assert_eq!(with_x(0x1c, 1, 2), u32::MAX);
    assert_eq!(with_x(0x2c, 0x8000_0000, 2), 0);
    assert_eq!(with_x(0x3c, 7, 2), 3);
    assert_eq!(with_x(0x9c, 7, 2), 1);
    assert_eq!(
        with_x(0x6c, 1, 33),
        2,
        "as the kernel does: the shift count modulo 32"
    );
    assert_eq!(with_x(0x7c, 4, 34), 1);
    assert_eq!(with_x(0xac, 5, 3), 6);
    assert_eq!(verdict(&[(0x00, 5), (0x14, 6), RETURN_A], &[]), u32::MAX);
    assert_eq!(verdict(&[(0x00, 1), (0x84, 0), RETURN_A], &[]), u32::MAX);
    for division in [0x3c, 0x9c] {
        assert_eq!(
            verdict(&[(0x00, 7), (0x01, 0), (division, 0), (0x06, 1)], &[]),
            0
        );
    }
}

#[test]
fn the_length_is_the_one_on_the_wire() {
    assert_eq!(verdict(&[(0x80, 0), RETURN_A], &[1, 2]), 100);
    assert_eq!(verdict(&[(0x81, 0), (0x87, 0), RETURN_A], &[1, 2]), 100);
}

#[test]
fn what_is_beside_the_packet() {
    let beside = Beside {
        protocol: 0x86dd,
        kind: 4,
        device: 7,
        vlan: Some((0x8100, 0x2064)),
        network: 14,
    };
    let known = |k: u32, beside: &Beside| {
        straight(&[(0x28, 0xffff_f000 + k), RETURN_A])
            .unwrap()
            .run_with(&[], 0, beside)
    };
    assert_eq!(
        [0, 4, 8, 44, 48, 60].map(|k| known(k, &beside)),
        [0x86dd, 4, 7, 0x2064, 1, 0x8100]
    );
    assert_eq!(
        [0, 4, 8, 44, 48, 60].map(|k| known(k, &Beside::default())),
        [0; 6]
    );
    assert_eq!(
        verdict(&[(0x28, 0xffff_f008), (0x06, 1)], &[]),
        0,
        "no device: refused"
    );
    assert_eq!(
        verdict(&[(0x00, 5), (0x01, 3), (0x20, 0xffff_f028), RETURN_A], &[]),
        6
    );
}

#[test]
fn jumps_go_both_ways() {
    let compare = |code, k| {
        [
            (0x30, 0, 0, 0),
            (code, 1, 0, k),
            (0x06, 0, 0, 1),
            (0x06, 0, 0, 2),
        ]
    };
    for (code, k, expected) in [
        (0x15, 5, 2),
        (0x15, 6, 1),
        (0x25, 5, 1),
        (0x35, 5, 2),
        (0x45, 4, 2),
        (0x45, 2, 1),
    ] {
        assert_eq!(
            jumping(&compare(code, k)).unwrap().run(&[5], 1),
            expected,
            "{code:#x} {k}"
        );
    }
    let x = |code, x| {
        [
            (0x01, 0, 0, x),
            (0x30, 0, 0, 0),
            (code, 1, 0, 0),
            (0x06, 0, 0, 1),
            (0x06, 0, 0, 2),
        ]
    };
    for (code, k, expected) in [(0x1d, 5, 2), (0x2d, 4, 2), (0x3d, 6, 1), (0x4d, 1, 2)] {
        assert_eq!(
            jumping(&x(code, k)).unwrap().run(&[5], 1),
            expected,
            "{code:#x} {k}"
        );
    }
    assert_eq!(
        straight(&[(0x05, 1), (0x06, 1), (0x06, 2)])
            .unwrap()
            .run(&[], 0),
        2
    );
}

#[test]
fn scratch_memory() {
    let ops = [
        (0x00, 7),
        (0x02, 15),
        (0x01, 8),
        (0x03, 0),
        (0x60, 0),
        (0x61, 15),
        (0x0c, 0),
        RETURN_A,
    ];
    assert_eq!(verdict(&ops, &[]), 15);
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    let end = (0x06, 0);
    assert_eq!(straight(&[]).unwrap_err(), Refused::End);
    assert_eq!(straight(&[(0x00, 1)]).unwrap_err(), Refused::End);
    assert_eq!(
        straight(&[(0x0e, 1), end]).unwrap_err(),
        Refused::Code(0, 0x0e),
        "ret x"
    );
    assert_eq!(
        straight(&[(0x34, 0), end]).unwrap_err(),
        Refused::Constant(0, 0)
    );
    assert_eq!(
        straight(&[(0x64, 32), end]).unwrap_err(),
        Refused::Constant(0, 32)
    );
    assert_eq!(
        straight(&[(0x02, 16), end]).unwrap_err(),
        Refused::Slot(0, 16)
    );
    assert_eq!(
        straight(&[(0x60, 3), end]).unwrap_err(),
        Refused::Unwritten(0, 3)
    );
    assert_eq!(straight(&[(0x05, 1), end]).unwrap_err(), Refused::Jump(0));
    assert_eq!(
        straight(&[(0x05, u32::MAX), end]).unwrap_err(),
        Refused::Jump(0)
    );
    assert_eq!(
        jumping(&[(0x15, 0, 1, 0), (0x06, 0, 0, 0)]).unwrap_err(),
        Refused::Jump(0)
    );
    assert_eq!(
        straight(&[(0x20, 0xffff_f024), end]).unwrap_err(),
        Refused::Ancillary(0, 0xffff_f024)
    );
    let one_way = [
        (0x15, 0, 1, 0),
        (0x02, 0, 0, 1),
        (0x60, 0, 0, 1),
        (0x06, 0, 0, 0),
    ];
    assert_eq!(jumping(&one_way).unwrap_err(), Refused::Unwritten(2, 1));
    assert_eq!(
        Program::from_bytes(&[6; 12]).unwrap_err(),
        Refused::Size(12)
    );
    assert_eq!(Program::from_bytes(&[]).unwrap_err(), Refused::Size(0));
}

#[test]
fn any_program_and_any_packet_give_a_verdict() {
    // A linear congruential generator: the same programs every time.
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let codes = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x07, 0x0c, 0x15, 0x16, 0x1c, 0x20, 0x2c, 0x30, 0x3c, 0x3d,
        0x40, 0x45, 0x48, 0x50, 0x60, 0x61, 0x6c, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x9c, 0xb1, 0x06,
        0x05, 0x94,
    ];
    let mut taken = 0;
    for _ in 0..200_000 {
        let mut ops: Vec<(u16, u8, u8, u32)> = (0..=random() % 8)
            .map(|_| {
                let k = [
                    0,
                    1,
                    5,
                    14,
                    40,
                    0xffff_ffff,
                    0x7fff_ffff,
                    0xffff_f02c,
                    0xfff0_0002,
                ][(random() % 9) as usize];
                (
                    codes[(random() % 32) as usize],
                    (random() % 3) as u8,
                    (random() % 3) as u8,
                    k,
                )
            })
            .collect();
        ops.push((0x16, 0, 0, 0));
        if let Ok(program) = jumping(&ops) {
            taken += 1;
            program.run(
                &[0x45, 0, 0, 40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 255, 254]
                    [..(random() % 17) as usize],
                random(),
            );
        }
    }
    assert!(taken > 10_000, "{taken}");
}
