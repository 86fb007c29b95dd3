"""Unwrapping and filtering of files beside the reference decapsulator and the program that runs in the kernel."""

from pathlib import Path

import pytest

from support.captures import Packet, Pcap, Read, read
from support.inner import filters
from support.unwrap import Unwrapper
from support.wrap import WRAPPERS, wrapped_packets
from tapwright import _core
from tapwright import read as reading
from tapwright.filter.relocate import relocate
from tapwright.filter.wrapping import Wrapping
from tapwright.read.programs import programs

DEPTH = 2
START = 1_795_426_215_000_000_000


NAMES = tuple(name for name in WRAPPERS if name != "mpls")
"""In GRE the reference counts MPLS and GRE as one layer, and we as two."""


def layers(got: Read) -> int:
    return len(got.interface.split(" / ")) if got.interface else 0


@pytest.fixture(params=range(4), scope="module")
def packets(request: pytest.FixtureRequest) -> list[bytes]:
    return wrapped_packets(int(request.param), 1000, NAMES)


@pytest.fixture
def source(packets: list[bytes], tmp_path: Path) -> Path:
    path = tmp_path / "in.pcap"
    path.write_bytes(bytes(Pcap([Packet(data, time=START + number * 1000) for number, data in enumerate(packets)])))
    return path


def unwrapped(source: Path, target: Path) -> list[Read]:
    request = reading.Request((str(source),), str(target), force=True)
    reading.decap(request, reading.Unwrap(depth=DEPTH)).result()
    return read(target)


def test_the_same_frame_as_the_reference_finds(packets: list[bytes], source: Path, tmp_path: Path) -> None:
    """We go further where a kernel's program has to stop: more VLAN tags, extension headers, labels.

    And not as far where a length field was spoiled: the reference believes no lengths.
    """
    reference, same, shorter = Unwrapper(depth=DEPTH), 0, 0
    for data, got in zip(packets, unwrapped(source, tmp_path / "out.pcapng"), strict=True):
        found = reference.innermost(data)
        if layers(got) == len(found.layers):
            assert data[found.offset :].startswith(got.data), (found, data.hex())
            same += 1
        shorter += layers(got) < len(found.layers)
    assert same >= len(packets) * 0.8
    assert shorter <= len(packets) * 0.005


@pytest.mark.parametrize("text", ["tcp", "udp port 53 or icmp", "host 10.0.0.3", "ip6 or arp", "not ip"])
def test_files_and_kernel_agree(packets: list[bytes], source: Path, tmp_path: Path, text: str) -> None:
    """The relocated program, in our interpreter, on every packet of which both find the same frame."""
    program = _core.Bpf(relocate(filters(text), Wrapping(depth=DEPTH)).code)
    target, reference = tmp_path / "kept.pcapng", Unwrapper(depth=DEPTH)
    request = reading.Request((str(source),), str(target), force=True)
    reading.filter_file(request, programs(text), unwrap=reading.Unwrap(depth=DEPTH)).result()
    kept = {(packet.time - START) // 1000 for packet in read(target)}
    opened, compared = unwrapped(source, tmp_path / "out.pcapng"), 0
    for number, (data, verdict) in enumerate(zip(packets, program.run_all(packets), strict=True)):
        found, got = reference.innermost(data), opened[number]
        if len(data) == found.offset + len(got.data) and layers(got) == len(found.layers):
            compared += 1
            assert bool(verdict) == (number in kept), (number, found, data.hex())
    assert compared > len(packets) // 2
