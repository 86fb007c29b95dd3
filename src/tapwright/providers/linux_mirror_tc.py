"""Mirrors by tc, done: hooks, filters and tunnel devices made, compared, counted and removed.

Namespaces are known by inode, devices by ifindex: a name or a path may mean another one by the
time something is undone.  What is gone is undone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence

from tapwright.adapters import namespaces, netlink, process, tc
from tapwright.adapters.tc_long import NewFilter
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Counters, Device, DeviceKey, Netns
from tapwright.plan import preflight
from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Direction, Mirror, TargetKind
from tapwright.plan.steps import Finding, Found, Leftover, Mark, Operation, Step
from tapwright.providers.linux_mirror import Facts, made_hooks, mark_of, no_such_tunnel, tunnel_name, tunnel_step

_MTU = 65000
"""Bytes: no frame of a VM is refused by the tunnel; what is too long for the way is cut into fragments behind it."""
_FOREMOST = 47
"""Priority of a filter on a hook where nobody else has one: before all that the kernel numbers by itself (49152)."""
_TC_HANDLE = re.compile(r"[0-9a-fx:]{1,32}")
_OWN_NAME = re.compile(r"twm[0-9a-f]{8}")
_KINDS = {"vxlan": "vxlan", "geneve": "geneve", "gre": "gretap", "erspan2": "erspan", "erspan3": "erspan"}


# Looking


def read(mirror: Mirror, globs: Sequence[str]) -> Facts:
    """What the steps depend on.  Raises ProviderError, PrivilegeError."""
    point = mirror.point
    if point.device is None:
        return Facts()
    census = namespaces.census(globs)
    try:
        devices = netlink.survey(census.namespaces).devices
    except OSError as error:
        raise ProviderError(f"rtnetlink: {error.strerror or error}") from None
    device = devices.get(point.device)
    name = device.name if device else point.device_name
    hooks = tc.hooked(point.netns).get(name, "")
    ours = bool(hooks) and any(_made(found) for hook in tc.HOOKS for found in tc.filters(point.netns, name, hook))
    way = tc.way(point.netns, mirror.target.remote) if mirror.target.remote else tc.Route()
    missing = _missing(mirror) if mirror.target.tunnel else ""
    return Facts(devices, hooks, ours, way.dev, way.prefsrc, missing)


def _missing(mirror: Mirror) -> str:
    """The kind of device that the mirror's tunnel needs, where the kernel does not have it."""
    details = tunnel(tunnel_step(mirror, tunnel_name(mirror)).do)
    return "" if tc.makes(mirror.point.netns, tunnel_name(mirror), details) else details[0]


def scout(mirror: Mirror, globs: Sequence[str]) -> preflight.Facts:
    """What is known of the copies' way.  Raises ProviderError, PrivilegeError."""
    point = mirror.point
    try:
        devices = netlink.survey(namespaces.census(globs).namespaces).devices
    except OSError as error:
        raise ProviderError(f"rtnetlink: {error.strerror or error}") from None
    mirrored = devices.get(point.device) if point.device else None
    mtu = mirrored.mtu if mirrored else 0
    if not mirror.target.tunnel:
        taker = devices.get(mirror.place.device) if mirror.place.device else None
        beyond = devices.get(taker.peer) if taker and taker.peer else None
        return preflight.Facts(vnic_mtu=mtu, taker_mtu=_takes(taker, beyond))
    route = tc.way(point.netns, mirror.target.remote)
    device = next((d for d in devices.values() if (d.key.netns, d.name) == (point.netns.inode, route.dev)), None)
    way = preflight.Way(route.dev, route.gateway, route.mtu or (device.mtu if device else 0))
    # None of the tunnels that are made here says that its packets must not be fragmented.
    return preflight.Facts(vnic_mtu=mtu, way=way, too_large=preflight.TooLarge.FRAGMENTS)


def _takes(taker: Device | None, beyond: Device | None) -> int:
    """The MTU that a target enforces: a veth's is that of its other end, its own says nothing about copies."""
    if beyond:
        return beyond.mtu
    return taker.mtu if taker and taker.kind not in ("veth", "tun") else 0


def _made(found: tc.Filter) -> bool:
    return _mark(found) is not None and made_hooks(found.handle)


def _mark(found: tc.Filter) -> Mark | None:
    """The mark of a filter of ours; both places that carry the session have to agree."""
    mark = mark_of(found.program)
    return mark if mark and any(action.cookie == mark.session for action in found.actions) else None


