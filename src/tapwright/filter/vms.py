"""`vm NAME` in libpcap's words: the VM's addresses, and nothing else of it.

No text of a user or of a VM's owner reaches libpcap: an address is parsed and written anew,
and what does not parse is left out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from tapwright.errors import FilterError, NotFound
from tapwright.filter.expression import Kind, Token
from tapwright.model import Vnic

Resolve = Callable[[str], Sequence[Vnic]]
"""Finds the vNICs that a name stands for.  Raises NotFound (or its kind, Ambiguous)."""

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def resolved(text: str, tokens: Iterable[Token], resolve: Resolve | None) -> tuple[Token, ...]:
    """The tokens with every VM in libpcap's words.

    Raises FilterError at a name that nobody or more than one has, or of which no address is known.
    """
    return tuple(_expand(text, token, resolve) if token.kind is Kind.VM else token for token in tokens)


def _expand(text: str, token: Token, resolve: Resolve | None) -> Token:
    if resolve is None:
        raise FilterError("VM names cannot be looked up here", text, token.at, "use addresses: host 10.0.0.5")
    try:
        vnics = resolve(token.text)
    except NotFound as error:
        raise FilterError(error.message, text, token.at, error.hint) from None
    ends = tuple(dict.fromkeys(end for vnic in vnics for end in _ends(vnic)))
    if not ends:
        raise FilterError(f"no MAC or IP address of {token.text!r} is known", text, token.at, "see `tapwright where`")
    return replace(token, pcap=_primitive(ends, token.direction))


def _ends(vnic: Vnic) -> Iterator[tuple[str, str]]:
    """(what libpcap calls it, address) for everything that tells the vNIC's packets apart."""
    mac = vnic.mac.lower()
    if _MAC.fullmatch(mac) and mac != "00:00:00:00:00:00":
        yield "ether", mac
    for address in vnic.addresses:
        try:
            parsed = ipaddress.ip_interface(address).ip
        except ValueError:
            continue
        if not (parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast):
            yield "", str(parsed).partition("%")[0]


def _primitive(ends: Sequence[tuple[str, str]], direction: str) -> str:
    """``(ether src host M or src host A)``; both directions at once are two of these."""
    sides = [_side(ends, word) for word in direction.split() if word != "and"] or [_side(ends, "")]
    return sides[0] if len(sides) == 1 else f"({' and '.join(sides)})"


def _side(ends: Sequence[tuple[str, str]], side: str) -> str:
    clauses = (" ".join(word for word in (layer, side, "host", address) if word) for layer, address in ends)
    return f"({' or '.join(clauses)})"
