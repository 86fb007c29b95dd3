"""Open vSwitch's daemons start anew in the middle of a mirror's life, and before what it left is swept."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from support.openvswitch import OpenVSwitch
from tap.hosts_openvswitch import switch_host
from tap.victims import Victim, points_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]

_NEW_EACH_TIME = re.compile(
    r"^(ifindex|mac_in_use|status|duplex|link_speed|link_state|mtu|admin_state|ofport|lacp_current) .*$|^\d+: ",
    re.MULTILINE,
)
"""A switch that starts makes its devices anew, and finds out about them once more."""


def settled(look: str) -> str:
    """Without that, and with its records in an order of ours: a database that was read anew has another one."""
    return "\n\n".join(sorted(_NEW_EACH_TIME.sub("", look).split("\n\n")))


@pytest.mark.parametrize("program", ["ovs-vswitchd", "ovsdb-server"])
def test_a_daemon_that_starts_anew_at_any_boundary(in_memory: Path, program: str, every_fault: bool) -> None:
    """Its owner is killed then or lives on; it may fail, and the sweep has the rest."""
    with switch_host(in_memory / "journal") as (whole, switch):
        host = replace(whole, look=lambda: settled(whole.look()))
        names = points_of(host.life("gre"))
        _anew(switch)  # its devices differ afterwards from those it found at its first start
        before = host.look()
        for number in range(0, len(names), 1 if every_fault else 4):
            host.fresh()
            with Victim(host.life("gre"), number) as victim:
                switch.stop(program, kill=number % 8 > 3)
                switch.start(program)
                if number % 3:
                    victim.go_on()
            host.check(before, f"{program}, {number}: {names[number]}")
            # One whose database breaks off again and again waits ever longer until it asks for it: up to 8 s.
            _anew(switch)


def _anew(switch: OpenVSwitch) -> None:
    """The daemon starts anew and has made its devices."""
    switch.stop("ovs-vswitchd")
    switch.start("ovs-vswitchd")
    deadline = time.monotonic() + 60
    while not int(switch.appctl("coverage/read-counter", "bridge_reconfigure")):
        assert time.monotonic() < deadline, "it does not read its configuration"
        time.sleep(0.02)