def _enter(operation: Operation) -> Netns | None:
    """The way into the namespace of an operation; None when it is gone."""
    inode, path = operation.number("inode"), operation.text("netns")
    if inode == process.own_netns():
        return Netns(inode)
    if path and _inode(path) == inode:
        return Netns(inode, path)
    return next((netns for netns in namespaces.census().namespaces if netns.inode == inode), None)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return 0


def _device(netns: Netns, index: int) -> tc.Link | None:
    return next((link for link in tc.links(netns) if link.ifindex == index), None)


def _named(netns: Netns, name: str) -> tc.Link | None:
    return next((link for link in tc.links(netns) if link.ifname == name), None)


def _ours(operation: Operation, found: Sequence[tc.Filter]) -> list[tc.Filter]:
    """The filters an operation made: our number, our kind, our cookie."""
    return [
        each
        for each in found
        if each.handle == operation.number("handle")
        and each.kind == "bpf"
        and any(action.cookie == operation.text("session") for action in each.actions)
    ]


# Doing


def perform(operation: Operation) -> None:
    """Do or undo; idempotent.  Raises ProviderError, PrivilegeError."""
    verbs = {
        "copy": _copy,
        "uncopy": _uncopy,
        "tunnel": _make_tunnel,
        "untunnel": _remove_tunnel,
    }
    if operation.verb not in verbs:
        raise ProviderError(f"linux cannot perform {operation.verb!r}")
    netns = _enter(operation)
    undoes = operation.verb.startswith("un")
    if netns is None and not undoes:
        raise ProviderError(f"the network namespace of {operation.text('device')} is gone")
    try:
        if netns is not None:
            # Between a look at the hooks and their end nobody of ours may put a filter there.
            with namespaces.alone(netns):
                verbs[operation.verb](netns, operation)
    except tc.Gone:
        if not undoes:
            raise


def _mirrored(netns: Netns, operation: Operation) -> tc.Link:
    """The device of an operation; one without a number is tapwright's own, whose name nobody else has."""
    index = operation.number("index")
    device = _device(netns, index) if index else _named(netns, operation.text("device"))
    if device is None:
        raise tc.Gone(f"{operation.text('device')} does not exist any more")
    return device


def _give_hooks(netns: Netns, device: str) -> None:
    held = tc.hooked(netns).get(device)
    if held == "ingress":
        raise ProviderError(f"{device} has an `ingress` qdisc by now, beside which no egress hook can be")
    if not held:
        tc.add_hooks(netns, device)


def _take_hooks(netns: Netns, device: str) -> None:
    """Remove the hooks, which were not there before us, unless somebody has something on them."""
    if _unused(netns, device):
        tc.delete_hooks(netns, device)


def _unused(netns: Netns, device: str) -> bool:
    return tc.hooked(netns).get(device) == "clsact" and not any(tc.filters(netns, device, hook) for hook in tc.HOOKS)


def _copy(netns: Netns, operation: Operation) -> None:
    device, hook = _mirrored(netns, operation), operation.text("hook")
    if made_hooks(operation.number("handle")):  # they go with the last mirror, which may just have been another one
        _give_hooks(netns, device.ifname)
    there = tc.filters(netns, device.ifname, hook)
    ours = _ours(operation, there)
    if differs := _differs(operation, ours[0]) if ours else _robbed(operation, there):
        raise ProviderError(f"the mirror of {device.ifname} was changed: {differs}", "stop it and open it again")
    if ours:
        return
    wanted = NewFilter(
        hook=hook,
        pref=_place(device.ifname, hook, there),
        handle=operation.number("handle"),
        program=bytes.fromhex(operation.text("program")),
        cookie=operation.text("session"),
        by_handle=any(each.parent == tc.BY_HANDLE for each in there),
    )
    tc.add_filter(netns, device, _target(netns, operation), wanted)


def _target(netns: Netns, operation: Operation) -> tc.Link:
    name, index = operation.text("to"), operation.number("to_index")
    to = _named(netns, name)
    if to is None or (index and to.ifindex != index):
        raise ProviderError(f"{name}, which was to get the copies, does not exist any more")
    if not to.up:
        raise ProviderError(f"{name} is down, and copies to it are lost", f"ip link set {name} up")
    return to


