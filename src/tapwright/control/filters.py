"""The filter of each chosen point: what the kernel runs there, and what the engine does with the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tapwright.adapters import attach, livepcap
from tapwright.capture.request import Unwrap
from tapwright.control.wish import Wish
from tapwright.errors import UsageError
from tapwright.filter.compile import Compiled, compile_filter
from tapwright.filter.libpcap import Compiler
from tapwright.filter.vms import Resolve
from tapwright.model import Overlay
from tapwright.plan.planner import Choice
from tapwright.plan.points import PointKind


@dataclass(frozen=True, slots=True)
class Attached:
    """What one source is opened with."""

    text: str
    """For the file: what is true of the packets in it."""
    program: bytes
    judge: bytes = b""
    unwrap: Unwrap | None = None
    filtered_by: str = "kernel"
    """`filter.fit.FilteredBy`"""


class Filters:
    """The wish's filter at each point; what several points share is compiled once.

    Raises FilterError, MissingDependency, PrivilegeError, and UsageError for options that
    mean nothing at a point.
    """

    def __init__(self, wish: Wish, resolve: Resolve, live: Compiler | None = livepcap.live) -> None:
        """`live` compiles for packets as a socket sees them; None as they are in a file, which needs no privilege."""
        self._wish = wish
        self._live = live
        self._resolve = resolve
        self._compiled: dict[tuple[bool, str | None], Compiled] = {}

    def at(self, choice: Choice) -> Attached:
        """The filter of one choice."""
        mirror = choice.point.kind is PointKind.MIRROR
        user = self._user(choice.point.outgoing_is_to_vm, choice.vnic.mac if mirror else None)
        if choice.point.shared:
            return self._shared(choice, user)
        if self._wish.outer_filter or self._wish.keep_outer or self._wish.vni is not None:
            raise UsageError(
                f"{choice.point.id} shows the VM's own frames, and nothing is wrapped around them",
                "--vni, --outer-filter and --keep-outer are for the uplink: add --point uplink",
            )
        return Attached(user.text, user.program.code)

    def _user(self, outgoing_is_to_vm: bool, mac: str | None) -> Compiled:
        """For one side of a vNIC, or with `mac` for copies of its frames."""
        key = outgoing_is_to_vm, mac
        if key not in self._compiled:
            self._compiled[key] = compile_filter(
                self._wish.filter,
                self._resolve,
                snaplen=self._wish.snaplen,
                live=self._live,
                outgoing_is_to_vm=outgoing_is_to_vm,
                mac=mac,
            )
        return self._compiled[key]

    def _shared(self, choice: Choice, user: Compiled) -> Attached:
        from tapwright.filter.uplink import Sought, at_uplink

        point, wish = choice.point, self._wish
        overlay = point.overlay
        sought = Sought(choice.vnic.mac, vlan=point.vlan)
        if overlay:
            sought = Sought(choice.vnic.mac, overlay.kind, overlay.vni, overlay.port)
        compiled = partial(
            at_uplink,
            user,
            sought,
            outer=self._outer(),
            snaplen=wish.snaplen,
            live=self._live,
            finish_in_engine=wish.filter_in_engine,
        )
        found = compiled()
        if not attach.has_room(found.fit.kernel.code):
            found = compiled(limit=min(attach.room(), len(found.fit.kernel) - 1))
        unwrap = _unwrap(overlay) if overlay and not wish.keep_outer else None
        return Attached(found.pcap_text, found.fit.kernel.code, found.fit.engine, unwrap, found.fit.filtered_by)

    def _outer(self) -> str:
        """Compiled by itself first: a mistake is told with its place in what the user typed."""
        text = self._wish.outer_filter
        return compile_filter(text, self._resolve, outgoing_is_to_vm=False).pcap_text if text else ""


def _unwrap(overlay: Overlay) -> Unwrap:
    """Only by the tunnel's own port."""
    ports: dict[str, tuple[int, ...]] = {"vxlan": (), "vxlan_gpe": (), "geneve": ()}
    if overlay.port and overlay.kind in ports:
        ports[overlay.kind] = (overlay.port,)
    return Unwrap(1, **ports)
