"""Steps: one change of the world each, holding *do* and *undo* as data.

A step is written into the journal before it is done, and its undo must work without anything
but the operation itself: the process that undoes it may be another one, days later, with the
VM, the port or the switch gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Argument = str | int | bool


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a provider can perform, idempotently: a verb and its plain arguments."""

    provider: str
    verb: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    @classmethod
    def of(cls, provider: str, verb: str, **arguments: Argument) -> Operation:
        """With the arguments as keywords."""
        return cls(provider, verb, tuple(arguments.items()))

    def changed(self, **arguments: Argument) -> Operation:
        """The same with other arguments."""
        return Operation.of(self.provider, self.verb, **{**dict(self.arguments), **arguments})

    def text(self, name: str) -> str:
        """The argument of that name as text, "" without one."""
        return str(dict(self.arguments).get(name, ""))

    def number(self, name: str) -> int:
        """The argument of that name as a number, 0 without one."""
        return int(dict(self.arguments).get(name, 0))


@dataclass(frozen=True, slots=True)
class Step:
    """One reversible change: what to do, what undoes it, and how a person would put it."""

    do: Operation
    undo: Operation
    why: str


class Found(StrEnum):
    """What re-reading the world says of a step."""

    THERE = "there"
    """As it was done."""
    ABSENT = "absent"
    """Not done, or undone."""
    CHANGED = "changed"
    """Ours still, but somebody changed it since: to be reported, not overwritten."""
    UNKNOWN = "unknown"
    """Whoever holds it does not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is left of a step in the world, and what differs where it is not as it was done."""

    found: Found
    detail: str = ""


_LONGEST = 256
"""Characters of a mark; ours have not half as many, and what is longer is not to be remembered."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What everything that a session creates carries, so that it can be told and swept without the journal.

    Written as one short text of letters, digits and ``.:-``, which fits an OVS external id, a device alias
    and (its session alone) a tc cookie.
    """

    session: str
    """8 hexadecimal digits."""
    owner: str
    """Who renews the lease: ``PID.START.BOOT`` (`tap.owner`)."""
    expires: int
    """End of the first lease, in seconds since 1970; later ones are in the journal alone."""

    @property
    def text(self) -> str:
        """``tapwright:SESSION:OWNER:EXPIRES``."""
        return f"tapwright:{self.session}:{self.owner}:{self.expires}"

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        """The mark in `text`; None when that is somebody else's."""
        parts = text.split(":")
        if (
            len(text) > _LONGEST
            or len(parts) != 4
            or parts[0] != "tapwright"
            or not parts[3].isdecimal()
            or len(parts[3]) > 18
        ):
            return None
        return cls(parts[1], parts[2], int(parts[3]))


NOBODY = Mark("00000000", "0.0", 0)
"""The mark of steps that are only shown."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in the world that looks like a mirror's: ours by its mark, or a stranger's that does nothing."""

    provider: str
    what: str
    """As a person would say it: ``mirror twm-1a2b3c4d of bridge br0``."""
    mark: Mark | None
    """None for a stranger's, which is reported and never removed."""
    undo: Operation | None
    """What removes it; None for a stranger's."""
    command: str
    """What a person would type to remove it."""
    beat: str = ""
    """What its owner changes now and then as long as it lives, for those who cannot see it; "" where it does not."""
    here: bool = False
    """Whether only a process of this kernel can have made it."""
