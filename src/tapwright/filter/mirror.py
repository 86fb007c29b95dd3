"""What of the packets of a device is a mirror for us: kind, exporter and the inner filter, in the kernel."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from tapwright.filter.compile import Compiled, compile_filter
from tapwright.filter.fit import Fit, Refused, fit
from tapwright.filter.inner import compile_inner
from tapwright.filter.libpcap import Compiler
from tapwright.filter.program import MAX_INSTRUCTIONS, MAX_SNAPLEN, Program
from tapwright.filter.relocate import Filters, relocate
from tapwright.filter.wrapping import Wrapping

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HEADERS = 128
"""Bytes of a stranger's packet that are looked at: all of its IP header."""


@dataclass(frozen=True, slots=True)
class Mirrors:
    """The mirrors of one device that are opened alike."""

    encapsulations: tuple[str, ...]
    ports: Mapping[str, tuple[int, ...]]
    depth: int
    exporters: tuple[Network, ...] | None
    """None takes everybody."""
    to: tuple[str, ...] = ()
    """Addresses they are sent to; () is any."""
    ids: tuple[int, ...] = ()


def wanted(
    mirrors: Mirrors,
    user: Compiled,
    snaplen: int,
    *,
    finish_in_engine: bool = False,
    limit: int = MAX_INSTRUCTIONS,
) -> Fit:
    """For what the exporters that were named send.

    Raises FilterError where it is too long for the kernel and may not be finished in the engine.
    """
    filters = compile_inner(user.pcap_text, outer=outer(mirrors), outgoing_is_to_vm=False)
    wrapping = _wrapping(mirrors, mirrors.depth, snaplen)
    fitted = fit(filters, wrapping, finish_in_engine=finish_in_engine, limit=limit)
    if isinstance(fitted, Refused):
        raise fitted.with_consent(user.text)
    return fitted


def strange(mirrors: Mirrors) -> Program:
    """For what others send that looks the same; of each packet only the headers."""
    everything = Program.keep_all()
    foreign = compile_filter(outer(mirrors, strangers=True), outgoing_is_to_vm=False).program
    filters = Filters(everything, everything, None, foreign)
    return relocate(filters, _wrapping(mirrors, 1, _HEADERS))


def udp(port: int, mirrors: Mirrors, *, strangers: bool = False) -> Program:
    """For a mirror in UDP that the kernel's program cannot look into."""
    text = f"{outer(mirrors, strangers=strangers)} and udp dst port {port}"
    return compile_filter(text, snaplen=_HEADERS if strangers else MAX_SNAPLEN, outgoing_is_to_vm=False).program


def tagged(vlan: int, user: Compiled, snaplen: int, live: Compiler) -> Program:
    """For an RSPAN VLAN, whose tag the kernel has taken off before a filter runs."""
    text = f"inbound and vlan {vlan}" + (f" and ({user.pcap_text})" if user.pcap_text else "")
    return compile_filter(text, snaplen=snaplen, live=live, outgoing_is_to_vm=False).program


def outer(mirrors: Mirrors, *, strangers: bool = False) -> str:
    """What the outer packet must be: to us, and from those named, or from others."""
    parts = ["inbound"]
    if mirrors.to:
        parts.append(f"({' or '.join(f'dst host {address}' for address in mirrors.to)})")
    if mirrors.exporters is not None:
        named = f"({' or '.join(_source(network) for network in mirrors.exporters)})"
        parts.append(f"not {named}" if strangers else named)
    return " and ".join(parts)


def _source(network: Network) -> str:
    whole = network.prefixlen == network.max_prefixlen
    return f"src host {network.network_address}" if whole else f"src net {network}"


def _wrapping(mirrors: Mirrors, depth: int, snaplen: int) -> Wrapping:
    return Wrapping(
        encapsulations=mirrors.encapsulations,
        ports=mirrors.ports,
        depth=depth,
        ids=mirrors.ids,
        plain=False,
        snaplen=None if snaplen >= MAX_SNAPLEN else snaplen,
    )


__all__ = ["Mirrors", "outer", "strange", "tagged", "udp", "wanted"]
