"""From a filter's text to a program for the kernel, or to an error that says where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tapwright.errors import FilterError
from tapwright.filter.expression import Kind, Token, pcap_text, tokenize
from tapwright.filter.libpcap import Compiler, PcapError, offline
from tapwright.filter.program import MAX_SNAPLEN, Program
from tapwright.filter.vms import Resolve, is_mac, resolved

MAX_WORDS = 2048
"""Words libpcap gets; 640 `or`-ed hosts, all that fit into a kernel's 4,096 instructions, are 1,919."""
MAX_UNOPTIMISED = 20_000
"""Instructions before optimising; libpcap's optimiser takes 13 s for so many and cannot be interrupted."""
_SURELY_SMALL = 256
"""Words that are far below it, whatever they are."""
_OPPOSITE = {"inbound": "outbound", "outbound": "inbound"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A filter ready to be attached."""

    program: Program
    text: str
    """As the user wrote it."""
    pcap_text: str
    """As libpcap got it: every `vm NAME` in addresses; "" for everything."""


def compile_filter(
    text: str,
    resolve: Resolve | None = None,
    *,
    snaplen: int = MAX_SNAPLEN,
    live: Compiler | None = None,
    outgoing_is_to_vm: bool = True,
    mac: str | None = None,
) -> Compiled:
    """Compile `text`; an empty one keeps everything.

    `resolve` finds VMs for `vm NAME`.  `live` compiles for packets as a socket sees them,
    whose outermost VLAN tag is beside the frame, not in it; it is called only for filters
    that ask for VLANs.  `inbound` and `outbound` are meant from the VM's side:
    `outgoing_is_to_vm` is the point's (`Point.outgoing_is_to_vm`).  Of copies, which all arrive,
    the vNIC's `mac` tells the direction; "" is one that nobody knows.

    Raises FilterError with the position in `text`, MissingDependency without libpcap, and
    whatever `live` raises.
    """
    turned = partial(_turned, turn=outgoing_is_to_vm) if mac is None else partial(_told_by, text, mac)
    tokens = [turned(token) for token in resolved(text, tokenize(text), resolve)]
    if not tokens:
        return Compiled(Program.keep_all(snaplen), text, "")
    wanted = pcap_text(text, tokens)
    compiler = live if live and any(token.pcap == "vlan" for token in tokens) else offline
    try:
        _check_size(wanted, tokens)
        code = compiler(wanted)
    except PcapError as error:
        from tapwright.filter.mistake import explain

        raise explain(text, tokens, str(error), offline, resolve) from None
    return Compiled(_program(text, tokens, code).with_snaplen(snaplen), text, wanted)


def _turned(token: Token, *, turn: bool) -> Token:
    """`inbound` and `outbound` as the device has them: what goes out of a tap comes in to the VM."""
    if not turn or token.kind is not Kind.WORD or token.pcap not in _OPPOSITE:
        return token
    return replace(token, pcap=_OPPOSITE[token.pcap])


def _told_by(text: str, mac: str, token: Token) -> Token:
    """`inbound` and `outbound` in words of who sent the frame."""
    if token.kind is not Kind.WORD or token.pcap not in _OPPOSITE:
        return token
    if not is_mac(mac):
        raise FilterError(f"`{token.pcap}` cannot be told of copies: the vNIC's MAC is not known", text, token.at)
    return replace(token, pcap=f"(ether src {mac})" if token.pcap == "outbound" else f"(not ether src {mac})")


def _check_size(wanted: str, tokens: Sequence[Token]) -> None:
    """Refuse what would keep libpcap busy for minutes.  Raises FilterError, PcapError."""
    hint = "filter on a network (`net 10.0.0.0/24`) or a range (`portrange 1-99`) instead of a long list"
    words = sum(len(token.pcap.split()) for token in tokens)
    if words > MAX_WORDS:
        raise FilterError(f"the filter has {words:,} words, {MAX_WORDS:,} are the limit", hint=hint)
    if words > _SURELY_SMALL and len(offline(wanted, optimise=False)) // 8 > MAX_UNOPTIMISED:
        raise FilterError("the filter is too large to be compiled in reasonable time", hint=hint)


def _program(text: str, tokens: Sequence[Token], code: bytes) -> Program:
    try:
        return Program(code)
    except FilterError as error:
        at = next((token.at for token in tokens if token.pcap == "protochain"), None)
        raise FilterError(error.message, text, at, error.hint) from None
