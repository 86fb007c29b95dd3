"""What is known of a capture file, in lines for a person; all text of the file is made safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tapwright.read.links import link_name
from tapwright.read.report import Amount, Info, Interface, Section, Stuck
from tapwright.text import printable
from tapwright.units import format_count, format_rate, format_size

_MOST = 20
"""Of interfaces, tunnels and reasons, so many are shown."""
_BLOCKS = {4: "name resolution", 9: "systemd journal", 10: "decryption secrets", 0xBAD: "custom", 0x40000BAD: "custom"}


def describe(info: Info) -> list[str]:
    """All of it."""
    return [
        _headline(info),
        *_amount(info),
        *_sections(info.sections),
        *_interfaces(info.interfaces),
        *_tunnels(info),
        *_stuck(info.stuck),
        *_blocks(info.blocks),
    ]


def _headline(info: Info) -> str:
    size = f", {format_size(info.size)}" if info.size is not None else ""
    name = "standard input" if info.input.path == "-" else printable(info.input.path)
    return f"{name}: {info.input.format}{size}"


def _amount(info: Info) -> Iterator[str]:
    amount, rate = info.amount, ""
    if amount.seconds:
        per_second = (
            format_rate(amount.packets / amount.seconds, "pps"),
            format_rate(amount.wire * 8 / amount.seconds, "bit/s"),
        )
        rate = f"; {per_second[0]}, {per_second[1]}"
    yield f"  packets     {format_count(amount.packets)}, {format_size(amount.wire)} on the wire{rate}"
    if amount.cut:
        yield f"  cut short   {format_count(amount.cut)} packets; {format_size(amount.captured)} kept"
    if amount.first is not None and amount.last is not None:
        yield f"  from        {moment(amount.first)}"
        yield f"  to          {moment(amount.last)} ({amount.seconds:,.3f} s)"
    yield f"  order       {_order(info)}"


def _order(info: Info) -> str:
    timeless = f"; {format_count(info.timeless)} packets without a time" if info.timeless else ""
    if info.backwards:
        return f"{format_count(info.backwards)} packets are earlier than the one before them{timeless}"
    return f"in order of time{timeless}"


def moment(nanoseconds: int) -> str:
    """``2026-11-23 09:30:15.000000001 UTC``."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{fraction:09} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds}.{fraction:09} seconds after 1970"


def _sections(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections[:_MOST]:
        parts = [section.application, section.os, section.hardware]
        by = ", ".join(printable(part) for part in parts if part)
        if by:
            yield f"  captured by {by}"
        yield from (f"  comment     {printable(text)}" for text in section.comment.splitlines())


def _interfaces(interfaces: Sequence[Interface]) -> Iterator[str]:
    for number, interface in enumerate(interfaces[:_MOST]):
        name = printable(interface.name) or f"interface {number}"
        snap = f", snap length {interface.snaplen}" if interface.snaplen else ""
        yield f"  {name}: {link_name(interface.link)}{snap}, {_packets(interface.amount)}"
        for label, text in (("", interface.description), ("filter ", interface.filter)):
            if text:
                yield f"      {label}{printable(text)}"
        if interface.dropped:
            yield f"      {format_count(interface.dropped)} packets lost, as noted beside the packets"
        if interface.statistics:
            counted = (f"{name.replace('_', ' ')} {format_count(count)}" for name, count in interface.statistics)
            yield f"      {', '.join(counted)}"
        yield from (f"      {printable(text)}" for text in interface.comment.splitlines())
    yield from _more(len(interfaces), "interfaces")


def _packets(amount: Amount) -> str:
    return f"{format_count(amount.packets)} packets, {format_size(amount.wire)}"


def _tunnels(info: Info) -> Iterator[str]:
    if not info.wrappings:
        return
    yield "  in tunnels"
    for name, packets in info.wrappings[:_MOST]:
        yield f"      {format_count(packets):>12}  {printable(name)}"
    yield from _more(len(info.wrappings), "tunnels")
    if info.more_wrappings:
        yield f"      {format_count(info.more_wrappings):>12}  in tunnels too many to tell apart"


def _stuck(reasons: Sequence[Stuck]) -> Iterator[str]:
    if reasons:
        yield "  layers that could not be taken off"
    for stuck in reasons[:_MOST]:
        where = f"first: packet {stuck.first}, byte {stuck.offset}: {stuck.detail}"
        yield f"      {format_count(stuck.packets):>12}  {stuck.layer} {stuck.reason}; {where}"


def _blocks(blocks: Sequence[tuple[int, int]]) -> Iterator[str]:
    for kind, count in blocks:
        yield f"  {_BLOCKS.get(kind, f'block type {kind:#x}')}: {format_count(count)} block{'s' * (count > 1)}"


def _more(count: int, what: str) -> Iterator[str]:
    if count > _MOST:
        yield f"      and {format_count(count - _MOST)} more {what}"
