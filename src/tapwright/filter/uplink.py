"""A VM's own frames among those of a whole server: MAC and VNI beside the user's filter, all in one program."""

from __future__ import annotations

from dataclasses import dataclass

from tapwright.filter.compile import Compiled, compile_filter
from tapwright.filter.fit import FilteredBy, Fit, Refused, fit
from tapwright.filter.inner import compile_inner
from tapwright.filter.libpcap import Compiler
from tapwright.filter.program import MAX_INSTRUCTIONS, MAX_SNAPLEN
from tapwright.filter.wrapping import Wrapping


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose frames are wanted, and what they are wrapped in."""

    mac: str
    kind: str = ""
    """``vxlan``, ``geneve`` or ``gre``; "" where they pass as they are."""
    vni: int | None = None
    """VNI or key; None takes any."""
    port: int = 0
    """UDP port, 0 where there is none."""
    vlan: int | None = None
    """The tag that frames carry which are not wrapped."""


@dataclass(frozen=True, slots=True)
class Found:
    """The filter of one point."""

    fit: Fit
    pcap_text: str
    """What is true of the frames that are written."""


def own_frames(mac: str) -> str:
    """Sent by it or to it; groups and broadcasts from outside reach it too."""
    return f"(ether host {mac} or (inbound and ether multicast))"


def at_uplink(
    user: Compiled,
    sought: Sought,
    *,
    outer: str = "",
    snaplen: int = MAX_SNAPLEN,
    live: Compiler | None = None,
    finish_in_engine: bool = False,
    limit: int = MAX_INSTRUCTIONS,
) -> Found:
    """The program for a socket on the uplink; `user` was compiled for a point where what goes out is from the VM.

    One wrapping is opened, that of the server: what the VM wraps itself is the VM's own.
    `limit` is how many instructions there is room for.
    Raises FilterError where it is too long for the kernel and may not be finished in the engine.
    """
    parts = [own_frames(sought.mac), f"({user.pcap_text})" if user.pcap_text else ""]
    if not sought.kind:
        return _unwrapped(sought, parts, outer, snaplen, live)
    text = " and ".join(part for part in parts if part)
    filters = compile_inner(text, outer=outer, live=live, outgoing_is_to_vm=False)
    wrapping = Wrapping(
        encapsulations=(sought.kind,),
        ports={sought.kind: (sought.port,)} if sought.port else {},
        depth=1,
        ids=() if sought.vni is None else (sought.vni,),
        plain=False,
        raw=False,
        snaplen=None if snaplen >= MAX_SNAPLEN else snaplen,
    )
    fitted = fit(filters, wrapping, finish_in_engine=finish_in_engine, limit=limit)
    if isinstance(fitted, Refused):
        raise fitted.with_consent(user.text)
    return Found(fitted, text)


def _unwrapped(sought: Sought, parts: list[str], outer: str, snaplen: int, live: Compiler | None) -> Found:
    """On a plain uplink the frame is the VM's own, in its VLAN where it has one."""
    if sought.vlan is not None:
        parts.insert(1, f"vlan {sought.vlan}")
    if outer:
        parts.insert(1, f"({outer})")
    text = " and ".join(part for part in parts if part)
    compiled = compile_filter(text, snaplen=snaplen, live=live, outgoing_is_to_vm=False)
    return Found(Fit(compiled.program, filtered_by=FilteredBy.KERNEL), text)
