"""Kernel, engine or neither: the decision, and that what it names really fits and really filters."""

from dataclasses import replace

import pytest

from support.bpf import kernel_deliveries
from support.inner import Truth, whole
from support.wrap import wrapped_packets
from tapwright._core import Bpf
from tapwright.filter.fit import FilteredBy, Fit, Refused, fit
from tapwright.filter.inner import compile_inner
from tapwright.filter.program import Program
from tapwright.filter.wrapping import Wrapping

HOSTS = " or ".join(f"host 10.0.0.{n}" for n in range(1, 100))
ROOM = 1200
"""Instructions; a tenth of the hosts that are too many for a kernel's 4,096 are too many for these."""
PACKETS = wrapped_packets(21, 600)


def test_an_ordinary_filter_runs_in_the_kernel():
    found = fit(compile_inner("tcp port 443"), Wrapping())
    assert found == Fit(found.kernel, b"", FilteredBy.KERNEL, "")


def test_a_long_one_is_refused_with_the_nearest_form_that_fits():
    filters = compile_inner(HOSTS)
    found = fit(filters, Wrapping(), limit=950)
    assert isinstance(found, Refused)
    assert found.nearest == Wrapping(depth=1, raw=False)
    assert isinstance(fit(filters, found.nearest, limit=950), Fit)
    assert isinstance(fit(filters, replace(found.nearest, raw=True), limit=950), Refused), "nearer, and it fits"
    error = found.error("host ...")
    assert "instructions" in error.message
    assert "with Ethernet inside" in error.hint


@pytest.mark.parametrize("limit", range(100, 1300, 60))
def test_the_nearest_form_always_fits(limit):
    filters = compile_inner("tcp port 80 and host 10.0.0.1")
    found = fit(filters, Wrapping(), limit=limit)
    if isinstance(found, Refused) and found.nearest:
        nearest = fit(filters, found.nearest, limit=limit)
        assert isinstance(nearest, Fit)
        assert len(nearest.kernel) <= limit
        assert found.described
    else:
        assert isinstance(found, Fit) == (limit >= 900) or found.nearest is None


def test_what_fits_nowhere_has_no_nearest_form():
    found = fit(compile_inner("tcp"), Wrapping(), limit=20)
    assert isinstance(found, Refused)
    assert found.nearest is None
    assert "net 10.0.0.0/24" in found.error().hint


def test_forms_without_a_meaning_are_not_proposed():
    found = fit(compile_inner(HOSTS), Wrapping(("ipip",), depth=1), limit=200)
    assert found == Refused(found.reason, None)


@pytest.mark.parametrize(
    ("wrapping", "outer", "by"),
    [
        (Wrapping(), "", FilteredBy.ENGINE),
        (Wrapping(ids=(5, 100)), "", FilteredBy.BOTH),
        (Wrapping(plain=False, snaplen=64), "", FilteredBy.BOTH),
        (Wrapping(), "udp", FilteredBy.BOTH),
    ],
)
def test_with_consent_the_engine_finishes(wrapping, outer, by):
    filters = compile_inner(HOSTS, outer=outer)
    found = fit(filters, wrapping, finish_in_engine=True, limit=ROOM)
    assert isinstance(found, Fit)
    assert (found.filtered_by, len(found.engine) // 8 > ROOM) == (by, True)
    assert "instructions" in found.reason
    expected = Truth(wrapping, whole(PACKETS)).verdicts(HOSTS, outer=outer)
    assert [bool(verdict) for verdict in Bpf(found.engine).run_all(PACKETS)] == expected
    delivered = kernel_deliveries(found.kernel.code, PACKETS)
    assert all(size == len(packet) for size, packet, wanted in zip(delivered, PACKETS, expected, strict=True) if wanted)
    assert (None in delivered) == (by is FilteredBy.BOTH)


def test_where_nothing_can_be_told_beforehand_the_kernel_keeps_all():
    assert fit(compile_inner(HOSTS), Wrapping(), finish_in_engine=True, limit=ROOM).kernel == Program.keep_all()
