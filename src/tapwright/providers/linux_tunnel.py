"""Tunnel devices of the kernel that wrap what a mirror copies: made, compared and removed."""

from __future__ import annotations

from tapwright.adapters import tc
from tapwright.errors import ProviderError
from tapwright.model import Netns
from tapwright.plan.mirrors import TargetKind
from tapwright.plan.steps import Finding, Found, Mark, Operation
from tapwright.providers.linux_made import named
from tapwright.providers.linux_mirror import is_tunnel, no_such_tunnel

MTU = 65000
"""Bytes: no frame of a VM is refused by the tunnel; what is too long for the way IPv4 cuts into fragments behind it."""
_KINDS = {"vxlan": "vxlan", "geneve": "geneve", "gre": "gretap", "erspan2": "erspan", "erspan3": "erspan"}


def details_of(operation: Operation) -> list[str]:
    """What stands behind ``ip link add ... type``."""
    kind, remote = operation.text("kind"), operation.text("remote")
    number, port = str(operation.number("number")), str(operation.number("port"))
    six = "ip6" if ":" in remote else ""
    if kind == TargetKind.VXLAN:
        return ["vxlan", "id", number, "remote", remote, "dstport", port, "nolearning", "ttl", "64"]
    if kind == TargetKind.GENEVE:
        return ["geneve", "id", number, "remote", remote, "dstport", port, "ttl", "64"]
    # Copies longer than the way allows are to be cut into fragments, not dropped.
    common = ["remote", remote, *(["ttl", "64"] if six else ["ttl", "64", "nopmtudisc"])]
    # Over IPv6 these send nothing from an address that they were not told.
    if six and operation.text("local"):
        common += ["local", operation.text("local")]
    if kind == TargetKind.GRE:
        return [f"{six}gretap", *common, *(["key", number] if number != "0" else [])]
    version = (
        # An index of 0 is what a kernel takes where none is named, and iproute2 refuses to name it.
        ["erspan_ver", "1", *(["erspan", str(operation.number("extra"))] if operation.number("extra") else [])]
        if kind == TargetKind.ERSPAN2
        else ["erspan_ver", "2", "erspan_dir", "ingress", "erspan_hwid", "0"]
    )
    return [f"{six}erspan", *common, "seq", "key", number, *version]


def make(netns: Netns, operation: Operation) -> None:
    """Make it, with our mark and up; twice is as good as once.  Raises ProviderError, PrivilegeError."""
    name, mark = operation.text("device"), operation.text("mark")
    there = named(netns, name)
    if there and (there.ifalias not in ("", mark) or (differs := _differs(operation, there))):
        raise ProviderError(f"{name} was changed: {differs if there.ifalias == mark else 'it is not ours'}")
    if not there:
        _add(netns, operation)
    if not there or not there.ifalias:
        tc.describe_link(netns, name, mark)
    if not there or not there.up:
        tc.start_link(netns, name)


def _add(netns: Netns, operation: Operation) -> None:
    details = details_of(operation)
    try:
        tc.add_link(netns, operation.text("device"), MTU, details)
    except tc.Unsupported as error:
        raise no_such_tunnel(details[0]) from error
    except ProviderError as error:
        if "exist" in error.message:
            raise ProviderError(
                f"another device has that tunnel already: {error.message}", "take another vni=, key= or session="
            ) from None
        raise


def remove(netns: Netns, operation: Operation) -> None:
    """Remove it where it is ours.  Raises ProviderError, PrivilegeError."""
    device = named(netns, operation.text("device"))
    if device and _is_ours(device, operation):
        tc.delete_link(netns, device.ifname)


def _is_ours(device: tc.Link, operation: Operation) -> bool:
    """A tunnel by its alias; one of our name without alias is ours, from before a kill."""
    mark = Mark.parse(device.ifalias)
    return wraps(device) and (mark.session == operation.text("session") if mark else half_made(device))


def wraps(device: tc.Link) -> bool:
    """Whether it is a tunnel of one of the kinds that are made here."""
    return device.linkinfo.info_kind.removeprefix("ip6") in _KINDS.values()


def half_made(device: tc.Link) -> bool:
    """Whether it looks like one of ours from before it had its mark, whatever kind it is of."""
    return not device.ifalias and not device.up and is_tunnel(device.ifname)


def found(netns: Netns, operation: Operation) -> Finding:
    """What is left of it."""
    device = named(netns, operation.text("device"))
    if device is None:
        return Finding(Found.ABSENT)
    mark = Mark.parse(device.ifalias)
    if mark is None or mark.session != operation.text("session"):
        return Finding(Found.CHANGED, "its alias is gone" if not device.ifalias else "its alias is another one")
    differs = _differs(operation, device) or ("" if device.up else "it is down")
    return Finding(Found.CHANGED if differs else Found.THERE, differs)


def _differs(operation: Operation, device: tc.Link) -> str:
    kind, data = device.linkinfo.info_kind, device.linkinfo.info_data
    wanted = details_of(operation)[0]
    if kind != wanted:
        return f"it is a {kind or 'NIC'}, not a {wanted}"
    remote = data.get("remote") or data.get("remote6")
    if remote != operation.text("remote"):
        return f"it leads to {remote}"
    for name, argument in (("id", "number"), ("port", "port")):
        if name in data and data[name] != operation.number(argument):
            return f"its {name} is {data[name]}"
    return ""