def _place(device: str, hook: str, there: Sequence[tc.Filter]) -> int:
    """The priority of a new filter of ours.  Raises ProviderError where there is none that sees every frame."""
    mine = frozenset(each.pref for each in there if _mark(each))
    pref = free(mine, frozenset(each.pref for each in there) - mine)
    if not pref:
        raise ProviderError(
            f"{device} has filters of somebody else's in the first places of its {hook} hook, "
            "which may keep frames from ours",
            f"give them a higher pref (tc filter show dev {device} {hook}), or capture: the device can be read",
        )
    return pref


def free(ours: Collection[int], others: Collection[int]) -> int:
    """A priority before all of others', none of ours; 0 where there is none.

    A filter of others may end a frame's way, behind it nobody sees that frame; ours never do.
    """
    before = min((*others, _FOREMOST + 1))
    return next((pref for pref in range(before - 1, 0, -1) if pref not in ours), 0)


def _uncopy(netns: Netns, operation: Operation) -> None:
    device, hook = _mirrored(netns, operation).ifname, operation.text("hook")
    if not tc.hooked(netns).get(device):
        return
    for found in _ours(operation, tc.filters(netns, device, hook)):
        tc.delete_filter(netns, device, hook, found)
    if made_hooks(operation.number("handle")):
        _take_hooks(netns, device)


def _make_tunnel(netns: Netns, operation: Operation) -> None:
    name, mark = operation.text("device"), operation.text("mark")
    there = _named(netns, name)
    if there and (there.ifalias not in ("", mark) or (differs := _tunnel_differs(operation, there))):
        raise ProviderError(f"{name} was changed: {differs if there.ifalias == mark else 'it is not ours'}")
    if not there:
        _add_tunnel(netns, operation)
    if not there or not there.ifalias:
        tc.describe_link(netns, name, mark)
    if not there or not there.up:
        tc.start_link(netns, name)


def _add_tunnel(netns: Netns, operation: Operation) -> None:
    details = tunnel(operation)
    try:
        tc.add_link(netns, operation.text("device"), _MTU, details)
    except tc.Unsupported as error:
        raise no_such_tunnel(details[0]) from error
    except ProviderError as error:
        if "exist" in error.message:
            raise ProviderError(
                f"another device has that tunnel already: {error.message}", "take another vni=, key= or session="
            ) from None
        raise


def tunnel(operation: Operation) -> list[str]:
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


def _remove_tunnel(netns: Netns, operation: Operation) -> None:
    device = _named(netns, operation.text("device"))
    if device and _is_ours(device, operation):
        tc.delete_link(netns, device.ifname)


def _is_ours(device: tc.Link, operation: Operation) -> bool:
    """By its alias; one of our name and a tunnel's kind without alias is ours, from before a kill."""
    mark = Mark.parse(device.ifalias)
    if mark:
        return mark.session == operation.text("session")
    half_made = not device.ifalias and not device.up and _OWN_NAME.fullmatch(device.ifname)
    return bool(half_made) and device.linkinfo.info_kind.removeprefix("ip6") in _KINDS.values()


# Looking again


def found(step: Step) -> Finding:
    """What is left of a step.  Raises PrivilegeError."""
    look = {"copy": _found_filter, "tunnel": _found_tunnel}.get(step.do.verb)
    if look is None:
        return Finding(Found.UNKNOWN, f"linux does not know {step.do.verb!r}")
    try:
        netns = _enter(step.do)
        return look(netns, step.do) if netns else Finding(Found.ABSENT, "its network namespace is gone")
    except tc.Gone as error:
        return Finding(Found.ABSENT, error.message)
    except PrivilegeError:
        raise
    except ProviderError as error:
        return Finding(Found.UNKNOWN, error.message)


def _found_filter(netns: Netns, operation: Operation) -> Finding:
    device = _mirrored(netns, operation).ifname
    there = tc.filters(netns, device, operation.text("hook"))
    ours = _ours(operation, there)
    if not ours:
        if robbed := _robbed(operation, there):
            return Finding(Found.CHANGED, robbed)
        left = made_hooks(operation.number("handle")) and _hooks_are_ours(netns, device)
        return Finding(Found.THERE, "its hooks are left") if left else Finding(Found.ABSENT)
    if differs := _differs(operation, ours[0]):
        return Finding(Found.CHANGED, differs)
    # A target that went away is nobody's change of the filter: it has to go like any other.
    gone = any(action.to_dev == "*" for action in ours[0].actions)
    return Finding(Found.THERE, f"{operation.text('to')}, its target, is gone" if gone else "")


