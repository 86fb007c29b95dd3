"""Targets of mirrors: what a person may write, and what is refused with the reason."""

import pytest

from tapwright.errors import UsageError
from tapwright.plan.mirrors import Target, TargetKind, parse
from tapwright.plan.steps import Mark


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("nic:eth3", Target(TargetKind.NIC, name="eth3")),
        ("vm:sniffer/eth1", Target(TargetKind.VM, name="sniffer/eth1")),
        ("rspan:999", Target(TargetKind.RSPAN, vlan=999)),
        (
            "erspan2://192.0.2.9?session=7&index=17",
            Target(TargetKind.ERSPAN2, remote="192.0.2.9", number=7, index=17),
        ),
        ("erspan3://[2001:db8::9]?session=1023", Target(TargetKind.ERSPAN3, remote="2001:db8::9", number=1023)),
        ("gre://192.0.2.9", Target(TargetKind.GRE, remote="192.0.2.9")),
        ("vxlan://192.0.2.9?vni=7007&port=8472", Target(TargetKind.VXLAN, remote="192.0.2.9", number=7007, port=8472)),
        ("geneve://192.0.2.9?vni=5", Target(TargetKind.GENEVE, remote="192.0.2.9", number=5)),
    ],
)
def test_targets_are_read_and_written_alike(text: str, target: Target) -> None:
    assert parse(text) == target
    assert target.text == text


def test_the_port_may_stand_behind_the_address() -> None:
    assert parse("vxlan://192.0.2.9:8472?vni=5").text == "vxlan://192.0.2.9?vni=5&port=8472"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no target"),
        ("eth3", "no target"),
        ("ipip://192.0.2.9", "no target"),
        ("nic:", "needs a name"),
        ("rspan:0", "from 1 to 4094"),
        ("rspan:4095", "from 1 to 4094"),
        ("rspan:1²", "from 1 to 4094"),
        ("erspan2://collector?session=7", "names no collector"),
        ("erspan2://192.0.2.9?session=1024", "from 0 to 1023"),
        ("erspan3://192.0.2.9?index=1", "there is no 'index'"),
        ("gre://192.0.2.9:47", "says too much"),
        ("gre://192.0.2.9/key/7", "says too much"),
        ("vxlan://192.0.2.9?vni=16777216", "from 0 to 16777215"),
        ("vxlan://192.0.2.9:99999", "names no collector"),
        ("vxlan://192.0.2.9?vni", "names no collector"),
        ("vxlan://255.255.255.255?vni=7", "no host's address"),
        ("gre://0.0.0.0?key=7", "no host's address"),
        ("erspan2://[::]?session=7", "no host's address"),
        ("geneve://", "names no collector"),
        ("geneve:192.0.2.9", "names no collector"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)


def test_marks_are_told_from_other_texts() -> None:
    mark = Mark("1a2b3c4d", "4711.99.b00t", 1_800_000_000)
    assert Mark.parse(mark.text) == mark
    assert [Mark.parse(text) for text in ("", "tapwright", "tapwright:a:b", "tapwright:a:b:-1", "a:b:c:1")] == [
        None
    ] * 5
