"""One filter expression, compiled for every link type a file may have."""

from __future__ import annotations

from collections.abc import Sequence

from tapwright.filter import compile_filter
from tapwright.filter.libpcap import PcapError, compile_on, library
from tapwright.filter.program import MAX_SNAPLEN
from tapwright.filter.raw_ip import on_raw_ip
from tapwright.read.links import COMPILED, ETHERNET, RAW_IP

Programs = Sequence[tuple[int, bytes]]
"""(link type, packed instructions)"""


def programs(text: str) -> Programs | None:
    """`text` for each link type that libpcap can compile it for; None for an empty one, which matches everything.

    Raises FilterError with the position, MissingDependency without libpcap.
    """
    compiled = compile_filter(text)
    if not compiled.pcap_text:
        return None
    made = [(ETHERNET, compiled.program.code)]
    if raw := on_raw_ip(compiled.pcap_text):
        made.append((RAW_IP, raw.code))
    for link, dlt in COMPILED:
        try:
            made.append((link, _compiled_for(dlt, compiled.pcap_text)))
        except PcapError:
            continue  # it means nothing there; such packets are counted by the core
    return made


def _compiled_for(dlt: int, text: str) -> bytes:
    """Not optimised: for a long list that takes seconds, and packets of such a link type are few."""
    pcap = library()
    handle = pcap.pcap_open_dead(dlt, MAX_SNAPLEN)
    try:
        return compile_on(handle, text, optimise=False)
    finally:
        pcap.pcap_close(handle)
