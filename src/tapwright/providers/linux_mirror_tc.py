"""Mirrors by tc, done: hooks and filters made, compared and removed.  What is gone is undone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tapwright.adapters import tc
from tapwright.adapters.namespace_lock import alone
from tapwright.adapters.tc_filters import BY_HANDLE, Action, Filter, NewFilter
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns
from tapwright.plan.mirrors import parse
from tapwright.plan.steps import Finding, Found, Operation, Step
from tapwright.providers import linux_tunnel
from tapwright.providers.linux_made import brought_hooks, enter, filters_of, mark_on, mirrored, tunnelled
from tapwright.providers.linux_mirror import made_hooks
from tapwright.providers.linux_vlan_programs import lets_through
from tapwright.providers.linux_vlans import CIRCLE_ADVICE, circle, passes_of

_FOREMOST = 47
"""Priority of a filter on a hook where nobody else has one: before all that the kernel numbers by itself (49152)."""


def perform(operation: Operation) -> None:
    """Do or undo; idempotent.  Raises ProviderError, PrivilegeError."""
    verbs = {
        "copy": _copy,
        "uncopy": _uncopy,
        "tunnel": linux_tunnel.make,
        "untunnel": linux_tunnel.remove,
    }
    if operation.verb not in verbs:
        raise ProviderError(f"linux cannot perform {operation.verb!r}")
    netns = enter(operation)
    undoes = operation.verb.startswith("un")
    if netns is None and not undoes:
        raise ProviderError(f"the network namespace of {operation.text('device')} is gone")
    try:
        if netns is not None:
            # Between a look at the hooks and their end nobody of ours may put a filter there.
            with alone(netns):
                verbs[operation.verb](netns, operation)
    except tc.Gone:
        if not undoes:
            raise


def _give_hooks(netns: Netns, device: tc.Link) -> None:
    held = tc.hooked(netns).get(device.ifindex)
    if held == "ingress":
        raise ProviderError(f"{device.ifname} has an `ingress` qdisc by now, beside which no egress hook can be")
    if not held:
        tc.add_hooks(netns, device)


def _take_hooks(netns: Netns, device: tc.Link) -> None:
    """Remove the hooks, which were not there before us, unless somebody has something on them."""
    if _unused(netns, device):
        tc.delete_hooks(netns, device)


def _unused(netns: Netns, device: tc.Link) -> bool:
    held = tc.hooked(netns).get(device.ifindex)
    return held == "clsact" and not any(tc.filters(netns, device, hook) for hook in tc.HOOKS)


def _copy(netns: Netns, operation: Operation) -> None:
    device, hook = mirrored(netns, operation), operation.text("hook")
    if made_hooks(operation.number("handle")):  # they go with the last mirror, which may just have been another one
        _give_hooks(netns, device)
    there = tc.filters(netns, device, hook)
    ours = filters_of(operation, there)
    replaces = bool(ours) and ours[0].program.hex() == operation.text("was")
    if differs := _differs(operation, ours[0], replaces=replaces) if ours else _robbed(operation, there):
        raise ProviderError(f"the mirror of {device.ifname} was changed: {differs}", "stop it and open it again")
    if replaces:
        _replace(netns, device, operation, ours[0])
    if ours:
        return
    if operation.text("was"):
        raise ProviderError(f"the mirror of {device.ifname} is gone", "stop it and open it again")
    if hook == "egress":
        _refuse_circle(netns, operation)
    wanted = NewFilter(
        hook=hook,
        pref=_place(device.ifname, hook, there),
        handle=operation.number("handle"),
        program=bytes.fromhex(operation.text("program")),
        cookie=operation.text("session"),
        by_handle=any(each.parent == BY_HANDLE for each in there),
    )
    tc.add_filter(netns, device, _target(netns, operation), wanted)


def _refuse_circle(netns: Netns, operation: Operation) -> None:
    """Whoever opened another mirror since ours was planned may copy what our tunnel sends."""
    for bridge, tag in passes_of(operation):
        beside = [program for program in tunnelled(netns, bridge) if lets_through(program, tag)]
        if why := circle(parse(operation.text("target")), beside):
            raise ProviderError(f"on {bridge} {why}", CIRCLE_ADVICE)


def _replace(netns: Netns, device: tc.Link, operation: Operation, there: Filter) -> None:
    """Another program in the same place, for the same copies."""
    program, by_handle = bytes.fromhex(operation.text("program")), there.parent == BY_HANDLE
    wanted = NewFilter(
        operation.text("hook"), there.pref, there.handle, program, operation.text("session"), by_handle
    )  # fmt: skip
    tc.replace_filter(netns, device, wanted, there.actions[0])


def _target(netns: Netns, operation: Operation) -> tc.Link:
    name, index = operation.text("to"), operation.number("to_index")
    try:
        to = tc.link(netns, name)
    except tc.Gone:
        to = None
    if to is None or (index and to.ifindex != index):
        raise ProviderError(f"{name}, which was to get the copies, does not exist any more")
    if not to.up:
        raise ProviderError(f"{name} is down, and copies to it are lost", f"ip link set {name} up")
    return to


def _place(device: str, hook: str, there: Sequence[Filter]) -> int:
    """The priority of a new filter of ours.  Raises ProviderError where there is none that sees every frame."""
    mine = frozenset(each.pref for each in there if mark_on(each))
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
    device, hook = mirrored(netns, operation), operation.text("hook")
    if not tc.hooked(netns).get(device.ifindex):
        return
    for found in filters_of(operation, tc.filters(netns, device, hook)):
        tc.delete_filter(netns, device, hook, found)
    if made_hooks(operation.number("handle")):
        _take_hooks(netns, device)


def found(step: Step) -> Finding:
    """What is left of a step.  Raises PrivilegeError."""
    look = {"copy": _found_filter, "tunnel": linux_tunnel.found}.get(step.do.verb)
    if look is None:
        return Finding(Found.UNKNOWN, f"linux does not know {step.do.verb!r}")
    try:
        netns = enter(step.do)
        return look(netns, step.do) if netns else Finding(Found.ABSENT, "its network namespace is gone")
    except tc.Gone as error:
        return Finding(Found.ABSENT, error.message)
    except PrivilegeError:
        raise
    except ProviderError as error:
        return Finding(Found.UNKNOWN, error.message)


def _found_filter(netns: Netns, operation: Operation) -> Finding:
    device = mirrored(netns, operation)
    there = tc.filters(netns, device, operation.text("hook"))
    ours = filters_of(operation, there)
    if not ours:
        if robbed := _robbed(operation, there):
            return Finding(Found.CHANGED, robbed)
        left = made_hooks(operation.number("handle")) and _hooks_are_ours(netns, device)
        return Finding(Found.THERE, "its filter is gone, and its hooks are left") if left else Finding(Found.ABSENT)
    if differs := _differs(operation, ours[0]):
        return Finding(Found.CHANGED, differs)
    # A target that went away is nobody's change of the filter: it has to go like any other.
    gone = any(action.to_dev == "*" for action in ours[0].actions)
    return Finding(Found.THERE, f"{operation.text('to')}, its target, is gone" if gone else "")


def _hooks_are_ours(netns: Netns, device: tc.Link) -> bool:
    """Whether nobody else will remove the hooks: nothing is there, or mirrors of ours that found them there.

    Whoever died between making hooks and putting a filter there left nothing that says so, but the journal.
    """
    there = [each for hook in tc.HOOKS for each in tc.filters(netns, device, hook) if each.whole]
    return tc.hooked(netns).get(device.ifindex) == "clsact" and all(
        mark_on(each) and not brought_hooks(each) for each in there
    )


def _robbed(operation: Operation, there: Sequence[Filter]) -> str:
    """What is gone of a filter that has our number and is not ours by its cookie."""
    same = any(each.kind == "bpf" and each.handle == operation.number("handle") for each in there)
    return "its cookie is gone" if same else ""


def _differs(operation: Operation, there: Filter, *, replaces: bool = False) -> str:
    """What somebody changed about a filter of ours, "" when nothing; `replaces` where its program is to be another."""
    wanted, index = operation.text("to"), operation.number("to_index")
    action = there.actions[0] if there.actions else Action()
    same = action.to_index == index if index else action.to_dev == wanted
    checks = (
        (len(there.actions) != 1, f"it has {len(there.actions)} actions"),
        ((action.kind, action.mirred_action, action.direction) != ("mirred", "mirror", "egress"), "it copies no more"),
        (not same and action.to_dev != "*", f"copies go to {action.to_dev}, not {wanted}"),
        (action.control != "continue", f"it ends with {action.control!r}"),
        ((there.protocol, there.chain) != ("all", 0), f"it sees {there.protocol} of chain {there.chain} only"),
        (not replaces and there.program.hex() != operation.text("program"), "its program is another one"),
    )
    return "; ".join(text for differs, text in checks if differs)
