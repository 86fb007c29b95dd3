"""Steps: one change of the world each, holding *do* and *undo* as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a provider can perform, idempotently: a verb and its plain arguments."""

    provider: str
    verb: str
    arguments: tuple[tuple[str, str | int | bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One reversible change: what to do, what undoes it, and how a person would put it."""

    do: Operation
    undo: Operation
    why: str
