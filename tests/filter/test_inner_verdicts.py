"""The inner filter says what libpcap says of the frame inside: in our interpreter, in libpcap's and in the kernel."""

import random
from functools import cache

import pytest

from support.expressions import EXPRESSIONS
from support.inner import Truth, differences, filters, whole
from support.judges import kernel_verdicts
from support.unwrap import NAMES
from support.wrap import wrapped_packets
from tapwright._core import Bpf
from tapwright.filter.relocate import Filters, relocate
from tapwright.filter.wrapping import Wrapping

COMPUTED = """\
udp or ip[ip[8] - 70] >= 0
ip[ip[1] - 20:2] > 100
ip[len - 50] = 0
ether[len - 1] = 0
ether[len - 14] & 3 = 1 or udp
ip[(ip[3] * 4):2] > 100
not ip[ip[8]:4] = 0
ip6[ip6[6]] & 1 = 0
tcp[tcp[12] >> 4] = 0 or arp
ip[0] << ip[1] = 69
1 << ip[8] > 5
ip[2:2] >> ip[8] = 0
len / ip[1] = 3
ip[2:2] % 7 = 3
ip[6] ^ ip[7] = 0x40
udp[udp[4:2] - 9] = 1 or tcp[tcp[13]:1] = 0
ip[ip[2:2] - 1] & 1 = 1 and ip[ip[3] & 0xf] < ip[9]
""".splitlines()
"""Offsets, shifts and divisions that only the packet decides: where the kernel and libpcap part ways."""

WRAPPINGS = {
    "default": Wrapping(),
    "one": Wrapping(depth=1),
    "three": Wrapping(depth=3),
    "vxlan": Wrapping(("vxlan",), plain=False),
    "gre": Wrapping(("gre", "erspan", "erspan-3"), depth=2),
    "number": Wrapping(ids=(5, 100)),
    "ports": Wrapping(ports={"vxlan": (6081, 4789), "geneve": (8472,), "gtp-u": (40000,)}),
    "bridged": Wrapping(raw=False, plain=False),
}
COUNT = 1200


@cache
def truth(name: str, count: int, cut: bool = False) -> Truth:
    packets = whole(wrapped_packets(11, count))
    if cut:
        rng = random.Random(12)
        packets = [(data[: rng.randrange(len(data) + 1)], length) for data, length in packets]
    return Truth(WRAPPINGS[name], packets)


@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.parametrize("text", EXPRESSIONS + COMPUTED)
def test_the_verdict_is_that_on_the_inner_frame(text, name, rounds):
    judge_by_kernel = name == "default" or (EXPRESSIONS + COMPUTED).index(text) % len(WRAPPINGS) == 0
    known = truth(name, COUNT * rounds)
    program = relocate(filters(text), WRAPPINGS[name])
    assert differences(program.code, known.packets, known.verdicts(text), kernel=judge_by_kernel) == {}


@pytest.mark.parametrize("text", EXPRESSIONS + COMPUTED)
def test_unoptimised_programs_too(text, rounds):
    known = truth("default", COUNT * rounds)
    program = relocate(filters(text, optimise=False), WRAPPINGS["default"])
    assert differences(program.code, known.packets, known.verdicts(text, optimise=False)) == {}


@pytest.mark.parametrize("name", ["default", "one", "gre"])
@pytest.mark.parametrize("text", EXPRESSIONS + COMPUTED)
def test_slices_of_packets(text, name, rounds):
    """Of a file with a snap length: what was not kept cannot match, and `len` is the length on the wire."""
    known = truth(name, COUNT * rounds, cut=True)
    code = relocate(filters(text), WRAPPINGS[name]).code
    assert differences(code, known.packets, known.verdicts(text)) == {}


@pytest.mark.parametrize("outer", ["src host 10.0.0.1", "not vlan and ip", "udp or ip6", "len > 100"])
@pytest.mark.parametrize("text", ["tcp", "not arp", "host 10.0.0.2", "udp or ip[ip[8] - 70] >= 0"])
def test_an_outer_filter_is_asked_first(text, outer, rounds):
    known = truth("default", COUNT * rounds)
    program = relocate(filters(text, outer=outer), WRAPPINGS["default"])
    assert differences(program.code, known.packets, known.verdicts(text, outer=outer)) == {}


@pytest.mark.parametrize("text", ["tcp", "not ip[ip[8]:4] = 0", "len > 60"])
@pytest.mark.parametrize("snaplen", [1, 64, 200])
def test_a_snap_length_counts_bytes_of_the_inner_frame(text, snaplen):
    known = truth("default", COUNT)
    code = relocate(filters(text), Wrapping(snaplen=snaplen)).code
    packets = [data for data, _ in known.packets]
    expected = [
        min(found.offset + snaplen, len(data)) if match and found else 0
        for match, found, data in zip(known.verdicts(text), known.found, packets, strict=True)
    ]
    assert kernel_verdicts(code, packets) in (expected, None)
    assert [min(v, len(p)) for v, p in zip(Bpf(code).run_all(packets), packets, strict=True)] == expected


@pytest.mark.parametrize("text", ["tcp", "tcp port 443 and host 10.0.0.3", "vlan and not arp"])
def test_an_ordinary_filter_has_room_in_the_smallest_of_kernels(text):
    """20,480 bytes for a socket's options, as it was for decades: all encapsulations, one in another."""
    assert kernel_verdicts(relocate(filters(text), WRAPPINGS["default"]).code, [b"?"]) is not None


def test_frames_that_are_not_wrapped_can_share_the_inner_program():
    from tapwright.filter.program import Program
    from tapwright.filter.relocate import relocated

    known = truth("default", COUNT)
    for text in EXPRESSIONS[::5] + COMPUTED[::3]:
        given = filters(text)
        compact = Program.of(relocated(given, WRAPPINGS["default"], compact=True))
        assert len(compact) < len(relocate(given, WRAPPINGS["default"]))
        assert differences(compact.code, known.packets, known.verdicts(text)) == {}


def test_without_a_program_for_raw_ip_no_raw_ip_matches():
    known = truth("default", COUNT)
    given = Filters(filters("ip").ethernet)
    raw = [bool(found and found.kind == "ip") for found in known.found]
    expected = [match and not bare for match, bare in zip(known.verdicts("ip"), raw, strict=True)]
    assert differences(relocate(given, WRAPPINGS["default"]).code, known.packets, expected) == {}


def test_the_packets_try_every_encapsulation_and_every_pair_of_them():
    found = truth("default", 12_000).found
    pairs = {one.layers for one in found if one}
    assert {(name,) for name in NAMES} <= pairs
    assert len([pair for pair in pairs if len(pair) == 2]) == len(NAMES) ** 2
    assert () in pairs


def test_the_packets_try_both_verdicts_of_nearly_every_filter():
    known = truth("default", 4 * COUNT)
    undecided = {text for text in EXPRESSIONS + COMPUTED if len(set(known.verdicts(text))) < 2}
    assert undecided <= {"len * 2 - 10 = 98", "pppoes", "stp"}
