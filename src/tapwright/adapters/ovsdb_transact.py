"""One transaction with Open vSwitch's database, or another that speaks its protocol (RFC 7047, section 4.1.3).

All of its operations happen, or none.  Nothing here waits for ovs-vswitchd: whoever needs to
know asks for what it publishes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tapwright.adapters.ovsdb import TIMEOUT, ask, dial
from tapwright.adapters.ovsdb_mirrors import MIRROR_COLUMNS, Tables, tables
from tapwright.errors import ProviderError

Atom = str | int | bool
Operation = Mapping[str, Any]


class Outdated(ProviderError):
    """A `wait` of the transaction found something else than was read before; nothing was done."""


class _Reply(msgspec.Struct):
    result: tuple[dict[str, Any] | None, ...] | None = None
    error: Any = None


_REPLY = msgspec.json.Decoder(_Reply)
"""Made at import: msgspec crashes when two threads are the first to decode into the same type."""


OPEN_VSWITCH, OVN, SOUTHBOUND = "Open_vSwitch", "OVN_Northbound", "OVN_Southbound"
_NAMES = {
    OPEN_VSWITCH: "Open vSwitch's database",
    OVN: "OVN's northbound database",
    SOUTHBOUND: "OVN's southbound database",
}


def called(database: str, remote: str) -> str:
    """What messages call a database."""
    return f"{_NAMES[database]} at {remote}"


def transact(
    remote: str, operations: Sequence[Operation], timeout: float = TIMEOUT, database: str = OPEN_VSWITCH
) -> tuple[Mapping[str, Any], ...]:
    """Perform `operations` at `remote` in at most `timeout` seconds; the result of each.

    Raises PrivilegeError, ProviderError with what the database said, and Outdated.  After a
    ProviderError for want of an answer nobody knows whether it was done.
    """
    who = called(database, remote)
    deadline = time.monotonic() + timeout
    request = {"id": 0, "method": "transact", "params": [database, *operations]}
    with dial(remote, who, timeout) as connection:
        return results(ask(connection, request, who, deadline), len(operations), who)


def results(reply: bytes, count: int, who: str = "Open vSwitch's database") -> tuple[Mapping[str, Any], ...]:
    """Pure: the results of `count` operations in a reply.  Raises ProviderError, Outdated."""
    try:
        answer = _REPLY.decode(reply)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{who} made no sense: {error}") from None
    if answer.error is not None:
        raise ProviderError(f"{who} refused: {_short(answer.error)}")
    for result in answer.result or ():
        if result and "error" in result:
            said = f"{_short(result['error'])}: {_short(result.get('details') or 'no details')}"
            raise (Outdated if result["error"] == "timed out" else ProviderError)(f"{who} refused: {said}")
    done = tuple(result for result in answer.result or () if result is not None)
    if len(done) != count:
        raise ProviderError(f"{who} made no sense: {len(done)} results of {count} operations")
    return done


def _short(text: object) -> str:
    return str(text)[:300]


def select(remote: str, *wanted: tuple[str, Sequence[object]], timeout: float = TIMEOUT) -> Tables:
    """The rows of MIRROR_COLUMNS for each (table, conditions), as of one moment.  Raises as `transact` does."""
    asked = [
        {"op": "select", "table": table, "where": where, "columns": MIRROR_COLUMNS[table]} for table, where in wanted
    ]
    answers = transact(remote, asked, timeout)
    try:
        return tables([(table, answer) for (table, _), answer in zip(wanted, answers, strict=True)])
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"Open vSwitch's database at {remote} made no sense: {error}") from None


def uuid(identity: str) -> list[str]:
    """A reference to a row that is there."""
    return ["uuid", identity]


def named(name: str) -> list[str]:
    """A reference to a row that this transaction inserts under that ``uuid-name``."""
    return ["named-uuid", name]


def a_set(*members: object) -> list[object]:
    """A set of atoms or references."""
    return ["set", list(members)]


def a_map(values: Mapping[str, str]) -> list[object]:
    """A map of texts."""
    return ["map", [[key, value] for key, value in values.items()]]
