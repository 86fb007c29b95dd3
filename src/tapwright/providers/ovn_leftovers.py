"""Pure: what mirrors left in OVN's northbound database: ours by their mark, and strangers' that copy nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from tapwright.adapters.ovnnb import Mirroring, NorthboundMirror
from tapwright.adapters.ovsdb import NORTHBOUND
from tapwright.plan.steps import Leftover, Mark, Operation
from tapwright.providers.ovn_mirror import BEAT, UNDO
from tapwright.providers.ovs_mirror import MARK, STEP

_LONGEST = 20
"""Characters of a beat: it is remembered by whoever sees it."""


def leftovers(remote: str, there: Mirroring) -> Iterator[Leftover]:
    """In the database at `remote`, of which `there` has all ports and mirrors."""
    yield from _ours(remote, there)
    for mirror in there.mirrors:
        if MARK not in mirror.external_ids and not there.attached(mirror):
            what = f"mirror {mirror.name} of OVN, which is attached to no port"
            yield Leftover("ovn", what, None, None, _command(remote, [mirror]))


def _ours(remote: str, there: Mirroring) -> Iterator[Leftover]:
    marked = [mirror.external_ids for mirror in there.mirrors if MARK in mirror.external_ids]
    for mark, step in dict.fromkeys((ids[MARK], ids.get(STEP, "")) for ids in marked):
        mine = {MARK: mark, STEP: step} if step else {MARK: mark}
        mirrors = [mirror for mirror in there.mirrors if mine.items() <= mirror.external_ids.items()]
        ports = sorted({port.name for mirror in mirrors for port in there.attached(mirror)})
        what = f"mirror {mirrors[0].name} of OVN" + (f" of logical port {', '.join(ports)}" if ports else "")
        parsed = Mark.parse(mark)
        beats = {mirror.external_ids.get(BEAT, "") for mirror in mirrors}
        beat = beats.pop() if len(beats) == 1 else ""
        beat = beat if len(beat) <= _LONGEST else ""
        undo = Operation.of("ovn", UNDO, name=step, mark=mark, port="", beat=beat) if parsed else None
        yield Leftover("ovn", what, parsed, undo, _command(remote, mirrors), beat)


def _command(remote: str, mirrors: Sequence[NorthboundMirror]) -> str:
    """What a person would type."""
    where = [] if remote == NORTHBOUND else [f"--db={remote}"]
    return shlex.join(["ovn-nbctl", *where, *(word for m in mirrors for word in ("--", "mirror-del", m.name))])
