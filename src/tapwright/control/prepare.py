"""From a wish to everything a capture needs: names resolved, points chosen, filter compiled.

Nothing is opened and nothing changes here; `start` opens the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from tapwright import config as configuration
from tapwright import providers
from tapwright._core import __version__
from tapwright.adapters import memory, process
from tapwright.capture import describe
from tapwright.capture.files import output
from tapwright.capture.request import Limits, Source
from tapwright.config import Config
from tapwright.control import local, tapped
from tapwright.control.capture import Capture
from tapwright.control.filters import Attached, Filters
from tapwright.control.wish import Wish
from tapwright.errors import Ambiguous, CaptureError, NotFound, PrivilegeError, UsageError
from tapwright.filter.vms import Resolve
from tapwright.find.names import Selection, resolve_many
from tapwright.find.topology import Topology
from tapwright.model import Answer
from tapwright.plan.planner import Choice, Plan, Request, Unseen, choose
from tapwright.providers.base import Provider
from tapwright.units import format_size


@dataclass(frozen=True, slots=True)
class Prepared:
    """A capture that only needs to be started."""

    wish: Wish
    topology: Topology
    plan: Plan
    filters: tuple[Attached, ...]
    """One for each choice."""
    limits: Limits
    config: Config
    known: tuple[Provider, ...]
    """Those that looked, for a point that has to be opened."""

    @property
    def changes(self) -> bool:
        """Whether starting it changes the host."""
        return bool(tapped.mirrored(self.plan.chosen))


def prepare(wish: Wish, config: Config | None = None, topology: Topology | None = None) -> Prepared:
    """Resolve, plan and compile.

    Raises NotFound, Ambiguous, FilterError (with the position), MissingDependency, and
    PrivilegeError or CaptureError when none of the vNICs can be read.
    """
    config = config or configuration.load()
    known = providers.load_all(config)
    topology = topology or local.look(config, known)
    plan = planned(wish, topology, config, known)
    if not plan.chosen:
        raise _nothing_to_read(plan)
    filters = Filters(wish, resolver(topology))
    attached = tuple(filters.at(choice) for choice in plan.chosen)
    limits = Limits(wish.snaplen, wish.packets, wish.seconds, wish.bytes, plan.request.buffer)
    return Prepared(wish, topology, plan, attached, limits, config, known)


def planned(wish: Wish, topology: Topology, config: Config, known: Sequence[Provider] = ()) -> Plan:
    """The points to read for `wish`, without a look at their load.

    Raises NotFound, Ambiguous, PrivilegeError where the VM may be among what is hidden from us, UsageError
    for a buffer the host cannot spare.
    """
    request = Request(
        selected(topology, wish.vms),
        wish.filter,
        wish.snaplen,
        wish.seconds,
        wish.bytes,
        _affordable(wish.buffer or config.buffer_bytes),
        wish.point,
        wish.vni,
    )
    return _explained(choose(request, topology, local.points(topology, config, known)))


def selected(topology: Topology, names: Sequence[str]) -> tuple[Selection, ...]:
    """What `names` mean.  Raises NotFound, Ambiguous, PrivilegeError where that may be among what is hidden from us."""
    try:
        return resolve_many(topology, names)
    except NotFound as error:
        raise _hidden(error, topology) from None


def _explained(plan: Plan) -> Plan:
    """`plan` with what only a look at the processes tells: which containers have no network of their own."""
    return replace(
        plan,
        unseen=tuple(
            replace(unseen, reason=why) if (why := local.on_hosts_network(unseen.vm)) else unseen
            for unseen in plan.unseen
        ),
    )


def left_out(plan: Plan) -> tuple[str, ...]:
    """A sentence about each vNIC that was asked for and will not be captured, and what would help."""
    return tuple(
        f"{_name(unseen)} is not captured: {unseen.reason}" + (f" ({unseen.fix})" if unseen.fix else "")
        for unseen in plan.unseen
    )


def _name(unseen: Unseen) -> str:
    return f"{unseen.vm.name}/{unseen.vnic.name}" if unseen.vnic else unseen.vm.name


def _affordable(buffer: int) -> int:
    """Rings are never swapped out, and the kernel ends guests to make room for them rather than refuse."""
    free = memory.available()
    if free is not None and buffer > free // 2:
        raise UsageError(
            f"a buffer of {format_size(buffer)} is more than half of what is free: {format_size(free)} of memory",
            "take less with --buffer, and keep less of each packet (-s 96) or filter (-f)",
        )
    return buffer


def resolver(topology: Topology) -> Resolve:
    """What `vm NAME` in a filter may name: all that a command may, patterns too."""
    return lambda name: [vnic for selection in resolve_many(topology, [name]) for vnic in selection.vnics]


def start(prepared: Prepared, *, path: str = "", fd: int = -1) -> Capture:
    """Open and start the engine, writing to `path` or `fd`; with neither, packets come as batches.

    Mirrors are opened first, and closed when the capture ends.  Raises PrivilegeError, CaptureError,
    UsageError, ProviderError; nothing is left behind then.
    """
    captured = [choice.vm for choice in prepared.plan.chosen]
    about = describe.section(prepared.topology, f"tapwright {__version__}", captured)
    with ExitStack() as stack:
        found = stack.enter_context(tapped.opened(prepared.plan.chosen, prepared.config, prepared.known))
        sources = _sources(prepared, found.choices)
        capture = Capture(
            sources,
            about,
            output(path, fd, overwrite=prepared.wish.overwrite, ring=prepared.wish.ring),
            prepared.limits,
            filtered_by=_filtered_by(prepared.filters),
            unseen=tuple(map(_name, prepared.plan.unseen)),
            policy=prepared.wish.governor,
        )
        capture.keep(stack.pop_all(), found.running.stopped if found.running else None)
        tapped.prove(capture, found, sources)
    return capture


def _sources(prepared: Prepared, choices: Sequence[Choice]) -> tuple[Source, ...]:
    """What the engine reads, one for each chosen point."""
    pairs = zip(choices, prepared.filters, strict=True)
    return tuple(_source(prepared.topology, choice, attached) for choice, attached in pairs)


def _source(topology: Topology, choice: Choice, attached: Attached) -> Source:
    about = describe.source(topology, choice.vm, choice.vnic, choice.point, attached.text, attached.program)
    return replace(about, judge=attached.judge, unwrap=attached.unwrap)


def _filtered_by(filters: Sequence[Attached]) -> str:
    """Who runs the filters: where one is finished in the engine, that is said of all."""
    return next((a.filtered_by for a in filters if a.judge), "kernel")


def _hidden(error: NotFound, topology: Topology) -> NotFound | PrivilegeError:
    """Without privilege much of a host is hidden, and a name not found may well be there."""
    missing = {"CAP_NET_RAW", "CAP_SYS_ADMIN"} - process.capabilities()
    if isinstance(error, Ambiguous) or not missing or not topology.warnings:
        return error
    needed = " and ".join(sorted(missing))
    return PrivilegeError(
        f"{error.message} among what this user may see; seeing and capturing all needs {needed}",
        "run it with sudo, or give the process these capabilities (`tapwright ls` says what is hidden)",
    )


def _nothing_to_read(plan: Plan) -> PrivilegeError | CaptureError:
    lines = [f"{_name(unseen)}: {unseen.reason}" for unseen in plan.unseen]
    refused = [r.point.readable for r in plan.rejected if r.point.readable.answer is Answer.NO]
    told = [capability.fix for capability in refused if capability.fix]
    fixes = "\n".join(dict.fromkeys(told or [unseen.fix for unseen in plan.unseen if unseen.fix]))
    kind = PrivilegeError if any("CAP_" in capability.reason for capability in refused) else CaptureError
    return kind("nothing to capture: " + "; ".join(lines), fixes)
