"""Captures of other projects, with what tshark says is in each packet (see the folder's INDEX.md)."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import shark
from support.captures import Read, read
from support.corpus import FOLDER
from tapwright import read as reading
from tapwright.errors import TapwrightError

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text())
GROUPS = sorted({row["group"] for row in INDEX})
TUNNELS = {"mpls", "pppoes", "gtp", "gre", "nsh"}
LINKS = {0, 1, 9, 12, 50, 101, 113, 228, 229, 276}
"""Link layers we look into; PKTAP, Juniper's and the like stay as they are."""
SHORTER = {"mpls/zeek__mpls-6in6-6in6-4in6-trunc.pcap"}
"""The outer header ends before the inner packet does: tshark's own IP layer has 4 bytes there, as ours has."""


def rows(group: str) -> Iterator[dict[str, Any]]:
    return (row for row in INDEX if row["group"] == group)


def truth(row: dict[str, Any]) -> list[dict[str, Any]]:
    with gzip.open(FOLDER / f"{row['file']}.truth.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def plain_copy(row: dict[str, Any], target: Path) -> list[Read]:
    """The packets themselves, by the same reader; `test_every_packet_is_read` judges that one."""
    request = reading.Request((str(FOLDER / row["file"]),), str(target), force=True)
    reading.slice_file(request, reading.Part()).result()
    return read(target)


def is_wrapped(packet: dict[str, Any]) -> bool:
    inner = packet.get("inner", {})
    deep = inner.get("depth_ip", 1) > 1 or inner.get("off_eth", 0) > 0
    return deep or any(layer[0] in TUNNELS for layer in packet["L"])


def ip_of(link: int, frame: bytes) -> bytes:
    """The IP packet in a frame, cut at its own length."""
    at = {113: 16, 276: 20}.get(link, 0)
    if link == 1:
        at = 14
        while frame[at - 2 : at] in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
            at += 4
    return cut(frame[at:])


def cut(packet: bytes) -> bytes:
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return packet[: int.from_bytes(packet[2:4])] if packet[2:4] > b"\0\x13" else packet
    if len(packet) >= 40 and packet[0] >> 4 == 6:
        return packet[: 40 + int.from_bytes(packet[4:6])] if packet[4:6] != b"\0\0" else packet
    return packet


@pytest.mark.parametrize("group", GROUPS)
def test_every_wrapped_packet_comes_out_byte_exact(group: str, tmp_path: Path) -> None:
    wrong, judged = [], 0
    for row in rows(group):
        source, target = FOLDER / row["file"], tmp_path / "out.pcapng"
        reading.decap(reading.Request((str(source),), str(target), force=True)).result()
        for packet, original, got in zip(
            truth(row), plain_copy(row, tmp_path / "copy.pcapng"), read(target), strict=False
        ):
            if "bad" in packet or original.link not in LINKS or row["file"] in SHORTER:
                continue
            judged += 1
            if not exact(packet, original, got):
                wrong.append((row["file"], packet["n"], packet["protos"]))
    assert not wrong
    assert judged or group == "l2tp", "nothing was judged"


def exact(packet: dict[str, Any], original: Read, got: Read) -> bool:
    """Whether `got` is the innermost frame tshark found, and nothing else is changed."""
    inner = packet.get("inner", {})
    if got.time != original.time:
        return False
    if not is_wrapped(packet):
        return got.data == original.data or got.interface.startswith(("pbb", "fabricpath", "tzsp"))
    if "off_ip" not in inner:
        return original.data[inner["off_eth"] :].startswith(got.data) and len(got.data) >= 14
    return ip_of(got.link, got.data) == cut(original.data[inner["off_ip"] :])


@pytest.mark.parametrize("group", GROUPS)
def test_every_packet_is_read(group: str, tmp_path: Path) -> None:
    """The same packets as tshark reads, with the same times and lengths; others only where it gives up earlier."""
    for row in rows(group):
        copy = plain_copy(row, tmp_path / "copy.pcapng")
        facts = [fact for fact in truth(row) if fact.get("link")]  # tshark counts custom blocks, which have none
        assert len(copy) == len(facts) or row["tshark_rc"], row["file"]
        for got, fact in zip(copy, facts, strict=False):
            if "bad" not in fact and not str(fact["ts"]).startswith("-"):
                assert (len(got.data), got.wire, got.time) == (fact["cap"], fact["wire"], nanoseconds(fact["ts"])), row[
                    "file"
                ]


def nanoseconds(text: str | None) -> int:
    """tshark writes a fraction of more than a second as it is; a Simple Packet Block has no time; ours end in 2554."""
    seconds, _, fraction = (text or "0.0").partition(".")
    return min(int(seconds) * 10**9 + int(fraction), 2**64 - 1)


@pytest.mark.parametrize("group", GROUPS)
def test_no_file_confuses_any_verb(group: str, tmp_path: Path) -> None:
    for row in rows(group):
        path = str(FOLDER / row["file"])
        found = reading.info(path).result()
        asked = reading.Request((path,), str(tmp_path / "out.pcapng"), force=True)
        assert reading.filter_file(asked).result().totals.written == found.amount.packets
        assert reading.filter_file(asked, ids=[1]).result().totals.packets == found.amount.packets
        folder = tmp_path / "parts"
        folder.mkdir(exist_ok=True)
        for by in ("vm", "vni", "flow"):
            parts = reading.Request((path,), f"{folder}/{{}}.pcapng", force=True)
            split = reading.split_file(parts, by, most=50).result()
            assert split.totals.written == found.amount.packets
            assert len(split.parts) <= 50
        try:
            reading.decap(reading.Request((path,), str(tmp_path / "out.pcap"), force=True)).result()
        except TapwrightError as error:
            assert "one link type" in error.message  # noqa: PT017


def test_what_we_write_is_read_without_a_complaint(tmp_path: Path) -> None:
    for row in INDEX[::8]:
        target = tmp_path / "out.pcapng"
        found = reading.decap(reading.Request((str(FOLDER / row["file"]),), str(target), force=True)).result()
        assert f"Number of packets:   {found.totals.written}\n" in exact_counts(target)


def exact_counts(path: Path) -> str:
    shark.capinfos(path)
    return subprocess.run(["capinfos", "-M", path], capture_output=True, text=True, check=True).stdout
