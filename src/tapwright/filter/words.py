"""The words of the pcap-filter language (pcap-filter(7)), told apart from names people chose."""

from __future__ import annotations

import difflib
import re

CONNECTIVES = frozenset({"and", "or", "&&", "||"})
NEGATIONS = frozenset({"not", "!"})
DIRECTIONS = frozenset({"src", "dst"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PROTOCOLS = _words(
    "ether fddi tr wlan link ppp slip radio ip ip6 arp rarp atalk aarp decnet lat sca moprc mopdl iso clnp stp ipx "
    "netbeui icmp icmp6 igmp igrp pim vrrp carp sctp tcp udp ah esp esis es-is isis is-is l1 l2 iih lsp snp csnp "
    "psnp llc geneve vxlan vlan mpls pppoed pppoes lane metac bcc oam oamf4 oamf4ec oamf4sc ilmic sc connectmsg "
    "metaconnect vpi vci fisu lssu lsu msu hfisu hlssu hmsu sio opc dpc sls hsio hopc hdpc hsls"
)
_QUALIFIERS = _words("host net mask gateway addr1 addr2 addr3 addr4 address1 address2 address3 address4 ra ta")
_NUMBERED = _words(
    "port portrange proto protochain less greater byte ifindex type subtype dir direction on ifname rnr rulenum srnr "
    "subrulenum rset ruleset reason action"
)
_OTHERS = frozenset({"broadcast", "multicast", "inbound", "outbound", "len", "and", "or", "not"})

KEYWORDS = _PROTOCOLS | _QUALIFIERS | _NUMBERED | _OTHERS | DIRECTIONS
NAMES_A_HOST = _QUALIFIERS | DIRECTIONS
"""Words after which a name is looked up as a machine or network."""
NAMES_ANOTHER = _NUMBERED
"""Words after which a name is anything else (a service, a protocol)."""
LINK_LAYERS = frozenset({"ether", "fddi", "tr", "wlan", "link", "ra", "ta"})
"""Words that make a name behind them the name of a MAC address."""

_FLAGS = tuple(f"tcp-{flag}" for flag in ("fin", "syn", "rst", "push", "ack", "urg", "ece", "cwr"))
_CONSTANT = re.compile(r"icmp6?(?:type|code|-.*)|tcpflags|tcp-.*")
_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9.]+(?:-[0-9]+)?", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9a-f]{0,4}:.*|(?:[0-9a-f]{2}-){5}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether `text` has the form of an IP, network or MAC address or of a plain number."""
    return bool(_NUMBER.fullmatch(text) or _ADDRESS.fullmatch(text))


def is_name(text: str) -> bool:
    """Whether `text` can only be a name somebody chose: no keyword, constant, number or address."""
    return text[:1].isalnum() and text not in KEYWORDS and not _CONSTANT.fullmatch(text) and not is_address(text)


def near(text: str) -> list[str]:
    """Words of the language that `text` may have been meant to be, the most similar first."""
    return difflib.get_close_matches(text.lower(), sorted((*KEYWORDS, *_FLAGS)), 6, 0.6)
