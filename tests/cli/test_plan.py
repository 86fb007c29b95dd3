"""``tapwright plan`` in a lab with traffic."""

import os
import subprocess

import pytest

from support.tapwright import tapwright
from tapwright.lab import Lab

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab():
    with Lab.up("bridge", f"plan{os.getpid()}", traffic=True) as running:
        yield running


@pytest.fixture
def plan(lab):
    return lambda *arguments, **more: tapwright("plan", *arguments, env=lab.environment(), **more)


def test_the_tap_of_each_vm_is_read_and_the_guest_side_is_not(lab, plan):
    answer = plan("web", "db", "--interval", "0", "--json")
    assert answer.code == 0, answer.err
    server, prefix = lab.node("s1").netns, f"twlab-{lab.name}-"
    assert [(c["vm"], c["device"], c["kind"], c["netns"]) for c in answer.data["chosen"]] == [
        ("web", "vnet0", "device", server),
        ("db", "vnet1", "device", server),
    ]
    assert [(r["vm"], r["point"]) for r in answer.data["rejected"]] == [
        ("web", f"guest:eth0@{prefix}web"),
        ("db", f"guest:eth0@{prefix}db"),
    ]
    assert answer.data["changes"] == []
    assert answer.data["cost"] is None
    assert answer.data["filter"] is None


def test_for_a_person(plan):
    answer = plan("web", "-f", "vm db and tcp port 5432", "-d", "5m", "--interval", "0.2")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("web/eth0: read vnet0 in namespace ")
    assert lines[0].endswith(", on bridge br0")
    assert "Changes on this host: none" in lines
    assert "Filter: vm db and tcp port 5432" in lines
    meaning = next(line for line in lines if "meaning" in line)
    assert "or host 10.0.0.12) and tcp port 5432" in meaning
    assert any("altogether" in line and "free on the disk" in line for line in lines)


def test_a_vm_in_a_filter_is_whatever_a_command_takes(plan):
    meant = {
        name: plan("web", "-f", f"vm {name}", "--interval", "0", "--json").data["filter"]["pcap"]
        for name in ("db", "db/eth0", "c*", "*")
    }
    assert meant["db"] == meant["db/eth0"]
    assert "10.0.0.13" in meant["c*"]
    assert all(address in meant["*"] for address in ("10.0.0.11", "10.0.0.12", "10.0.0.13"))


def test_the_load_is_what_the_devices_counted(lab, plan):
    before = _counted(lab)
    answer = plan("web", "--interval", "1", "--json")
    after = _counted(lab)
    cost = answer.data["cost"]
    # The command counted for a second at least, within the time we did.
    assert 0.0 < cost["packets"] <= after - before
    assert cost["disk"] == pytest.approx(cost["bits"] / 8 + 48 * cost["packets"])
    assert cost["free"] > 0


def _counted(lab):
    netns = lab.node("s1").netns
    files = "/sys/class/net/vnet0/statistics/rx_packets /sys/class/net/vnet0/statistics/tx_packets"
    argv = ["ip", "netns", "exec", netns, "sh", "-c", f"cat {files}"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return sum(map(int, done.stdout.split()))


def test_a_limit_ends_the_file_before_the_disk_is_full(plan):
    for limit, total in (("--max-size", 1 << 20), ("--ring", 3 << 20)):
        value = "1M" if limit == "--max-size" else "1Mx3"
        answer = plan("web", limit, value, "--interval", "0.1", "--json")
        assert (answer.data["cost"]["total"], answer.data["cost"]["until_full"]) == (total, None)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["web", "-f", "tcp prot 80"], 6, ["`prot` cannot follow `tcp`", "  tcp prot 80\n      ^\n  -> did you"]),
        (["web", "-f", "vm bd"], 6, ["no VM is called 'bd'", "     ^", "did you mean db?"]),
        (["wbe"], 3, ["no VM is called 'wbe'", "did you mean web?"]),
        (["web", "-d", "soon"], 2, ["is not a duration"]),
        ([], 2, ["Missing argument"]),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused_with_its_code(plan, arguments, code, words):
    answer = plan(*arguments, "--interval", "0")
    assert answer.code == code
    assert answer.out == ""
    for word in words:
        assert word in answer.err


def test_without_the_capability_the_plan_says_what_is_missing(plan):
    answer = plan("web", "--interval", "0", wrapper=("setpriv", "--bounding-set", "-net_raw"))
    assert answer.code == 4, answer.err
    assert "web/eth0: cannot be seen: reading a device needs CAP_NET_RAW\n    fix   run it with sudo\n" in answer.out
    assert "Memory" not in answer.out
    assert answer.err.count("nothing can be captured") == 1
    as_json = plan("web", "--json", wrapper=("setpriv", "--bounding-set", "-net_raw"))
    assert (as_json.code, as_json.data["cost"]) == (4, None)
    assert [unseen["fix"] for unseen in as_json.data["unseen"]] == ["run it with sudo"]


def test_a_filter_on_vlans_needs_no_privilege_to_be_planned(plan):
    answer = plan("web", "-f", "vlan 10 and tcp", "--interval", "0", wrapper=("setpriv", "--bounding-set", "-net_raw"))
    assert answer.code == 4, answer.err
    assert "Filter: vlan 10 and tcp" in answer.out


def test_planning_leaves_nothing_behind(lab, plan, tmp_path):
    def state():
        links = subprocess.run(
            ["ip", "-n", lab.node("s1").netns, "-o", "link"], check=True, capture_output=True, text=True
        )
        return links.stdout, sorted(tmp_path.iterdir())

    before = state()
    plan("web", "-w", str(tmp_path / "out.pcapng"), "--interval", "0.1")
    assert state() == before
