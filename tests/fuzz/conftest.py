"""How long to fuzz: a moment in the test suite, as long as asked in `make fuzz`."""

from pathlib import Path

import pytest

_MOMENT = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=int, default=_MOMENT, help="how long to fuzz each target")


def _seconds(config: pytest.Config) -> int:
    # Known only where this folder was named on the command line, as `make fuzz` does.
    return int(config.getoption("--fuzz-seconds", default=_MOMENT))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`cargo test` runs the native targets for a moment already."""
    return True if collection_path.name == "test_native.py" and _seconds(config) <= _MOMENT else None


@pytest.fixture
def fuzz_seconds(request: pytest.FixtureRequest) -> int:
    return _seconds(request.config)
