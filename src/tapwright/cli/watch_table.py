"""The table of `tapwright watch`.  Pure: traffic in, something rich can draw out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tapwright.find.live import Source, Subject, Traffic
from tapwright.text import printable
from tapwright.units import format_rate, format_things

_CHROME = 3
"""Lines beside the rows: title, header, and how many are not shown."""
_BEST = (Source.DEVICE, Source.GUEST, Source.SWITCH)
"""Whom to believe where there is one line for a vNIC."""

_NUMBERS = {
    "TO VM": 11, "TO PPS": 9, "FROM VM": 11, "FROM PPS": 9, "DROPPED": 9, "ERRORS": 9, "MULTICAST": 9,
}  # fmt: skip
"""Column -> the width its numbers need; they are never cut short."""
_DISPENSABLE = ((110, "MULTICAST"), (98, "ERRORS"), (80, "TO PPS"), (80, "FROM PPS"), (60, "DROPPED"))
"""A column is left out of a terminal narrower than this."""
_LEAST_NAME, _LONGEST_NIC = 6, 16
_ID = 12
"""Characters of an id that tell two VMs of one name apart."""


def title(host: str, traffic: Sequence[Traffic], url: str = "") -> str:
    """The line above the table."""
    best = list(_best(traffic))
    vms = len({line.subject.vm_id for line in best})
    bits = format_rate(sum(line.rates.bits for line in best), "bit/s")
    found = (
        f"{format_things(len(best), 'vNIC')} of {format_things(vms, 'VM')}, together {bits}"
        if best
        else "no vNIC is here; waiting for one"
    )
    return f"{host}: {found}" + (f"  -  {url}" if url else "")


def picture(traffic: Sequence[Traffic], heading: str, width: int, height: int) -> RenderableType:
    """As many vNICs as fit into `width` columns and `height` lines.

    Every source of every vNIC where there is room for that; else the best source of each; else
    the busiest vNICs.  What has not been read twice yet has no rates: `-` is not 0.
    """
    shown, hidden = _fitting(traffic, max(height - _CHROME, 1))
    below = [_caption(hidden)] if hidden else []
    return Group(
        Text(printable(heading), style="bold", no_wrap=True, overflow="ellipsis"), _table(shown, width), *below
    )


def _fitting(traffic: Sequence[Traffic], lines: int) -> tuple[list[Traffic], list[Traffic]]:
    """(those with a line, those without)."""
    if len(traffic) <= lines:
        return list(traffic), []
    best = list(_best(traffic))
    if len(best) <= lines:
        return best, []
    best.sort(key=lambda line: line.rates.bits, reverse=True)
    return best[:lines], best[lines:]


def _best(traffic: Iterable[Traffic]) -> Iterator[Traffic]:
    """One source of each vNIC."""
    by_vnic: dict[tuple[str, str], list[Traffic]] = {}
    for line in traffic:
        by_vnic.setdefault(_vnic(line), []).append(line)
    return (min(lines, key=lambda line: _BEST.index(line.subject.source)) for lines in by_vnic.values())


def _vnic(line: Traffic) -> tuple[str, str]:
    return line.subject.vm_id, line.subject.nic


def _table(shown: Sequence[Traffic], width: int) -> Table:
    left_out = {name for least, name in _DISPENSABLE if width < least}
    numbers = {name: size for name, size in _NUMBERS.items() if name not in left_out}
    gap = 2 if width >= 120 else 1
    nic = min(max((cell_len(printable(line.subject.nic)) for line in shown), default=3), _LONGEST_NIC)
    words = {"NIC": nic, "BY": len(Source.DEVICE)}
    taken = sum(size + gap for size in (*words.values(), *numbers.values()))
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for name, size in {"VM": max(width - taken - gap, _LEAST_NAME), **words}.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=size)
    for name, size in numbers.items():
        table.add_column(name, no_wrap=True, justify="right", min_width=size)
    for names, line in zip(_names(shown), shown, strict=True):
        values = _values(line) if line.seconds else dict.fromkeys(numbers, Text("-", style="dim"))
        table.add_row(*names, Text(line.subject.source, style="dim"), *(values[name] for name in numbers))
    return table


def _names(shown: Sequence[Traffic]) -> Iterator[tuple[Text, Text]]:
    """VM and NIC of each line; a vNIC's further sources do not repeat them."""
    owners = Counter(name for name, _ in {(line.subject.vm, line.subject.vm_id) for line in shown})
    previous = None
    for line in shown:
        repeated = _vnic(line) == previous
        previous = _vnic(line)
        yield (Text(), Text()) if repeated else (Text(_vm(line.subject, owners)), Text(printable(line.subject.nic)))


def _vm(subject: Subject, owners: Mapping[str, int]) -> str:
    """A name that several VMs have is followed by the id, or the beginning of a long one."""
    if owners[subject.vm] == 1 or subject.vm == subject.vm_id:
        return printable(subject.vm)
    mark = subject.vm_id if len(subject.vm_id) <= 2 * _ID else subject.vm_id[:_ID]
    return printable(f"{subject.vm} ({mark})")


def _values(line: Traffic) -> dict[str, Text]:
    rates = line.rates
    return {
        "TO VM": _number(rates.to_vm_bits, "bit/s"),
        "TO PPS": _number(rates.to_vm_packets, "pps"),
        "FROM VM": _number(rates.from_vm_bits, "bit/s"),
        "FROM PPS": _number(rates.from_vm_packets, "pps"),
        "DROPPED": _number(rates.to_vm_dropped + rates.from_vm_dropped, "pps", alarming=True),
        "ERRORS": _number(rates.errors, "pps", alarming=True),
        "MULTICAST": _number(rates.multicast, "pps"),
    }


def _number(rate: float, unit: str, *, alarming: bool = False) -> Text:
    if not rate:
        return Text("0", style="dim")
    return Text(format_rate(rate, unit), style="bold red" if alarming else "")


def _caption(hidden: Sequence[Traffic]) -> Text:
    bits = sum(line.rates.bits for line in hidden)
    return Text(f"and {len(hidden)} more vNICs with less, together {format_rate(bits, 'bit/s')}", style="dim")
