"""How much memory this machine can spare."""

from __future__ import annotations

import re
from pathlib import Path

_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


def available(path: str = "/proc/meminfo") -> int | None:
    """Bytes that can be had without swapping, as the kernel estimates them; None where it does not say.

    Source: Documentation/filesystems/proc.rst of the kernel, "MemAvailable".
    """
    try:
        found = _AVAILABLE.search(Path(path).read_text())
    except OSError:
        return None
    return int(found[1]) << 10 if found else None
