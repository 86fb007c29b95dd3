"""Pure: whether a mirror delivers, judged by what was counted at the port, of the copies, and where they arrive.

Counters are published late, so a number is never held against another of the same instant.  Of
one reading, copies are counted at most one *lag* later than the frames at the port, and never
sooner; what arrives is counted at once.  So with readings `base`, `middle` and `now`, a lag and
more apart,

    copies(now) - copies(base)      is at least   frames(middle) - frames(base)
    arrived(now) - arrived(base)    is at least   copies(now) - copies(middle)

whatever the traffic does, and a mirror that delivers is never called broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Direction

FEW = 5
"""Frames that say nothing yet."""
_SPANS = (2, 5)
"""Lags over which a mirror is judged."""
_APART = 1 / 30
"""Lag between readings that are kept, at least: as many are enough however long a lag is."""
_MOST = 0.9
"""Share of the expected copies from which on none are missed: counters are of different sorts."""


class Outcome(StrEnum):
    """What becomes of the copies."""

    OK = "ok"
    ONE_WAY = "one-way"
    """One direction is copied and the other one, although it has traffic, is not."""
    STALE = "stale"
    """Frames pass at the port, and copies stopped, or there are some of some flows only."""
    TRUNCATED = "truncated"
    """Copies arrive cut, or those of large frames do not arrive."""
    LOSSY = "lossy"
    """Some copies do not arrive."""
    NONE = "none"
    """Nothing is copied, or nothing arrives."""
    IDLE = "idle"
    """There is no traffic to judge by."""
    UNKNOWN = "unknown"


GOOD = frozenset({Outcome.OK, Outcome.IDLE, Outcome.UNKNOWN})
"""Nothing that anybody should do something about."""


_COPYING = frozenset({Outcome.OK, Outcome.UNKNOWN})
"""Copies are made, or may be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a mirror delivers, and how that is known."""

    outcome: Outcome
    reason: str

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return self.outcome in GOOD


@dataclass(frozen=True, slots=True)
class News:
    """What the owner of a session knew last of its mirrors, for others to read."""

    time: float
    """Of the look, in seconds since 1970."""
    mirrors: tuple[tuple[str, Verdict], ...]
    """Of each vNIC (``VM/nic``)."""

    def turned(self, before: News | None) -> bool:
        """Whether the outcome of any mirror is another one than `before`."""
        return before is None or self._outcomes != before._outcomes

    @property
    def _outcomes(self) -> list[tuple[str, Outcome]]:
        return [(name, verdict.outcome) for name, verdict in self.mirrors]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was counted at one moment."""

    time: float
    """Seconds of a clock that nobody sets."""
    counts: Counts
    received: int | None = None
    """Copies that arrived, where we collect them."""
    cut: int = 0
    """Of those, frames that were cut although nobody asked for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What should be delivered."""

    direction: Direction = Direction.BOTH
    filtered: bool = False
    """Whether only some frames are copied: then fewer copies than frames are no fault."""
    shared: bool = False
    """Whether a frame that several mirrors select is copied once and counted for one of them, perhaps another."""
    largest: int = 0
    """Bytes of the largest frame whose copy arrives whole, with its Ethernet header; 0 where all do."""
    beyond: str = ""
    """What becomes of larger ones."""
    cut: int = 0
    """Bytes of a frame that are copied to spare the host; 0 where all are that were asked for."""
    revalidated: bool = False
    """Whether the switch has computed anew already what it does with running traffic, or never needs to."""

    @property
    def limit(self) -> int:
        """Bytes of the largest frame whose copy arrives as it was made; 0 where all do."""
        return 0 if 0 < self.cut <= self.largest else self.largest


_WORDS = {Direction.IN: "what comes to the VM", Direction.OUT: "what the VM sends"}


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction over the time that is judged."""

    direction: Direction
    least: int
    """Frames at the port whose copies must have been counted by now."""
    most: int
    """Frames at the port whose copies may have been counted in that time."""
    got: int | None
    """Copies, None where they are counted together with the other direction's."""

    @property
    def busy(self) -> bool:
        return self.least >= FEW


def kept(readings: Sequence[Reading], new: Reading) -> tuple[Reading, ...]:
    """`readings` with a new one, without those that no judgement needs any more."""
    *readings, new = _since_restart((*readings, new))
    if len(readings) > 1 and readings[-1].time - readings[-2].time < _APART * new.counts.lag:
        readings = readings[:-1]
    oldest = new.time - (_SPANS[-1] + 1) * new.counts.lag
    fresh = [reading for reading in readings if reading.time >= oldest]
    # Two, so that there are enough of them however rarely they are read.
    before = [reading for reading in readings if reading.time < oldest][-2:]
    return (*before, *fresh, new)


