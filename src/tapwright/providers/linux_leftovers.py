"""What mirrors left in the kernel: ours by their mark, and strangers' that lead nowhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from tapwright.adapters import namespaces, tc
from tapwright.adapters.tc_filters import Filter
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns
from tapwright.plan.steps import Leftover, Mark, Operation
from tapwright.providers.linux_made import mark_on
from tapwright.providers.linux_tunnel import half_made, wraps

_TC_HANDLE = re.compile(r"[0-9a-fx:]{1,32}")


def leftovers(globs: Sequence[str]) -> Iterator[Leftover]:
    """Ours in every namespace that may be looked into, and strangers' mirrors that lead nowhere.

    One that does not answer, as a tenant can have its own do, hides no other.  Raises PrivilegeError.
    """
    for netns in namespaces.census(globs).namespaces:
        try:
            yield from _leftovers(netns)
        except tc.Gone:
            continue
        except ProviderError as error:
            what = f"devices{_inside(netns)}, which cannot be read: {error.message}"
            yield Leftover("linux", what, None, None, _command(netns, "ip", "link", "show"))


def _leftovers(netns: Netns) -> Iterator[Leftover]:
    links = {link.ifindex: link for link in tc.links(netns)}
    for index in tc.hooked(netns):
        # A u32 filter of one hook is listed at the other, too, where that has one of the same priority.
        listed: set[tuple[int, str]] = set()
        for hook in tc.HOOKS if index in links else ():
            device = links[index].ifname
            try:
                there = tc.filters(netns, links[index], hook)
            except (tc.Gone, PrivilegeError):
                raise
            except ProviderError as error:
                yield _unread(netns, device, hook, error)
                continue
            fresh = [each for each in there if each.kind != "u32" or (each.pref, each.name) not in listed]
            listed |= {(each.pref, each.name) for each in there}
            yield from _left_filters(netns, links[index], hook, fresh)
    for link in links.values():
        yield from _left_device(netns, link)


def _unread(netns: Netns, device: str, hook: str, error: ProviderError) -> Leftover:
    what = f"filters of {device}{_inside(netns)}, {hook}, which cannot be read: {error.message}"
    return Leftover("linux", what, None, None, _command(netns, "tc", "filter", "show", "dev", device, hook))


def _left_filters(netns: Netns, link: tc.Link, hook: str, there: Sequence[Filter]) -> Iterator[Leftover]:
    for each in there:
        mark = mark_on(each)
        nowhere = any(action.kind == "mirred" and action.to_dev == "*" for action in each.actions)
        if mark is None and not nowhere:
            continue
        yield Leftover(
            "linux",
            f"mirror of {link.ifname}{_inside(netns)}, {hook}, to {_goals(each)}",
            mark,
            _without(netns, link, hook, each, mark) if mark else None,
            _command(netns, "tc", "filter", "del", "dev", link.ifname, hook, *_which(each)),
            here=True,
        )


def _which(each: Filter) -> Iterator[str]:
    """What tells one filter of a hook from all others."""
    if each.chain:
        yield from ("chain", str(each.chain))
    # tc shows a number that it has no name for in brackets, and does not take it so.
    yield from ("protocol", each.protocol.strip("[]"), "pref", str(each.pref))
    if _TC_HANDLE.fullmatch(each.name):
        yield from ("handle", each.name, each.kind)


def _without(netns: Netns, link: tc.Link, hook: str, each: Filter, mark: Mark) -> Operation:
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


def _goals(each: Filter) -> str:
    names = [action.to_dev for action in each.actions if action.kind == "mirred"]
    return ", ".join("a device that is gone" if name == "*" else name for name in names)


def _left_device(netns: Netns, link: tc.Link) -> Iterator[Leftover]:
    what, command = f"device {link.ifname}{_inside(netns)}", _command(netns, "ip", "link", "del", "dev", link.ifname)
    if not wraps(link):  # whatever its alias and its name say
        return
    if mark := Mark.parse(link.ifalias):
        undo = Operation.of(
            "linux", "untunnel", netns=netns.path, inode=netns.inode, device=link.ifname, session=mark.session
        )
        yield Leftover("linux", what, mark, undo, command, here=True)
    elif half_made(link):
        # The journal knows whose it is. Where that is lost too, a name is too little to remove it for.
        yield Leftover("linux", f"{what}, which tapwright may have begun to make", None, None, command)


def _inside(netns: Netns) -> str:
    return f" in {netns.name or netns.path}" if netns.path else ""


def _command(netns: Netns, *words: str) -> str:
    """What a person would type; a device is called whatever a tenant likes, also what a shell takes for a command."""
    enter = ["nsenter", f"--net={netns.path}"] if netns.path else []
    return shlex.join([*enter, *words])
