"""The folder that outlives tapwright: one sweep at a time, and no silence where nobody can tell what is in it."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tapwright.errors import CaptureError, ProviderError
from tapwright.tap import folder
from tapwright.tap.folder import sweeping
from tapwright.tap.journal import Journal

_LOOK = """
import sys
from pathlib import Path
from tapwright.errors import PrivilegeError
from tapwright.tap.journal import Journal
try:
    print(Journal(Path(sys.argv[1])).sessions())
except PrivilegeError as error:
    print(error.line)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


def test_one_sweeps_at_a_time(state: Path) -> None:
    with sweeping(state, wait=True) as first, sweeping(state, wait=False) as second:
        assert (first, second) == (True, False)
    with sweeping(state, wait=False) as after:
        assert after


def test_a_sweep_that_hangs_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "PATIENCE", 0.1)
    with (
        sweeping(state, wait=True),
        pytest.raises(ProviderError, match="another tapwright") as told,
        sweeping(state, wait=True),
    ):
        pass
    assert "hang" in told.value.hint


def test_where_there_is_nothing_there_is_nothing_to_lock(state: Path) -> None:
    with sweeping(state / "none", wait=False) as first, sweeping(state / "none", wait=False) as second:
        assert (first, second) == (True, True)
    assert Journal(state / "none").sessions() == ()


@contextmanager
def no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_sweep_goes_on_without_the_lock(state: Path) -> None:
    with no_more_files(), pytest.raises(CaptureError, match="Too many open files"), sweeping(state, wait=False):
        pass


def test_a_file_in_its_place_is_told(state: Path) -> None:
    file = state / "file"
    file.touch(mode=0o600)
    with pytest.raises(CaptureError, match="Not a directory"):
        Journal(file)
    with pytest.raises(CaptureError, match="Not a directory"), sweeping(file, wait=False):
        pass


@pytest.mark.root
def test_where_we_may_not_look_is_not_taken_for_empty(state: Path) -> None:
    """As with the HOME of somebody else."""
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", _LOOK, str(state / "inside")]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, cwd="/", timeout=60).stdout
    assert told.startswith(f"not allowed to look at {state}/inside: use sudo")
