"""One filter expression, compiled for every link type a file may have."""

from __future__ import annotations

from collections.abc import Sequence

from tapwright.filter import compile_filter
from tapwright.filter.libpcap import PcapError, compile_on, library
from tapwright.filter.program import MAX_SNAPLEN
from tapwright.read.links import COMPILED, ETHERNET

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
    for link, dlt in COMPILED:
        try:
            made.append((link, _compiled_for(dlt, compiled.pcap_text)))
        except PcapError:
            continue  # "ether host" means nothing on raw IP; such packets are counted by the core
    return made


def _compiled_for(dlt: int, text: str) -> bytes:
    pcap = library()
    handle = pcap.pcap_open_dead(dlt, MAX_SNAPLEN)
    try:
        return compile_on(handle, text)
    finally:
        pcap.pcap_close(handle)
