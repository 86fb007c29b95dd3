"""OVN's southbound database, for one question: which server has a logical port (schema ``OVN_Southbound``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tapwright.adapters.ovsdb_rows import Reference, References, uuids
from tapwright.adapters.ovsdb_transact import SOUTHBOUND, called, transact
from tapwright.errors import ProviderError


class _Binding(msgspec.Struct):
    logical_port: str
    chassis: References


class _Chassis(msgspec.Struct):
    _uuid: Reference
    name: str
    hostname: str


_KNOWN = tuple(msgspec.json.Decoder(row) for row in (_Binding, _Chassis))
"""Made at import, for the same reason as `ovsdb_rows`' decoder."""


def server_of(remote: str, port: str) -> str:
    """The host name of the server that has the logical port, else its chassis' name; "" where none has it.

    Raises PrivilegeError, ProviderError.
    """
    where = [["logical_port", "==", port]]
    bound = transact(remote, [_asking("Port_Binding", _Binding, where)], database=SOUTHBOUND)
    found = [uuid for row in _rows(bound[0], _Binding, remote) for uuid in uuids(row.chassis)]
    if not found:
        return ""
    there = transact(remote, [_asking("Chassis", _Chassis, [["_uuid", "==", ["uuid", found[0]]]])], database=SOUTHBOUND)
    return next((row.hostname or row.name for row in _rows(there[0], _Chassis, remote)), "")


def _asking(table: str, kind: Any, where: Sequence[object]) -> Mapping[str, Any]:
    return {"op": "select", "table": table, "where": where, "columns": list(kind.__struct_fields__)}


def _rows(answer: Mapping[str, Any], kind: Any, remote: str) -> list[Any]:
    try:
        return msgspec.convert(answer.get("rows"), list[kind])
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{called(SOUTHBOUND, remote)} made no sense: {error}") from None
