"""A full disk under the journal, from any transaction on: what is not on record is not done, and all is undone."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tap.test_kill import LEASE, NOW, Place
from tap.victims import Victim, points_of
from tap.world import contents
from tapwright.tap.journal import Journal
from tapwright.tap.session import State

pytestmark = pytest.mark.root

PAGE = 4096


class Cramped(Place):
    """With the journal on a disk of its own."""

    def __init__(self, folder: Path, disk: Path) -> None:
        super().__init__(folder)
        self.disk = disk

    @property
    def state(self) -> Path:
        return self.disk

    def fresh(self) -> dict[str, bytes]:
        for file in self.disk.iterdir():
            file.unlink()
        return super().fresh()

    def fill(self, room: int) -> None:
        """Leave room for so many bytes."""
        with (self.disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(PAGE))
        size = (self.disk / "filler").stat().st_size
        os.truncate(self.disk / "filler", max(0, size - room))


@pytest.fixture
def place(in_memory: Path) -> Iterator[Cramped]:
    disk = in_memory / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "none", str(disk)], check=True, timeout=20)
    try:
        yield Cramped(in_memory / "host", disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=20)


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_from_any_transaction_on(place: Cramped, room: int, every_fault: bool) -> None:
    """With room for some pages, so that it fails at the beginning of a transaction, or in the middle."""
    before = place.fresh()
    names = points_of(place.live)
    numbers = [number for number, name in enumerate(names) if name.startswith("before ")]
    for number in numbers[:: 1 if every_fault else 3]:
        where = f"{room} pages, {number}: {names[number]}"
        place.fresh()
        with Victim(place.live, number) as victim:
            place.fill(room * PAGE)
            victim.go_on()
        assert contents(place.world) == before, where
        (place.disk / "filler").unlink()
        swept = place.sweep(NOW + LEASE)
        assert (swept.failed, swept.kept) == ((), ()), where
        assert contents(place.world) == before, where
        journal = Journal(place.state)
        assert journal.notes == [], where
        assert all(session.state is State.CLOSED for session in journal.sessions()), where
