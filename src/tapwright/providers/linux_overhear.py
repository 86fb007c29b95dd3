"""Bridges that hand every frame that they take in to their own device: done, undone and found again.

It is the owner of a session that has them do so, and nobody after it: there is nothing to sweep.
"""

from __future__ import annotations

from tapwright.adapters import tc
from tapwright.adapters.promiscuous import Promiscuous
from tapwright.errors import ProviderError
from tapwright.plan.steps import Finding, Found, Operation
from tapwright.providers.linux_made import enter, mirrored

VERBS = ("overhear", "unhear")


def perform(promiscuous: Promiscuous, operation: Operation) -> None:
    """Do or undo; idempotent.  Raises ProviderError, PrivilegeError."""
    if operation.verb == "unhear":
        promiscuous.release(*_of(operation))
        return
    netns = enter(operation)
    if netns is None:
        raise ProviderError(f"the network namespace of {operation.text('device')} is gone")
    promiscuous.hold(netns, mirrored(netns, operation).ifindex, operation.text("session"))


def found(promiscuous: Promiscuous, operation: Operation) -> Finding:
    """What is left of it; where the device went, the kernel has forgotten it.  Raises PrivilegeError."""
    netns = enter(operation)
    if netns is None or not promiscuous.holds(*_of(operation)):
        return Finding(Found.ABSENT)
    try:
        mirrored(netns, operation)
    except tc.Gone as error:
        promiscuous.release(*_of(operation))
        return Finding(Found.ABSENT, error.message)
    return Finding(Found.THERE)


def _of(operation: Operation) -> tuple[int, int, str]:
    return operation.number("inode"), operation.number("index"), operation.text("session")
