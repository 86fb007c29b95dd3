"""Inner filters on real packets of every encapsulation; collected where the captures lie beside the checkout."""

import random
from collections import Counter
from functools import cache

import pytest

from support.captures import read
from support.corpus import FOLDER, Real, captures, packets
from support.expressions import EXPRESSIONS
from support.inner import Truth, differences, filters
from support.unwrap import NotCaptured, Unwrapper
from tapwright._core import Bpf
from tapwright.filter.inner import compile_inner
from tapwright.filter.relocate import relocate
from tapwright.filter.wrapping import Wrapping
from tapwright.read import Request, filter_file
from tapwright.read.programs import programs

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no captures of other projects beside this checkout")

FROM_EACH = 60


@cache
def real(most: int) -> list[Real]:
    return [packet for path in captures() for packet in packets(path, most)]


@cache
def tried() -> list[tuple[bytes, int]]:
    """As they are, cut as a snap length would, and with wrong bytes in their headers."""
    rng, found = random.Random(1), []
    for packet in real(FROM_EACH):
        spoiled = bytearray(packet.data)
        for _ in range(2):
            spoiled[rng.randrange(min(len(spoiled), 100))] ^= 1 << rng.randrange(8)
        found += [(packet.data, packet.length), (bytes(spoiled), packet.length)]
        found.append((packet.data[: rng.randrange(14, max(15, len(packet.data)))], packet.length))
    return found


def test_the_reference_finds_what_tshark_finds():
    """Every packet in which tshark finds nothing wrong and only headers that the filter knows."""
    unwrapper, agreed, wrapped = Unwrapper(depth=8), 0, 0
    for packet in real(2000):
        if (expected := packet.innermost()) is None:
            continue
        try:
            found = unwrapper.innermost(packet.data, packet.length)
        except NotCaptured:
            continue
        assert (found.kind, found.offset) == expected, (packet.file, packet.number)
        agreed, wrapped = agreed + 1, wrapped + bool(found.layers)
    assert agreed > 10_000
    assert wrapped > 1000


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("text", EXPRESSIONS[::4])
def test_the_verdict_is_that_on_the_inner_frame(text, depth):
    known = truth(depth)
    code, expected = relocate(filters(text), known.wrapping).code, known.verdicts(text)
    assert differences(code, known.packets, expected) == {}


OPENED = ("vxlan", "geneve", "gre", "erspan", "gtpu", "ipip", "mpls", "nvgre_teb", "vlan_qinq", "plain")
ALSO_OTHERS = {
    "gre/zeek__gre-pptp.pcap",
    "gtpu/zeek__gtp8_teredo.pcap",
    "ipip/nDPI__syslog.pcap",
    "mpls/zeek__mpls-6in6-6in6-4in6-trunc.pcap",
}
"""Captures with a tunnel that is opened in files alone, and one whose inner packet the outer cuts to 4 bytes."""


@pytest.mark.parametrize("text", ["tcp", "udp port 53", "arp or icmp", "ip6", "vlan", "ether[0] & 1 = 0"])
def test_a_file_is_filtered_as_the_kernel_would(text, tmp_path):
    kernels, offline = Bpf(relocate(compile_inner(text), Wrapping(depth=4)).code), programs(text)
    target, judged = tmp_path / "out.pcapng", 0
    for path in (path for path in captures() if path.parent.name in OPENED):
        name = str(path.relative_to(FOLDER))
        if name not in ALSO_OTHERS and (real := list(packets(path, 1 << 30))):
            filter_file(Request((str(path),), str(target), force=True), offline).result()
            expected = Counter(packet.data for packet in real if kernels.run(packet.data, packet.length))
            assert Counter(packet.data for packet in read(target)) == expected, name
            judged += len(real)
    assert judged > 10_000


@cache
def truth(depth: int) -> Truth:
    return Truth(Wrapping(depth=depth), tried())
