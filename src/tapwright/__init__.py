"""Tapwright: name a VM; get its packets, whole, in one file, with proof of what is missing.

    import tapwright

    topology = tapwright.look()                       # VMs, vNICs, switches, overlays of this host
    print(tapwright.plan_capture(["web-1"]).plan.cost)        # what a capture would take; changes nothing

    with tapwright.open_capture(["web-1", "db-3"], filter="tcp port 5432", path="both.pcapng") as capture:
        capture.wait(10)
    print(capture.ledger.complete, capture.ledger.total)

    with tapwright.open_capture(["web-1"]) as capture:     # no path: packets as columns
        for batch in capture.batches():
            print(len(batch), sum(batch.length))

Everything that can go wrong is a `TapwrightError` (see `tapwright.errors`).  Heavy parts are
imported when they are first used.  (`tapwright.capture` and `tapwright.plan` are rooms of the
house, so the verbs are called `open_capture` and `plan_capture`.)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapwright._core import Batch
    from tapwright.capture.ledger import Ledger
    from tapwright.control.api import open_capture, plan_capture
    from tapwright.control.capture import Capture
    from tapwright.control.local import look
    from tapwright.errors import TapwrightError
    from tapwright.find.names import resolve
    from tapwright.find.topology import Topology

_PUBLIC = {
    "Batch": "tapwright._core",
    "Capture": "tapwright.control.capture",
    "Ledger": "tapwright.capture.ledger",
    "TapwrightError": "tapwright.errors",
    "Topology": "tapwright.find.topology",
    "look": "tapwright.control.local",
    "open_capture": "tapwright.control.api",
    "plan_capture": "tapwright.control.api",
    "resolve": "tapwright.find.names",
}

__all__ = [
    "Batch",
    "Capture",
    "Ledger",
    "TapwrightError",
    "Topology",
    "look",
    "open_capture",
    "plan_capture",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tapwright' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
