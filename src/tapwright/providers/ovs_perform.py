"""Mirrors opened and closed on one Open vSwitch, and what re-reading it says of them.

The database is not asked to count configurations (``next_cfg``): that would be a trace of us.
Whether ovs-vswitchd took a mirror over is told by the OpenFlow number of its new port, or by
the number of its own reconfigurations.  Then its cached flows are thrown away, because they were
computed without the mirror and would go on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from tapwright.adapters import command, ovsdb, process, unixctl
from tapwright.adapters.ovsdb_mirrors import Tables
from tapwright.adapters.ovsdb_transact import Outdated, select, transact, uuid
from tapwright.errors import PrivilegeError, ProviderError, TapwrightError
from tapwright.plan.counts import Counts, Ways
from tapwright.plan.steps import Finding, Found, Operation, Step
from tapwright.providers.ovs_changes import allowed, changes, differences, enters, losses, recut, removals, spellings
from tapwright.providers.ovs_counts import at_port, lag_of
from tapwright.providers.ovs_mirror import Wanted, carries, identity, source, wanted
from tapwright.providers.patience import until

PATIENCE = 5.0
"""Seconds in which ovs-vswitchd has to take over what was written."""
_TRIES = 5
"""How often somebody else may change the bridge's mirrors between our look and our transaction."""


def open_mirror(remote: str, do: Operation) -> None:
    """Write the mirror of `do` into the database at `remote` and see that it works; twice is as good as once.

    Raises PrivilegeError, ProviderError; then nothing of it is left, unless that is what could not be done.
    """
    want, control = wanted(do), unixctl.control_socket(remote)
    if do.text("device") and "CAP_NET_ADMIN" not in process.capabilities():
        raise PrivilegeError("a device of our own for the copies needs CAP_NET_ADMIN", "run it with sudo")
    before = _reconfigurations(control)
    fresh = _write(remote, do, want)
    # One that has just been started has not read its configuration even once.
    least = before if fresh else 0
    try:
        _taken_over(remote, want, lambda: _reconfigurations(control) > least)
        for device in filter(None, (do.text("device"), want.relay)):
            _bring_up(remote, device)
        purge(remote)
    except TapwrightError:
        if fresh:
            with suppress(TapwrightError):
                close_mirror(remote, do)
        raise


def cut_mirror(remote: str, do: Operation) -> None:
    """Have the mirror of `do`, which is there, copy another number of bytes of a frame; twice is as good as once.

    Raises PrivilegeError, ProviderError: also where somebody changed it, and then it stays as it is.
    """
    control = unixctl.control_socket(remote)
    before = _reconfigurations(control)
    least = before if _cut(remote, do) else 0
    _taken_over(remote, wanted(do), lambda: _reconfigurations(control) > least)
    purge(remote)


def close_mirror(remote: str, operation: Operation) -> bool:
    """Remove what carries the mark and name of `operation` from the database at `remote`; whether there was any."""
    if not _any(_ours(remote, operation)):
        return False
    control, before = "", 0
    with suppress(TapwrightError):
        control = unixctl.control_socket(remote)
        before = _reconfigurations(control)
    _remove(remote, operation)
    if control:
        # So that devices of ours are gone when we say so.  Where ovs-vswitchd is gone, they are too.
        with suppress(TapwrightError):
            until(lambda: _reconfigurations(control) > before, PATIENCE)
    return True


def _any(tables: Tables) -> bool:
    return bool(tables.mirrors or tables.ports or tables.bridges)


def _remove(remote: str, operation: Operation) -> None:
    """One transaction, unless it is done already; as long as the bridge of an entrance changes, again."""
    for attempt in range(_TRIES):
        ours = _ours(remote, operation)
        whole = select(remote, ("Bridge", ()), ("Port", ())) if enters(ours) else Tables()
        try:
            if _any(ours):
                transact(remote, removals(ours, whole))
        except Outdated:
            if attempt == _TRIES - 1:
                raise
            continue
        return


def look(remote: str, step: Step) -> Finding:
    """What the database at `remote` says of `step`.  Raises PrivilegeError, ProviderError."""
    return _look(remote, step.do)


def _look(remote: str, do: Operation) -> Finding:
    want = wanted(do)
    names = [name for name in (want.existing, *spellings(want.mirrored)) if name]
    more: list[tuple[str, Sequence[object]]] = [("Port", [["name", "==", name]]) for name in dict.fromkeys(names)]
    if want.entry:
        more.append(("Bridge", [["_uuid", "==", uuid(do.text("bridge"))]]))
    tables = _ours(remote, do, *more)
    carried = [row.external_ids for rows in (tables.mirrors, tables.ports, tables.bridges) for row in rows]
    if not any(want.ids.items() <= ids.items() for ids in carried):
        return Finding(Found.ABSENT)
    if different := differences(do, tables):
        return Finding(Found.CHANGED, "; ".join((*different, *losses(do, tables))))
    return Finding(Found.THERE, "; ".join(losses(do, tables)))


def count(remote: str, step: Step) -> int | None:
    """Frames that the mirror copied, as ovs-vswitchd publishes it every 5 s; None before that."""
    tables = select(remote, ("Mirror", [carries(identity(step.do))]))
    return next((row.statistics.get("tx_packets") for row in tables.mirrors), None)


