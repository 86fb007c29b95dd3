"""Sessions that are ended while they are being opened: a provider that touches nothing, a journal that is real."""

import os
import signal
from pathlib import Path

import pytest

from tapwright.config import Config
from tapwright.control.sessions import Sessions
from tapwright.find.topology import join
from tapwright.model import Host
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Mark, Operation
from tapwright.providers.fake import Fake
from tapwright.tap.session import State

PORTS = 4
HOST = {
    "switches": {"br0": {}},
    "vms": {f"vm{n}": {"nics": [{"mac": f"02:00:00:00:00:0{n}", "switch": "br0"}]} for n in range(PORTS)},
}


class Interrupted(Fake):
    """Somebody types Ctrl-C while the second mirror is being opened."""

    performed = 0

    def perform(self, operation: Operation) -> None:
        super().perform(operation)
        self.performed += operation.verb == "mirror"
        if self.performed == 2 and operation.verb == "mirror":
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_while_it_is_opened_undoes_what_was_done_and_does_no_more(tmp_path: Path) -> None:
    fake = Interrupted(Fake.described(HOST).snapshot())
    points = fake.points(join(Host("h"), [fake.snapshot()]))

    def mirrors(mark: Mark) -> list[Mirror]:
        return [Mirror(p, parse("rspan:9"), mark) for p in points if p.kind is PointKind.MIRROR]

    sessions = Sessions(Config(providers=("fake",)), tmp_path / "state", load=lambda _name, _config: fake)
    with pytest.raises(KeyboardInterrupt), sessions.open("a mirror", mirrors):
        pytest.fail("it was opened")
    assert fake.performed == 2
    assert fake.mirrors == set()
    ((session, _),) = sessions.all()
    assert session.state is State.CLOSED
    assert len(session.entries) == 2
