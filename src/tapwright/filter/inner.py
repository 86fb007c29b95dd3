"""An expression compiled for every place an inner filter runs at."""

from __future__ import annotations

from tapwright.filter.compile import compile_filter
from tapwright.filter.libpcap import Compiler
from tapwright.filter.raw_ip import on_raw_ip
from tapwright.filter.relocate import Filters
from tapwright.filter.vms import Resolve


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