def judge(readings: Sequence[Reading], asked: Asked = Asked()) -> Verdict:
    """Judge a mirror by what was counted until now, oldest first.

    What is wrong altogether shows in the shorter of two spans of time, what is missing of it in the longer one.
    """
    if readings and readings[-1].counts.why:
        return Verdict(Outcome.UNKNOWN, f"not provable here: {readings[-1].counts.why}")
    readings = _since_restart(readings)
    if len(readings) < 2:
        return Verdict(Outcome.UNKNOWN, "nothing to compare yet")
    short, long = (_over(readings, span * readings[-1].counts.lag, asked) for span in _SPANS)
    return short if long.good or (not short.good and short.outcome is not long.outcome) else long


def _over(readings: Sequence[Reading], span: float, asked: Asked) -> Verdict:
    """By the last `span` seconds, or those there are."""
    now, lag = readings[-1], readings[-1].counts.lag
    middle = _latest(readings, now.time - lag)
    base = _latest([r for r in readings if middle and r.time < middle.time], now.time - span) or readings[0]
    early = Verdict(Outcome.UNKNOWN, f"it takes {_SPANS[0] * lag:g} s until counters can be compared")
    if middle is None or middle.time <= base.time:
        return early
    earlier = _latest(readings, base.time - lag)
    ways = [way for direction in _ways(asked) if (way := _way(direction, earlier, base, middle, now)) is not None]
    copying = _copying(ways, base, now, asked)
    if copying.outcome is Outcome.IDLE and now.time - base.time < _SPANS[0] * lag:
        return early
    return _arriving(copying, base, middle, now, asked) if copying.outcome in _COPYING else copying


def _ways(asked: Asked) -> tuple[Direction, ...]:
    return (Direction.IN, Direction.OUT) if asked.direction is Direction.BOTH else (asked.direction,)


def _since_restart(readings: Sequence[Reading]) -> Sequence[Reading]:
    """Those after the last time that a counter began anew."""
    for number in range(len(readings) - 1, 0, -1):
        if any(new < old for old, new in zip(*map(_numbers, readings[number - 1 : number + 1]), strict=True)):
            return readings[number:]
    return readings


def _numbers(reading: Reading) -> tuple[int, ...]:
    counts = reading.counts
    all_of_them = (
        counts.seen.into, counts.seen.out, counts.copied.into, counts.copied.out, counts.total, reading.received,
    )  # fmt: skip
    return tuple(number or 0 for number in all_of_them)


def _latest(readings: Sequence[Reading], time: float) -> Reading | None:
    return next((reading for reading in reversed(readings) if reading.time <= time), None)


def _one(ways: Ways, direction: Direction) -> int | None:
    return ways.into if direction is Direction.IN else ways.out


def _way(direction: Direction, earlier: Reading | None, base: Reading, middle: Reading, now: Reading) -> _Way | None:
    """None where nobody counts the frames of that direction at the port."""
    first, begin, half, end = (
        _one(reading.counts.seen, direction) if reading else None for reading in (earlier, base, middle, now)
    )
    if begin is None or half is None or end is None:
        return None
    before, after = (_one(reading.counts.copied, direction) for reading in (base, now))
    got = after - before if before is not None and after is not None else None
    return _Way(direction, half - begin, end - (begin if first is None else first), got)


def _copying(ways: Sequence[_Way], base: Reading, now: Reading, asked: Asked) -> Verdict:
    """Whether the switch or the kernel makes the copies."""
    before, after = base.counts.copies, now.counts.copies
    if not ways:
        made = "" if before is None or after is None else f"; {after - before:,} copies were made lately"
        return Verdict(Outcome.UNKNOWN, f"nobody counts the frames there{made}")
    if not any(way.busy for way in ways):
        return Verdict(Outcome.IDLE, "no traffic to judge by")
    if before is None or after is None:
        return Verdict(Outcome.UNKNOWN, "nobody counts the copies yet")
    return _counted(ways, before, after, asked)


def _counted(ways: Sequence[_Way], before: int, after: int, asked: Asked) -> Verdict:
    if asked.filtered or asked.shared:
        return _any(after - before, asked)
    if after == before:
        return _nothing(ways, after, asked)
    if all(way.got is not None for way in ways):
        return _apart(ways)
    return _together(ways, after - before)


def _any(got: int, asked: Asked) -> Verdict:
    """Where fewer copies than frames are no fault, only copies that there are prove anything."""
    if got > 0:
        what = "frames matched and were copied" if asked.filtered else "copies, beside what other mirrors count"
        return Verdict(Outcome.OK, f"{got:,} {what}")
    nothing = "nothing matched" if asked.filtered else "all of it is counted by other mirrors of this target"
    return Verdict(Outcome.UNKNOWN, f"{nothing}, or nothing is copied")


