"""An expression about Ethernet frames, as it is meant of IP packets that have no Ethernet header."""

from __future__ import annotations

import re

from tapwright.filter.libpcap import PcapError, raw_ip
from tapwright.filter.program import Program

_MAC_PRIMITIVE = re.compile(
    r"\bether\s+(?:(?:src|dst)\s+)?(?:host\s+)?[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}(?![:0-9a-f])", re.IGNORECASE
)
_ETHERNET_STILL = re.compile(r"\b(?:ether|link)\b", re.IGNORECASE)
_NEVER = "(ip and ip6)"
"""True of no packet, and in the language of every link type."""


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
