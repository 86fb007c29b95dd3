"""Points in the life of a mirror of a real provider: around what it does and looks at, and around each single call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

from tap.victims import Tick
from tapwright.adapters import command, ovsdb_transact, rtnetlink, unixctl
from tapwright.plan.steps import Finding, Leftover, Operation, Step
from tapwright.providers.base import Tapper

_READ_ONLY = frozenset({"select", "wait", "comment"})
_ORDERS = {
    rtnetlink.NEW_QDISC: "new hooks", rtnetlink.DELETE_QDISC: "no hooks",
    rtnetlink.NEW_FILTER: "new filter", rtnetlink.DELETE_FILTER: "no filter",
}  # fmt: skip
_VARIES = re.compile(r"twt-[0-9-]+|--net=\S+|tw[m0-9a-f]\w{6,}|[0-9a-f]{8}|0x[0-9a-f]+")
"""Namespaces, names that carry a session, and numbers made from one."""


class Watched:
    """A provider with a point before and after each change, each single call of one, and each look."""

    def __init__(self, tapper: Tapper, tick: Tick) -> None:
        self._tapper, self._tick = tapper, tick
        self.name = tapper.name

    def perform(self, operation: Operation) -> None:
        self._tick(f"before {operation.verb}")
        with told(self._tick):
            self._tapper.perform(operation)
        self._tick(f"after {operation.verb}")

    def found(self, step: Step) -> Finding:
        finding = self._tapper.found(step)
        self._tick(f"found {finding.found}")
        return finding

    def leftovers(self) -> Sequence[Leftover]:
        found = self._tapper.leftovers()
        self._tick(f"{len(found)} leftovers")
        return found


@contextmanager
def told(tick: Tick) -> Iterator[None]:
    """While this holds, `tick` hears of each command, transaction and message that changes something."""
    with ExitStack() as stack:
        for module, name, described in _CALLS:
            stack.enter_context(_around(module, name, described, tick))
        yield


def _around(module: ModuleType, name: str, described: Callable[..., str], tick: Tick) -> Any:
    real = getattr(module, name)

    def called(*arguments: Any, **named: Any) -> Any:
        what = described(*arguments)
        if not what:
            return real(*arguments, **named)
        tick(f"before {what}")
        try:
            return real(*arguments, **named)
        finally:
            tick(f"after {what}")

    return mock.patch.object(module, name, called)


def _command(argv: Sequence[str], *_: object) -> str:
    words = [word for word in argv if word != "nsenter" and not word.startswith("--net=")]
    return "" if "-j" in words else _VARIES.sub("*", " ".join(words[:6]))


def _transaction(_: object, request: Mapping[str, Any], *__: object) -> str:
    changes = [step for step in request["params"][1:] if step["op"] not in _READ_ONLY]
    return " ".join(f"{step['op']} {step['table']}" for step in changes)


def _order(_: object, request: Mapping[str, Any], *__: object) -> str:
    return str(request["method"]) if request["method"] != "coverage/read-counter" else ""


def _message(_: object, kind: int, *__: object) -> str:
    return _ORDERS.get(kind, "")


_CALLS: tuple[tuple[ModuleType, str, Callable[..., str]], ...] = (
    (command, "run", _command),
    (ovsdb_transact, "ask", _transaction),
    (unixctl, "ask", _order),
    (rtnetlink, "ask", _message),
)
