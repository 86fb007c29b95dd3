"""An expression in each of its places: inner Ethernet, inner IP, not wrapped, and the whole packet."""

import pytest

from support.bpf import libpcap_verdicts
from support.frames import whole_frames
from support.judges import RAW_LINK, compiled, pcap_verdicts
from tapwright.errors import FilterError
from tapwright.filter.inner import compile_inner
from tapwright.filter.libpcap import offline, raw_ip
from tapwright.filter.program import Program
from tapwright.model import Vnic

FRAMES = whole_frames(9, 400)
PACKETS = [frame[14:] for frame in FRAMES if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]
MAC = "02:00:00:00:00:01"


def raw_verdicts(text: str) -> list[bool]:
    program = compile_inner(text).raw
    return [bool(v) for v in pcap_verdicts(program.code, [(p, len(p)) for p in PACKETS])] if program else []


def libpcap_on_raw(text: str) -> list[bool]:
    return [bool(v) for v in pcap_verdicts(compiled(text, RAW_LINK) or b"", [(p, len(p)) for p in PACKETS])]


def test_every_place_has_its_program():
    given = compile_inner("tcp port 80", outer="udp")
    assert given.ethernet.code == given.plain.code == offline("tcp port 80")
    assert given.raw.code == raw_ip("tcp port 80")
    assert given.outer.code == offline("udp")


def test_nothing_said_is_everything():
    given = compile_inner("")
    assert given.ethernet == given.raw == given.plain == Program.keep_all()
    assert given.outer is None
    assert compile_inner("tcp", outer="  ").outer is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (f"ether host {MAC} or tcp port 80", "tcp port 80"),
        (f"tcp and not ether src {MAC}", "tcp"),
        (f"(ether src host {MAC} or src host 10.0.0.1) and tcp", "src host 10.0.0.1 and tcp"),
        (f"not (ether dst host {MAC.upper()}) and udp", "udp"),
    ],
)
def test_an_ip_packet_has_no_mac_address(text, same):
    assert raw_verdicts(text) == libpcap_on_raw(same)
    assert True in raw_verdicts(text)


@pytest.mark.parametrize("text", [f"ether host {MAC}", "arp", "vlan 5 and tcp", "ether[0] & 1 = 1", "stp"])
def test_what_is_ethernet_alone_matches_no_ip_packet(text):
    assert compile_inner(text).raw is None or True not in raw_verdicts(text)


def test_a_vm_is_its_addresses_and_on_raw_ip_its_ip_addresses():
    nic = Vnic("eth0", mac=MAC, addresses=("10.0.0.1/24",))
    given = compile_inner("vm web and tcp", lambda _name: [nic])
    text = f"(ether host {MAC} or host 10.0.0.1) and tcp"
    verdicts = pcap_verdicts(given.ethernet.code, [(frame, len(frame)) for frame in FRAMES])
    assert [bool(verdict) for verdict in verdicts] == libpcap_verdicts(text, FRAMES)
    assert given.raw.code == raw_ip("((ip and ip6) or host 10.0.0.1) and tcp")


def test_only_what_is_outside_is_compiled_for_a_live_socket():
    asked = []

    def live(text: str, *, optimise: bool = True) -> bytes:
        asked.append(text)
        return offline(text, optimise=optimise)

    compile_inner("vlan 5 and tcp", outer="vlan 7", live=live)
    assert asked == ["vlan 5 and tcp", "vlan 7"]


@pytest.mark.parametrize(("text", "outer", "position"), [("tcp prot 80", "", 4), ("tcp", "host", None)])
def test_a_mistake_has_its_place(text, outer, position):
    with pytest.raises(FilterError) as refused:
        compile_inner(text, outer=outer)
    assert position is None or refused.value.position == position