def _hooks_are_ours(netns: Netns, device: str) -> bool:
    """Whether nobody else will remove the hooks: nothing is there, or mirrors of ours that found them there.

    Whoever died between making hooks and putting a filter there left nothing that says so, but the journal.
    """
    there = [each for hook in tc.HOOKS for each in tc.filters(netns, device, hook) if each.options]
    return tc.hooked(netns).get(device) == "clsact" and all(_mark(each) and not _made(each) for each in there)


def _robbed(operation: Operation, there: Sequence[tc.Filter]) -> str:
    """What is gone of a filter that has our number and is not ours by its cookie."""
    same = any(each.kind == "bpf" and each.handle == operation.number("handle") for each in there)
    return "its cookie is gone" if same else ""


def _differs(operation: Operation, there: tc.Filter) -> str:
    """What somebody changed about a filter of ours, "" when nothing."""
    wanted = operation.text("to")
    action = there.actions[0] if there.actions else tc.Action()
    checks = (
        (len(there.actions) != 1, f"it has {len(there.actions)} actions"),
        ((action.kind, action.mirred_action, action.direction) != ("mirred", "mirror", "egress"), "it copies no more"),
        (action.to_dev not in ("*", wanted), f"copies go to {action.to_dev}, not {wanted}"),
        (action.control_action.type != "continue", f"it ends with {action.control_action.type!r}"),
        ((there.protocol, there.chain) != ("all", 0), f"it sees {there.protocol} of chain {there.chain} only"),
        (there.program.hex() != operation.text("program"), "its program is another one"),
    )
    return "; ".join(text for differs, text in checks if differs)


def _found_tunnel(netns: Netns, operation: Operation) -> Finding:
    device = _named(netns, operation.text("device"))
    if device is None:
        return Finding(Found.ABSENT)
    mark = Mark.parse(device.ifalias)
    if mark is None or mark.session != operation.text("session"):
        return Finding(Found.CHANGED, "its alias is gone" if not device.ifalias else "its alias is another one")
    differs = _tunnel_differs(operation, device) or ("" if device.up else "it is down")
    return Finding(Found.CHANGED if differs else Found.THERE, differs)


def _tunnel_differs(operation: Operation, device: tc.Link) -> str:
    kind, data = device.linkinfo.info_kind, device.linkinfo.info_data
    wanted = tunnel(operation)[0]
    if kind != wanted:
        return f"it is a {kind or 'NIC'}, not a {wanted}"
    remote = data.get("remote") or data.get("remote6")
    if remote != operation.text("remote"):
        return f"it leads to {remote}"
    for name, argument in (("id", "number"), ("port", "port")):
        if name in data and data[name] != operation.number(argument):
            return f"its {name} is {data[name]}"
    return ""


def copied(step: Step) -> int | None:
    """Frames that a filter copied; None for other steps and what is gone.  Raises ProviderError, PrivilegeError."""
    found = _statistics(step) if step.do.verb == "copy" else None
    return found.packets - found.overlimits if found else None


def measured(steps: Sequence[Step]) -> Counts:
    """What is counted of one mirror; its copies before the frames of its device, so that they are never ahead.

    Raises ProviderError, PrivilegeError.
    """
    filters = {Direction(step.do.text("direction")): step for step in steps if step.do.verb == "copy"}
    stats = {direction: _statistics(step) for direction, step in filters.items()}
    # A filter that is gone copies nothing.
    packets = {direction: each.packets if each else 0 for direction, each in stats.items()}
    ways = Ways(packets.get(Direction.IN), packets.get(Direction.OUT))
    refused = sum(each.overlimits for each in stats.values() if each)
    tunnels = [counters for step in steps if step.do.verb == "tunnel" and (counters := _tunnel_counters(step.do))]
    lost = sum(counters.tx_errors + counters.tx_dropped for counters in tunnels)
    first = next(iter(filters.items()), None)
    device = _counters(first[1].do) if first else None
    if first is None or device is None:
        return Counts(copied=ways, failed=refused + lost)
    outside = (first[0] is Direction.IN) == (first[1].do.text("hook") == "egress")
    seen = Ways(device.tx_packets, device.rx_packets) if outside else Ways(device.rx_packets, device.tx_packets)
    return Counts(seen, ways, None, device.tx_bytes + device.rx_bytes, refused + lost, lag=1.5)


