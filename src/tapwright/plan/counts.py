"""What is counted of one mirror: at the mirrored port, and of its copies.  Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ways:
    """Frames in each direction, from the VM's side; None where nobody counts them apart."""

    into: int | None = None
    out: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """All that was counted since some moment before the mirror was opened, as of now."""

    seen: Ways = Ways()
    """By the vNIC's own counters: those of its device, or the switch's of its port."""
    copied: Ways = Ways()
    total: int | None = None
    """Copies of both directions, where only these are counted."""
    seen_bytes: int | None = None
    """Both directions, without what a tunnel adds."""
    failed: int = 0
    """Copies that could not be handed on: the target refused them, or the tunnel had errors."""
    lag: float = 1.0
    """Seconds that one of these numbers may be behind another at most."""
    why: str = ""
    """Why nothing can be counted from here, where that is so."""

    @property
    def copies(self) -> int | None:
        """Of both directions together."""
        if self.total is not None:
            return self.total
        known = [count for count in (self.copied.into, self.copied.out) if count is not None]
        return sum(known) if known else None
