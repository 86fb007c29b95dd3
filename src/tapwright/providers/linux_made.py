"""What mirrors made in the kernel, found again: namespaces by inode, devices by ifindex, filters by mark and cookie.

A name or a path may mean another one by the time something is undone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tapwright.adapters import namespaces, process, tc
from tapwright.adapters.tc_filters import Filter
from tapwright.model import Netns
from tapwright.plan.steps import Mark, Operation
from tapwright.providers.linux_mirror import is_tunnel, made_hooks
from tapwright.providers.linux_programs import mark_of


def mark_on(found: Filter) -> Mark | None:
    """The mark of a filter of ours; both places that carry the session have to agree."""
    mark = mark_of(found.program)
    return mark if mark and any(action.cookie == mark.session for action in found.actions) else None


def brought_hooks(found: Filter) -> bool:
    """Whether a filter is ours and says that tapwright made the hooks it is on."""
    return mark_on(found) is not None and made_hooks(found.handle)


def tunnelled(netns: Netns, bridge: str) -> list[bytes]:
    """The programs of our mirrors of a bridge's VLANs that copy by a tunnel, as they are for what the host sends.

    Raises ProviderError, PrivilegeError.
    """
    there = tc.filters(netns, tc.link(netns, bridge), "egress")
    return [each.program for each in there if mark_on(each) and any(is_tunnel(a.to_dev) for a in each.actions)]


def enter(operation: Operation) -> Netns | None:
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


def named(netns: Netns, name: str) -> tc.Link | None:
    """The device of that name, with the particulars of its kind."""
    try:
        return tc.described(netns, name)
    except tc.Gone:
        return None


def mirrored(netns: Netns, operation: Operation) -> tc.Link:
    """The device of an operation; one without a number is tapwright's own, whose name nobody else has."""
    name = operation.text("device")
    try:
        return tc.link(netns, operation.number("index") or name)
    except tc.Gone:
        raise tc.Gone(f"{name} does not exist any more") from None


def filters_of(operation: Operation, found: Sequence[Filter]) -> list[Filter]:
    """The filters an operation made: our number, our kind, our cookie."""
    return [
        each
        for each in found
        if each.handle == operation.number("handle")
        and each.kind == "bpf"
        and any(action.cookie == operation.text("session") for action in each.actions)
    ]
