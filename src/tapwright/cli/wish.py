"""The options that `capture` and `plan` share: one word turns a plan into a capture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tapwright.capture.request import DEFAULT_SNAPLEN
from tapwright.cli.common import complete_vm
from tapwright.cli.limits import limit_options, limited
from tapwright.cli.parameters import SIZE

if TYPE_CHECKING:
    from tapwright.capture.policy import Policy
    from tapwright.control.wish import Wish

Command = TypeVar("Command", bound=Callable[..., Any])

_PARAMETERS = (
    click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=complete_vm),
    click.option("-f", "--filter", "text", default="", metavar="FILTER", help="pcap filter, also with `vm NAME`."),
    click.option("-s", "--snaplen", type=click.IntRange(1, DEFAULT_SNAPLEN), default=DEFAULT_SNAPLEN, show_default=True,
                 metavar="BYTES", help="Keep at most so many bytes of a packet."),
    click.option("--point", type=click.Choice(["device", "uplink", "mirror", "guest"]), default=None,
                 help="Read only at points of this kind; default: the best that can be read."),
    click.option("--vni", type=click.IntRange(0, (1 << 32) - 1), default=None, metavar="N",
                 help="At the uplink: the overlay's VNI or key, where it cannot be known otherwise."),
    click.option("--outer-filter", default="", metavar="FILTER",
                 help="At the uplink: what the whole packet must match too, outer headers first."),
    click.option("--keep-outer", is_flag=True, help="At the uplink: keep the packets wrapped in the overlay."),
    click.option("--filter-in-engine", is_flag=True,
                 help="At the uplink: let tapwright finish a filter that is too long for the kernel."),
    limit_options,
    click.option("--buffer", type=SIZE, default=None, help="Kernel ring memory of all vNICs together (default 48M)."),
)  # fmt: skip


def wish_options(command: Command) -> Command:
    """Give a click command what a `Wish` is made of; it gets them as keywords for `wish_of`."""
    for parameter in reversed(_PARAMETERS):
        command = parameter(command)
    return command


def wish_of(options: dict[str, Any], *, overwrite: bool = False, governor: Policy | None = None) -> Wish:
    """The `control.wish.Wish` of these options."""
    from tapwright.control.wish import Wish
    from tapwright.plan.points import PointKind

    return Wish(
        vms=options["vms"],
        filter=options["text"],
        **limited(options),
        overwrite=overwrite,
        point=PointKind(options["point"]) if options["point"] else None,
        vni=options["vni"],
        outer_filter=options["outer_filter"],
        keep_outer=options["keep_outer"],
        filter_in_engine=options["filter_in_engine"],
        governor=governor,
    )
