"""An expression compiled for every place an inner filter runs at."""

from __future__ import annotations

import re

from tapwright.filter.compile import compile_filter
from tapwright.filter.libpcap import Compiler, PcapError, raw_ip
from tapwright.filter.program import Program
from tapwright.filter.relocate import Filters
from tapwright.filter.vms import Resolve

_MAC_PRIMITIVE = re.compile(
    r"\bether\s+(?:(?:src|dst)\s+)?(?:host\s+)?[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}(?![:0-9a-f])", re.IGNORECASE
)
_ETHERNET_STILL = re.compile(r"\b(?:ether|link)\b", re.IGNORECASE)
_NEVER = "(ip and ip6)"
"""True of no packet, and in the language of every link type."""


def compile_inner(
    text: str,
    resolve: Resolve | None = None,
    *,
    outer: str = "",
    live: Compiler | None = None,
    outgoing_is_to_vm: bool = True,
) -> Filters:
    """Compile `text`, which is meant of the innermost frame, and `outer`, which is meant of the whole packet.

    An IP packet that was wrapped without an Ethernet header has no MAC address: there `ether
    host` is false, and an expression that asks for anything else of Ethernet matches nothing.
    `resolve`, `live` and `outgoing_is_to_vm` are those of `compile_filter`; `live` is for
    what is outside, since nobody takes the VLAN tag out of an inner frame.

    Raises FilterError with the position in `text` or `outer`, MissingDependency without
    libpcap, and whatever `live` raises.
    """
    inner = compile_filter(text, resolve, outgoing_is_to_vm=outgoing_is_to_vm)
    plain = inner
    if live and "vlan" in inner.pcap_text:
        plain = compile_filter(text, resolve, live=live, outgoing_is_to_vm=outgoing_is_to_vm)
    whole = compile_filter(outer, live=live, outgoing_is_to_vm=outgoing_is_to_vm) if outer.strip() else None
    return Filters(inner.program, on_raw_ip(inner.pcap_text), plain.program, whole.program if whole else None)


def on_raw_ip(pcap_text: str) -> Program | None:
    """`pcap_text` for IP packets with no Ethernet header, where `ether host` is false; None where it matches none.

    Raises MissingDependency without libpcap.
    """
    if not pcap_text:
        return Program.keep_all()
    text = _MAC_PRIMITIVE.sub(_NEVER, pcap_text)
    if _ETHERNET_STILL.search(text):
        # libpcap would read `ether[0]` from the IP header.
        return None
    try:
        return Program(raw_ip(text))
    except PcapError:
        return None
