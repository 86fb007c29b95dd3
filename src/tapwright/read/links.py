"""Link types, as numbered in capture files (https://www.tcpdump.org/linktypes.html)."""

from __future__ import annotations

ETHERNET = 1
RAW_IP = 101

COMPILED = (
    (0, 0),
    (9, 9),
    (10, 10),
    (50, 50),
    (51, 51),
    (104, 104),
    (105, 105),
    (108, 108),
    (113, 113),
    (127, 127),
    (192, 192),
    (276, 276),
)
"""(link type, DLT) a filter is compiled for beside Ethernet and raw IP: where packets with IP in them are seen."""

_NAMES = {
    0: "BSD loopback",
    ETHERNET: "Ethernet",
    6: "Token Ring",
    9: "PPP",
    10: "FDDI",
    50: "PPP with HDLC",
    51: "PPPoE",
    RAW_IP: "raw IP",
    104: "Cisco HDLC",
    105: "IEEE 802.11",
    107: "Frame Relay",
    108: "OpenBSD loopback",
    113: "Linux cooked",
    127: "IEEE 802.11 with radiotap",
    192: "PPI",
    220: "USB",
    227: "CAN",
    228: "raw IPv4",
    229: "raw IPv6",
    239: "nflog",
    276: "Linux cooked v2",
}


def link_name(link: int) -> str:
    """``Ethernet``, or ``link type 999`` for what is rarely seen."""
    return _NAMES.get(link, f"link type {link}")
