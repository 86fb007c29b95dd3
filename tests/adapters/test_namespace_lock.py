"""One tapwright at a time changes a network namespace, whoever else lives there."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.netns import inode, namespace
from tapwright.adapters import namespace_lock
from tapwright.adapters.namespace_lock import alone
from tapwright.adapters.namespaces import NAMED
from tapwright.errors import ProviderError
from tapwright.model import Netns

pytestmark = pytest.mark.root


@pytest.fixture
def netns() -> Iterator[str]:
    with namespace() as name:
        yield name


def _known(name: str) -> Netns:
    return Netns(inode(name), f"{NAMED}/{name}", name)


@pytest.mark.parametrize("locks", [namespace_lock.LOCKS, "/proc/none/lock"])
def test_one_at_a_time_changes_a_namespace(netns: str, locks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_lock, "LOCKS", locks)
    with namespace() as other, alone(_known(netns)):
        with alone(_known(other), patience=0):
            pass
        with pytest.raises(ProviderError, match="another tapwright"), alone(_known(netns), patience=0.05):
            pass
    with alone(_known(netns), patience=0):
        pass


def test_who_lives_in_a_namespace_keeps_nobody_from_changing_it(netns: str) -> None:
    with ExitStack() as stack:
        theirs = stack.enter_context(Path(NAMED, netns).open("rb"))
        fcntl.flock(theirs, fcntl.LOCK_EX)
        stack.enter_context(alone(_known(netns), patience=0))
    assert Path(namespace_lock.LOCKS).stat().st_mode & 0o777 == 0o600


def test_a_namespace_that_is_gone_cannot_be_changed(netns: str) -> None:
    with pytest.raises(ProviderError, match=r"No such file"), alone(Netns(7, f"{NAMED}/{netns}-none", "none")):
        pass
