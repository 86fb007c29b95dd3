"""How many faults: some in the test suite, all in `make faults`; and where victims keep their journals."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="kill at every point, and at many instants")


@pytest.fixture
def every_fault(request: pytest.FixtureRequest) -> bool:
    # Known only where this folder was named on the command line, as `make faults` does.
    return bool(request.config.getoption("--faults", default=False))


@pytest.fixture(scope="module")
def in_memory() -> Iterator[Path]:
    """A folder without a disk under it: a kill loses nothing that was written, so nobody needs to wait for one."""
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="twt", dir=where) as folder:
        yield Path(folder)
