"""Reading: capture files unwrapped, filtered, cut, split and looked at, on any system and without privilege.

All work on packets is native (`_core`); this room says what is wanted and what came of it.
"""

from tapwright.read.job import Job, Progress
from tapwright.read.report import Decapped, Filtered, Info, Input, Sliced, Split, Stuck, Totals
from tapwright.read.request import Part, Request, Unwrap
from tapwright.read.verbs import decap, filter_file, info, slice_file, split_file

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