def _nothing(ways: Sequence[_Way], ever: int, asked: Asked) -> Verdict:
    passed = sum(way.least for way in ways)
    if ever:
        return Verdict(Outcome.STALE, f"copies stopped after {ever:,}; {passed:,} frames passed since")
    if asked.revalidated:
        return Verdict(Outcome.NONE, f"{passed:,} frames passed, and none was copied")
    return Verdict(Outcome.STALE, f"{passed:,} frames passed, and copying has not begun for flows that ran before")


def _apart(ways: Sequence[_Way]) -> Verdict:
    busy = [way for way in ways if way.busy]
    silent = [way for way in busy if not way.got]
    if silent and len(silent) < len(ways) and any(way.got for way in ways):
        return Verdict(Outcome.ONE_WAY, f"{_WORDS[silent[0].direction]} is not copied ({silent[0].least:,} frames)")
    for way in busy:
        if (way.got or 0) < _MOST * way.least:
            return _some(f"of {_WORDS[way.direction]} {way.got:,} of {way.least:,} frames were copied")
    return Verdict(Outcome.OK, ", ".join(f"{_WORDS[way.direction]}: {way.got:,} copies" for way in ways))


def _together(ways: Sequence[_Way], got: int) -> Verdict:
    """By the sum of both directions alone: what one of them would make tells them apart, unless they are alike."""
    expected = sum(way.least for way in ways)
    if got >= _MOST * expected:
        return Verdict(Outcome.OK, f"{got:,} copies of at least {expected:,} frames, both ways together")
    alone = [way for way in ways if _MOST * way.least <= got <= way.most / _MOST + FEW]
    others = [other for way in alone for other in ways if other is not way and other.busy]
    if len(alone) == 1 and others:
        return Verdict(Outcome.ONE_WAY, f"{_WORDS[others[0].direction]} is not copied ({others[0].least:,} frames)")
    if len(alone) == 2 and len(others) == 2:
        return Verdict(Outcome.ONE_WAY, f"{got:,} copies of {expected:,} frames: one way is not copied")
    return _some(f"{got:,} of at least {expected:,} frames were copied")


def _some(reason: str) -> Verdict:
    return Verdict(Outcome.STALE, f"{reason}: some flows are not")


def _arriving(copying: Verdict, base: Reading, middle: Reading, now: Reading, asked: Asked) -> Verdict:
    """Whether what is copied also gets where it should."""
    made = (now.counts.copies or 0) - (base.counts.copies or 0)
    failed = now.counts.failed - base.counts.failed
    if failed > 0:
        # Those that failed may be among the copies or not; all that were handed on are not less than the rest.
        lost = failed >= made
        what = "no copy" if lost else f"{failed:,} copies"
        return Verdict(Outcome.NONE if lost else Outcome.LOSSY, f"{what} could be handed on: the target refused them")
    if now.cut > base.cut and not asked.cut:
        return Verdict(Outcome.TRUNCATED, f"{now.cut - base.cut:,} copies arrived cut")
    if arrived := _received(base, middle, now, asked):
        return arrived
    size = _mean(base, now)
    if asked.limit and size > asked.limit:
        return Verdict(
            Outcome.TRUNCATED, f"frames have {size:.0f} bytes on average; beyond {asked.limit} {asked.beyond}"
        )
    return copying


def _received(base: Reading, middle: Reading, now: Reading, asked: Asked) -> Verdict | None:
    """What is wrong where we collect, None where nothing is or nobody does."""
    if now.received is None or base.received is None:
        return None
    expected, got = (now.counts.copies or 0) - (middle.counts.copies or 0), now.received - base.received
    if expected < FEW or got >= _MOST * expected:
        return None
    if not got:
        return Verdict(Outcome.NONE, f"{expected:,} copies were made, and none arrived")
    outcome = Outcome.TRUNCATED if asked.limit else Outcome.LOSSY
    why = f": beyond {asked.limit} bytes {asked.beyond}" if asked.limit else ""
    return Verdict(outcome, f"{got:,} of at least {expected:,} copies arrived{why}")


def _mean(base: Reading, now: Reading) -> float:
    """Bytes of a frame at the port, on average; 0 where nobody counts."""
    sides = [(r.counts.seen_bytes, r.counts.seen.into, r.counts.seen.out) for r in (base, now)]
    if any(number is None for side in sides for number in side):
        return 0.0
    (b0, i0, o0), (b1, i1, o1) = sides
    frames = (i1 or 0) + (o1 or 0) - (i0 or 0) - (o0 or 0)
    return ((b1 or 0) - (b0 or 0)) / frames if frames > 0 else 0.0