def _statistics(step: Step) -> tc.Statistics | None:
    netns = _enter(step.do)
    try:
        device = _mirrored(netns, step.do).ifname if netns else ""
        ours = _ours(step.do, tc.filters(netns, device, step.do.text("hook"))) if netns else []
    except tc.Gone:
        return None
    return next((action.stats for each in ours for action in each.actions[:1]), None)


def _counters(operation: Operation) -> Counters | None:
    """Of the mirrored device."""
    netns, key = _enter(operation), DeviceKey(operation.number("inode"), operation.number("index"))
    return netlink.read_counters([key], {key.netns: netns}).get(key) if netns else None


def _tunnel_counters(operation: Operation) -> Counters | None:
    netns = _enter(operation)
    device = _named(netns, operation.text("device")) if netns else None
    if netns is None or device is None:
        return None
    key = DeviceKey(netns.inode, device.ifindex)
    return netlink.read_counters([key], {netns.inode: netns}).get(key)


# What is left


def leftovers(globs: Sequence[str]) -> Iterator[Leftover]:
    """Ours in every namespace that may be looked into, and strangers' mirrors that lead nowhere.

    Raises ProviderError, PrivilegeError.
    """
    for netns in namespaces.census(globs).namespaces:
        try:
            yield from _leftovers(netns)
        except tc.Gone:
            continue


def _leftovers(netns: Netns) -> Iterator[Leftover]:
    links = {link.ifname: link for link in tc.links(netns)}
    for device in tc.hooked(netns):
        # A u32 filter of one hook is listed at the other, too, where that has one of the same priority.
        listed: set[tuple[int, str]] = set()
        for hook in tc.HOOKS if device in links else ():
            try:
                there = tc.filters(netns, device, hook)
            except (tc.Gone, PrivilegeError):
                raise
            except ProviderError as error:
                yield _unread(netns, device, hook, error)
                continue
            fresh = [each for each in there if each.kind != "u32" or (each.pref, each.name) not in listed]
            listed |= {(each.pref, each.name) for each in there}
            yield from _left_filters(netns, links[device], hook, fresh)
    for link in links.values():
        yield from _left_device(netns, link)


def _unread(netns: Netns, device: str, hook: str, error: ProviderError) -> Leftover:
    what = f"filters of {device}{_inside(netns)}, {hook}, which cannot be read: {error.message}"
    return Leftover("linux", what, None, None, f"{_way(netns)}tc filter show dev {device} {hook}")


def _left_filters(netns: Netns, link: tc.Link, hook: str, there: Sequence[tc.Filter]) -> Iterator[Leftover]:
    for each in there:
        mark = _mark(each)
        nowhere = any(action.kind == "mirred" and action.to_dev == "*" for action in each.actions)
        if mark is None and not nowhere:
            continue
        which = f" handle {each.name} {each.kind}" if _TC_HANDLE.fullmatch(each.name) else ""
        yield Leftover(
            "linux",
            f"mirror of {link.ifname}{_inside(netns)}, {hook}, to {_goals(each)}",
            mark,
            _without(netns, link, hook, each, mark) if mark else None,
            f"{_way(netns)}tc filter del dev {link.ifname} {hook} protocol {each.protocol} pref {each.pref}{which}",
        )


def _without(netns: Netns, link: tc.Link, hook: str, each: tc.Filter, mark: Mark) -> Operation:
    return Operation.of(
        "linux",
        "uncopy",
        netns=netns.path,
        inode=netns.inode,
        index=link.ifindex,
        device=link.ifname,
        session=mark.session,
        hook=hook,
        handle=each.handle,
    )


def _goals(each: tc.Filter) -> str:
    names = [action.to_dev for action in each.actions if action.kind == "mirred"]
    return ", ".join("a device that is gone" if name == "*" else name for name in names)


def _left_device(netns: Netns, link: tc.Link) -> Iterator[Leftover]:
    mark = Mark.parse(link.ifalias)
    if mark is None:
        return
    undo = Operation.of(
        "linux", "untunnel", netns=netns.path, inode=netns.inode, device=link.ifname, session=mark.session
    )
    what = f"device {link.ifname}{_inside(netns)}"
    yield Leftover("linux", what, mark, undo, f"{_way(netns)}ip link del dev {link.ifname}")


def _inside(netns: Netns) -> str:
    return f" in {netns.name or netns.path}" if netns.path else ""


def _way(netns: Netns) -> str:
    return f"nsenter --net={netns.path} " if netns.path else ""
