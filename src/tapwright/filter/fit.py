"""Whether an inner filter fits into the kernel, and what is done where it does not.

Pure: the answer is a value, and nothing is attached here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tapwright.errors import FilterError
from tapwright.filter.program import MAX_INSTRUCTIONS, Program, pack
from tapwright.filter.relocate import Filters, shortest
from tapwright.filter.walk import Kind
from tapwright.filter.wrapping import Wrapping


class FilteredBy(StrEnum):
    """Who refuses the packets that are not wanted; the ledger's word for it."""

    KERNEL = "kernel"
    ENGINE = "engine"
    BOTH = "kernel and engine"


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the filter runs."""

    kernel: Program
    """For the socket."""
    engine: bytes = b""
    """What the kernel lets pass is judged by this in the engine (`_core.Bpf`), b"" when it need not be."""
    filtered_by: FilteredBy = FilteredBy.KERNEL
    reason: str = ""
    """Why the kernel does not do it alone."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It fits nowhere that was agreed to."""

    reason: str
    nearest: Wrapping | None = None
    """The form nearest to what was asked for that fits; None when none does."""
    described: str = ""
    """What is left out in it."""

    def error(self, text: str = "") -> FilterError:
        """The same as an error; `text` is the user's own filter."""
        hint = f"it fits {self.described}" if self.nearest else "filter on a network (`net 10.0.0.0/24`) instead"
        return FilterError(self.reason, text, hint=hint)

    def with_consent(self, text: str) -> FilterError:
        """The same where a person may agree to have it finished in the engine."""
        error = self.error(text)
        return FilterError(error.message, text, hint=f"{error.hint}; or let the engine finish it: --filter-in-engine")


def fit(
    filters: Filters, wrapping: Wrapping, *, finish_in_engine: bool = False, limit: int = MAX_INSTRUCTIONS
) -> Fit | Refused:
    """Decide.  `finish_in_engine` is the user's consent; `limit` is how many instructions there is room for.

    In the engine the whole program runs.  The kernel then still refuses what it can: by
    `filters.outer`, by the identifiers and by whether anything is wrapped.
    """
    code = shortest(filters, wrapping, limit)
    if len(code) <= limit:
        return Fit(Program.of(code))
    reason = f"the filter needs {len(code):,} instructions for every wrapping it may be in; there is room for {limit:,}"
    if not finish_in_engine:
        return _refused(filters, wrapping, reason, limit)
    coarse = _coarse(filters, wrapping, limit)
    by = FilteredBy.BOTH if coarse else FilteredBy.ENGINE
    return Fit(coarse or Program.keep_all(), pack(code), by, reason)


def _coarse(filters: Filters, wrapping: Wrapping, limit: int) -> Program | None:
    """What the kernel can refuse anyhow; None when that is nothing."""
    if not filters.outer and not wrapping.ids and wrapping.plain:
        return None
    everything = Program.keep_all()
    wide = Filters(everything, everything, everything, filters.outer)
    code = shortest(wide, replace(wrapping, snaplen=None), limit)
    return Program.of(code) if len(code) <= limit else None


def _refused(filters: Filters, wrapping: Wrapping, reason: str, limit: int) -> Refused:
    for described, narrower in _narrower(wrapping):
        if len(shortest(filters, narrower, limit)) <= limit:
            return Refused(reason, narrower, described)
    return Refused(reason)


def _narrower(wrapping: Wrapping) -> Iterator[tuple[str, Wrapping]]:
    """Ever less, beginning with what is missed least."""
    bridging = [row.name for row in wrapping.chosen if Kind.ETHERNET in row.carries]
    if wrapping.depth > 1:
        wrapping = replace(wrapping, depth=1)
        yield "when only one wrapping is opened", wrapping
    if wrapping.raw and bridging:
        wrapping = replace(wrapping, raw=False)
        yield "when only one wrapping is opened, with Ethernet inside", wrapping
    if wrapping.plain and not wrapping.ids:
        wrapping = replace(wrapping, plain=False)
        yield "when only one wrapping is opened, and frames that are not wrapped are left out", wrapping
    for name in bridging:
        yield f"when only {name} is opened", replace(wrapping, encapsulations=(name,))
