"""`vm NAME` in libpcap's words: the VM's addresses, and nothing else of it.

No text of a user or of a VM's owner reaches libpcap: an address is parsed and written anew,
and what does not parse is left out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from tapwright.errors import FilterError, NotFound
from tapwright.filter.expression import Kind, Token
from tapwright.filter.words import CONNECTIVES, KEYWORDS, is_address

if TYPE_CHECKING:
    from tapwright.model import Vnic

Resolve: TypeAlias = "Callable[[str], Sequence[Vnic]]"
"""Finds the vNICs that a name stands for.  Raises NotFound (or its kind, Ambiguous)."""

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def resolved(text: str, tokens: Iterable[Token], resolve: Resolve | None) -> tuple[Token, ...]:
    """The tokens with every VM in libpcap's words.

    Raises FilterError at a name that nobody or more than one has, or of which no address is known.
    """
    tokens = tuple(tokens)
    return tuple(
        _expand(text, tokens, index, resolve) if token.kind is Kind.VM else token for index, token in enumerate(tokens)
    )


def is_mac(text: str) -> bool:
    """Whether `text` is a MAC address as all of ours are written."""
    return _MAC.fullmatch(text) is not None


def quoting(tokens: Sequence[Token], index: int, resolve: Resolve | None) -> str:
    """The hint that the name of the VM at `index` goes on behind it and wants quotes; "" when it does not look so."""
    name = _unquoted(tokens, index)
    if not name:
        return ""
    quoted = 'vm "' + name.replace("\\", r"\\") + '"'
    if is_vm(name, resolve):
        return f"that names a VM, and wants quotes: {quoted}"
    follows = tokens[index + 1].text
    if follows in KEYWORDS or (is_address(follows) and not follows.isdecimal()):
        return ""
    return f"a name with blanks, brackets or operators in it wants quotes: {quoted}"


def is_vm(name: str, resolve: Resolve | None) -> bool:
    """Whether a VM has that name."""
    try:
        return bool(resolve and resolve(name))
    except NotFound:
        return False


def _unquoted(tokens: Sequence[Token], index: int) -> str:
    """All that was typed from the name on, up to a connective or a bracket that was open before."""
    vm = tokens[index]
    if vm.end - vm.at != len(vm.text):  # it has quotes already
        return ""
    name, end, depth = vm.text, vm.end, 0
    for token in tokens[index + 1 :]:
        depth += (token.text in "([") - (token.text in ")]")
        if (token.text in CONNECTIVES and token.start > end) or token.kind is Kind.VM or depth < 0:
            break
        name += " " * (token.start - end) + token.text
        end = token.end
    return "" if end == vm.end else name


def _expand(text: str, tokens: Sequence[Token], index: int, resolve: Resolve | None) -> Token:
    token = tokens[index]
    if resolve is None:
        raise FilterError("VM names cannot be looked up here", text, token.at, "use addresses: host 10.0.0.5")
    try:
        vnics = resolve(token.text)
    except NotFound as error:
        hint = "\n".join(filter(None, (quoting(tokens, index, resolve), error.hint)))
        raise FilterError(error.message, text, token.at, hint) from None
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
