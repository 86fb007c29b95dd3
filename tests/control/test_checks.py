"""What facts of a host mean: decided without a host."""

from dataclasses import replace

import pytest

from tapwright.adapters.clock import Clock
from tapwright.adapters.kernel import Kernel
from tapwright.control import checks
from tapwright.control.checks import Check, Place
from tapwright.model import Answer

_BUILT_IN = Kernel("6.1", {"VXLAN": "y", "NET_CLS_BPF": "y"}, frozenset(), frozenset(), loads=True)
_GOOD = Clock(synchronised=True, error=0.002, resolution=1e-9, source="tsc")


def named(found, name: str) -> Check:
    return next(check for check in found if check.name == name)


def feature(kernel: Kernel, name: str = "vxlan", **tried: str):
    return named(checks.features(kernel, tried), name).capability


def test_nothing_is_tried_that_could_make_the_kernel_load_a_module() -> None:
    assert [trial.name for trial in checks.to_try(_BUILT_IN)] == ["cls_bpf", "vxlan"]
    assert [trial.name for trial in checks.to_try(replace(_BUILT_IN, config={"VXLAN": "m"}))] == []
    assert [trial.name for trial in checks.to_try(Kernel("6.1", None, frozenset({"vxlan"})))] == ["vxlan"]
    assert len(checks.to_try(Kernel("6.1", {}, loads=False))) == len(checks.FEATURES)


@pytest.mark.parametrize(
    ("kernel", "tried", "answer", "reason"),
    [
        (_BUILT_IN, {"vxlan": ""}, Answer.YES, "tried in a namespace of its own"),
        (_BUILT_IN, {}, Answer.YES, "was not tried"),
        (_BUILT_IN, {"vxlan": "Operation not supported"}, Answer.NO, "Operation not supported"),
        (Kernel("6.1", {"VXLAN": "m"}, installed=frozenset({"vxlan"})), {}, Answer.YES, "loads module vxlan"),
        (Kernel("6.1", {"VXLAN": "m"}), {}, Answer.NO, "module vxlan cannot be loaded"),
        (Kernel("6.1", {"VXLAN": "m"}, installed=frozenset({"vxlan"}), loads=False), {}, Answer.NO, "cannot be loaded"),
        (Kernel("6.1", {"VETH": "y"}), {}, Answer.NO, "built without CONFIG_VXLAN"),
        (Kernel("6.1", None), {}, Answer.UNKNOWN, "could load module vxlan"),
        (Kernel("6.1", None, loads=False), {"vxlan": "Unknown device type"}, Answer.NO, "Unknown device type"),
    ],
)
def test_a_feature_is_yes_no_because_or_unknown(kernel: Kernel, tried: dict, answer: Answer, reason: str) -> None:
    capability = feature(kernel, **tried)
    assert capability.answer is answer
    assert reason in capability.reason


def test_what_the_kernel_has_not_is_no_reason_to_worry() -> None:
    assert not any(check.attention for check in checks.features(Kernel("6.1", {}), {}))
    assert checks.pressure("No such file or directory").capability.answer is Answer.NO
    assert not checks.pressure("No such file or directory").attention


def test_privileges_name_the_verbs_that_need_them() -> None:
    found = tuple(checks.privileges({"CAP_NET_RAW"}))
    assert named(found, "CAP_NET_RAW").capability.answer is Answer.YES
    admin = named(found, "CAP_NET_ADMIN")
    assert admin.attention
    assert "mirror" in admin.capability.reason
    assert admin.capability.fix == "run it with sudo"
    assert not named(found, "CAP_BPF").attention


def test_a_ring() -> None:
    assert not checks.ring("").attention
    assert checks.ring("Protocol not available").capability.answer is Answer.NO
    assert checks.ring(None).capability.answer is Answer.UNKNOWN
    assert checks.ring(None).attention


def test_memory() -> None:
    assert checks.filter_memory(100).capability.fix
    assert checks.filter_memory(4096).capability.answer is Answer.YES
    assert checks.ring_memory(48 << 20, 64 << 20).attention
    assert not checks.ring_memory(48 << 20, 1 << 30).attention
    assert checks.ring_memory(48 << 20, None).capability.answer is Answer.UNKNOWN


def test_libpcap() -> None:
    assert checks.libpcap("libpcap version 1.10.3").capability.answer is Answer.YES
    assert checks.libpcap("", "libpcap is not installed").attention


@pytest.mark.parametrize(
    ("place", "answer", "reason"),
    [
        (Place("/s", there=True, writable=True, free=1 << 30), Answer.YES, "1.0 GiB free"),
        (Place("/s", there=False, writable=True, free=1 << 30), Answer.YES, "made with the first mirror"),
        (Place("/s", there=True, writable=True, free=1 << 20), Answer.NO, "no mirror is opened"),
        (Place("/s", there=True, writable=False, free=1 << 30), Answer.NO, "cannot be written"),
        (Place("/s", there=True, writable=True, free=1 << 30, problem="/s is a link"), Answer.NO, "/s is a link"),
    ],
)
def test_the_journals_place(place: Place, answer: Answer, reason: str) -> None:
    check = checks.journal(place)
    assert check.capability.answer is answer
    assert reason in check.capability.reason
    assert check.attention == (answer is Answer.NO)


def test_a_clock() -> None:
    assert not any(check.attention for check in checks.clock(_GOOD, 0.0001))
    assert named(checks.clock(replace(_GOOD, synchronised=False), 0), "synchronised").capability.answer is Answer.NO
    assert named(checks.clock(replace(_GOOD, synchronised=None), 0), "synchronised").capability.answer is Answer.UNKNOWN
    assert named(checks.clock(_GOOD, -3.0), "steady").attention
    assert "-3.000 s" in named(checks.clock(_GOOD, -3.0), "steady").capability.reason
    assert named(checks.clock(replace(_GOOD, resolution=0.004), 0), "resolution").capability.answer is Answer.NO
    assert named(checks.clock(replace(_GOOD, source="hpet"), 0), "resolution").capability.answer is Answer.NO
