"""The live table: what is shown when there is room, and what when there is not."""

import io

import pytest
from rich.console import Console

from tapwright.cli.watch_table import picture, title
from tapwright.find.live import Source, Subject, Traffic
from tapwright.find.statistics import Rates
from tapwright.model import Counters


def line(vm: str, source: Source = Source.DEVICE, bits: float = 0.0, **rates: float) -> Traffic:
    subject = Subject(f"id-of-{vm}", vm, "eth0", source, "br0", "vnet0")
    return Traffic(subject, Counters(), Rates(to_vm_bits=bits, **rates), 1.0)


def drawn(traffic: list[Traffic], width: int = 130, height: int = 40, heading: str = "h") -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=False).print(
        picture(traffic, heading, width, height)
    )
    return out.getvalue().splitlines()


EVERY_SOURCE = [line("web", source) for source in Source]


def test_every_source_where_there_is_room() -> None:
    _, _, *rows = drawn(EVERY_SOURCE)
    assert [row.split()[:3] for row in rows[:1]] == [["web", "eth0", "device"]]
    assert [row.split()[0] for row in rows[1:]] == ["switch", "guest"]


def test_one_source_a_vnic_where_there_is_less() -> None:
    _, _, *rows = drawn([*EVERY_SOURCE, line("db", Source.SWITCH), line("db", Source.GUEST)], height=5)
    assert [row.split()[:3] for row in rows] == [["web", "eth0", "device"], ["db", "eth0", "guest"]]


def test_the_busiest_where_there_is_least() -> None:
    many = [line(f"vm-{number}", bits=number * 1e6) for number in range(100)]
    rows = drawn(many, height=8)
    assert [row.split()[0] for row in rows[2:7]] == ["vm-99", "vm-98", "vm-97", "vm-96", "vm-95"]
    assert rows[7] == "and 95 more vNICs with less, together 4.46 Gbit/s"
    assert len(rows) == 8


@pytest.mark.parametrize("width", [50, 60, 72, 80, 96, 110, 130, 200])
def test_numbers_are_never_cut_short(width: int) -> None:
    huge = line("a-vm-with-a-very-long-name-indeed", bits=123.4e9, from_vm_bits=999.1e6)
    rows = drawn([huge], width=width)
    assert "123 Gbit/s" in rows[2]
    assert "999 Mbit/s" in rows[2]
    assert max(map(len, rows)) <= width


def test_a_long_nic_name_is_shown() -> None:
    long = Traffic(Subject("i", "web", "enp0s31f6np1", Source.DEVICE), Counters(), Rates(), 1.0)
    assert "enp0s31f6np1" in drawn([long], width=80)[2]


def test_losses_and_multicast_are_there_when_they_fit() -> None:
    lossy = line("web", to_vm_dropped=3.0, from_vm_dropped=4.0, errors=5.0, multicast=6.0)
    header, row = drawn([lossy])[1:3]
    assert header.split()[-3:] == ["DROPPED", "ERRORS", "MULTICAST"]
    assert row.split()[-6:] == ["7", "pps", "5", "pps", "6", "pps"]


def test_namesakes_are_told_apart() -> None:
    one, two = line("web"), line("web")
    other = Traffic(Subject("another-id", "web", "eth0", Source.DEVICE), two.counters, two.rates, 1.0)
    rows = drawn([one, other])[2:]
    assert [row.split()[1] for row in rows] == ["(id-of-web)", "(another-id)"]


def test_a_hostile_name_cannot_move_the_cursor() -> None:
    evil = "a\x1b[2Jb\nc\u202ed[bold]e"
    text = "\n".join(drawn([line(evil)], heading=f"{evil}: x"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2Jb\\x0ac\\u202ed[bold]e" in text


def test_the_title_counts_each_vnic_once() -> None:
    traffic = [line("web", source, bits=5e6) for source in Source]
    assert title("hv1", traffic, "http://[::1]:9/metrics") == (
        "hv1: 1 vNIC of 1 VM, together 5 Mbit/s  -  http://[::1]:9/metrics"
    )


def test_nobody_is_there() -> None:
    assert title("hv1", []) == "hv1: no vNIC is here; waiting for one"
    assert drawn([])


def test_what_was_read_once_is_unknown_and_not_zero() -> None:
    first = Traffic(Subject("i", "web", "eth0", Source.SWITCH), Counters(), Rates(), 0.0)
    assert drawn([line("db"), first])[-1].split() == ["web", "eth0", "switch", *["-"] * 7]
