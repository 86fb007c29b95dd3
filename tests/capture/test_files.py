import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tapwright.capture.files import Target, default_name, destination, owner
from tapwright.errors import UsageError

NOW = datetime(2026, 11, 23, 9, 30, 15)


def test_default_names_say_what_and_when() -> None:
    assert default_name(["web-1"], NOW) == "web-1-20261123-093015.pcapng"
    assert default_name(["a", "b", "c", "d", "e"], NOW) == "a+b+c+2more-20261123-093015.pcapng"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "-rf", "\x1b[2J", "", ".hidden", "web*", "ü" * 300])
def test_a_hostile_name_stays_in_its_folder(name: str) -> None:
    made = default_name([name], NOW)
    assert "/" not in made
    assert not made.startswith((".", "-"))
    assert made.isascii()
    assert len(made) < 120


def test_outputs(tmp_path: Path) -> None:
    new, old, fifo = (tmp_path / name for name in ("new", "old", "fifo"))
    old.touch()
    os.mkfifo(fifo)
    assert destination(str(new), force=False, ring=False).target is Target.FILE
    assert destination(str(old), force=True, ring=False).target is Target.FILE
    assert destination(str(fifo), force=False, ring=False).target is Target.FIFO
    for path in (old, tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(UsageError):
            destination(str(path), force=False, ring=False)


def test_a_place_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for folder in ("/proc", "/sys"):
        with pytest.raises(UsageError, match=f"^{folder} cannot be written$") as caught:
            destination(f"{folder}/x.pcapng", force=False, ring=False)
        assert "/var/tmp" in caught.value.hint
    if os.geteuid() != 0:
        pytest.skip("needs root to mount something read-only")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tapwright-test", str(tmp_path)], check=True)
    try:
        with pytest.raises(UsageError, match="cannot be written"):
            destination(str(tmp_path / "x.pcapng"), force=False, ring=True)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_ring_needs_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in ("-", str(tmp_path / "fifo")):
        with pytest.raises(UsageError, match="a ring of files cannot go to"):
            destination(path, force=False, ring=True)


def test_the_next_step_can_be_typed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        destination(str(tmp_path / "a b;c" / "file"), force=False, ring=False)
    assert caught.value.hint == f"make it first: mkdir -p '{tmp_path}/a b;c'"


def test_packets_never_garble_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="terminal"):
        destination("-", force=False, ring=False)


def test_the_person_behind_sudo_owns_the_file() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert owner({"SUDO_UID": "1000", "SUDO_GID": "100"}) == (1000, 100)
    assert owner({"SUDO_UID": "x", "SUDO_GID": "100"}) is None
    assert owner({}) is None