def measure(remote: str, step: Step, vlan: int = 0) -> Counts:
    """What is counted at the mirrored port and of the mirror, both as ovs-vswitchd published them last.

    `vlan` is where the copies go, where the step itself does not say.

    That is every 5 s or as configured, of the port as it is then and of the mirror as its cached flows were looked
    through last.  Nothing at all where the database at `remote` has neither.
    """
    names = spellings(step.do.text("port"))
    ports = select(remote, *(("Port", [["name", "==", name]]) for name in names)).ports[:1]
    members = [member for port in ports for member in port.interfaces]
    tables = select(
        remote,
        ("Mirror", [carries(identity(step.do))]),
        *(("Interface", [["_uuid", "==", uuid(member)]]) for member in members),
        ("Open_vSwitch", ()),
    )
    if not ports and not tables.mirrors:
        return Counts()
    # What is published of a port and of a mirror is published at once: nothing yet is nothing counted.
    copies = next((row.statistics.get("tx_packets", 0) for row in tables.mirrors), None)
    counts, want = at_port(tables.interfaces, lag_of(tables.settings)), wanted(step.do)
    # A port without a tag may carry the VLAN of the copies, too, and counts them as what comes to the VM.
    vlan = want.vlan or vlan
    if vlan and any(port.carries(vlan) for port in ports):
        counts = replace(counts, seen=replace(counts.seen, into=None))
    if want.to_vm and want.from_vm:
        return replace(counts, total=copies)
    return replace(counts, copied=Ways(into=copies) if want.to_vm else Ways(out=copies))


def purge(remote: str) -> None:
    """Throw away flows that were computed before.  Raises PrivilegeError, ProviderError."""
    unixctl.command(unixctl.control_socket(remote), "revalidator/purge")


def has_bridge(remote: str, bridge: str) -> bool:
    """Whether the database at `remote` has the bridge of that id."""
    return bool(select(remote, ("Bridge", [["_uuid", "==", uuid(bridge)]])).bridges)


def _ours(remote: str, operation: Operation, *more: tuple[str, Sequence[object]]) -> Tables:
    condition = [carries(identity(operation))]
    return select(remote, *((table, condition) for table in ("Bridge", "Mirror", "Port", "Interface")), *more)


def _write(remote: str, do: Operation, want: Wanted) -> bool:
    """One transaction, unless the mirror is there already; whether it was needed."""
    for _ in range(_TRIES):
        finding = _look(remote, do)
        if finding.detail:
            raise ProviderError(
                f"mirror {do.text('name')} of {source(do)} is not as it was made: {finding.detail}",
                "stop it and open it again",
            )
        if finding.found is Found.THERE:
            return False
        tables = _read(remote, do, want)
        try:
            allowed(do, want, tables)
            transact(remote, changes(do, tables, max((row.mtu for row in tables.interfaces), default=0)))
        except Outdated:
            continue
        return True
    raise _restless(do)


def _cut(remote: str, do: Operation) -> bool:
    """One transaction, unless the mirror is cut so already; whether it was needed."""
    as_it_was = do.changed(snaplen=do.number("was"))
    for _ in range(_TRIES):
        if _look(remote, do).found is Found.THERE:
            return False
        finding = _look(remote, as_it_was)
        if finding.found is not Found.THERE:
            how = finding.detail or "gone"
            raise ProviderError(f"the mirror of {source(do)} was changed: {how}", "stop it and open it again")
        with suppress(Outdated):
            transact(remote, recut(do))
            return True
    raise _restless(do)


def _restless(do: Operation) -> ProviderError:
    return ProviderError(
        f"the mirrors of the switch of {source(do)} change all the time", "see who does it: ovsdb-client monitor"
    )


def _read(remote: str, do: Operation, want: Wanted) -> Tables:
    """The bridge, and the ports and interfaces that the mirror names; all ports where those of the VLAN matter."""
    names = [name for name in (want.port, want.existing, *spellings(want.mirrored)) if name]
    return select(
        remote,
        ("Bridge", [["_uuid", "==", uuid(do.text("bridge"))]]),
        *([("Port", ())] if want.entry else ()),
        *(("Port", [["name", "==", name]]) for name in dict.fromkeys(names)),
        *(("Interface", [["name", "==", name]]) for name in dict.fromkeys(names)),
    )


def _taken_over(remote: str, want: Wanted, reconfigured: Callable[[], bool]) -> None:
    """Wait until ovs-vswitchd works with what was written.  Raises ProviderError with what it says."""

    def port_works() -> bool:
        rows = select(remote, ("Interface", [carries(want.ids)])).interfaces
        if said := next((row.error or f"port {row.name} cannot be added" for row in rows if row.ofport < 0), ""):
            raise ProviderError(f"Open vSwitch cannot send copies to {want.port}: {said}")
        return bool(rows) and all(row.ofport > 0 for row in rows)

    if not until(reconfigured, PATIENCE) or (want.port and not until(port_works, PATIENCE)):
        raise ProviderError(
            f"ovs-vswitchd did not take the mirror over within {PATIENCE:g} s",
            "see what it says: its log, ovs-appctl version",
        )


def _reconfigurations(control: str) -> int:
    """How often ovs-vswitchd has read its configuration, a number of its own."""
    text = unixctl.command(control, "coverage/read-counter", "bridge_reconfigure").strip()
    if not text.isdecimal():
        raise ProviderError(f"ovs-vswitchd at {control} made no sense: {text[:100]!r} reconfigurations")
    return int(text)


def _bring_up(remote: str, device: str) -> None:
    """Up and deaf: the host must neither answer what is copied to it nor send anything of its own there."""
    netns = ovsdb.home(remote)
    if netns is None:
        raise ProviderError(f"the namespace of device {device} is hidden from us", "run it with sudo")
    enter = ["nsenter", f"--net={netns.path}"] if netns.path else []
    # A kernel without IPv6 knows no address generation.
    command.run([*enter, "ip", "link", "set", "dev", device, "addrgenmode", "none"], check=False)
    command.run([*enter, "ip", "link", "set", "dev", device, "arp", "off", "multicast", "off", "up"])
