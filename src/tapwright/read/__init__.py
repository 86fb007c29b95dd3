"""Reading: capture files unwrapped, filtered, cut, split and looked at, on any system and without privilege.

All work on packets is native (`_core`); this room says what is wanted and what came of it.  What
a verb does not need is not imported before the native thread is at work.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapwright.read.job import Job, Progress
    from tapwright.read.report import Decapped, Filtered, Info, Input, Sliced, Split, Stuck, Totals
    from tapwright.read.request import Part, Request, Unwrap
    from tapwright.read.verbs import decap, filter_file, info, slice_file, split_file

_ROOMS = {
    "job": ("Job", "Progress"),
    "report": ("Decapped", "Filtered", "Info", "Input", "Sliced", "Split", "Stuck", "Totals"),
    "request": ("Part", "Request", "Unwrap"),
    "verbs": ("decap", "filter_file", "info", "slice_file", "split_file"),
}

__all__ = [
    "Decapped",
    "Filtered",
    "Info",
    "Input",
    "Job",
    "Part",
    "Progress",
    "Request",
    "Sliced",
    "Split",
    "Stuck",
    "Totals",
    "Unwrap",
    "decap",
    "filter_file",
    "info",
    "slice_file",
    "split_file",
]


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"tapwright.read.{room}"), name)
    raise AttributeError(f"module 'tapwright.read' has no attribute {name!r}")
