"""Labs for tests: unique names, taken down also when the test fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from tapwright.config import Config, load
from tapwright.lab import Lab

_numbers = count(1)


@contextmanager
def running_lab(topology: str, **options: Any) -> Iterator[Lab]:
    """`options` as `Lab.up` takes them."""
    with Lab.up(topology, f"t{os.getpid()}-{next(_numbers)}", **options) as lab:
        yield lab


def config_of(lab: Lab, *servers: str) -> Config:
    """The configuration that sees this lab and nothing else."""
    return load({**lab.environment(*servers), "HOME": "/nonexistent"})
