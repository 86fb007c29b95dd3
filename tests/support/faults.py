"""Faults planted into the relocator: its source with one thing wrong, imported beside the right one."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

import tapwright.filter
from tapwright.filter.relocate import Filters
from tapwright.filter.wrapping import Wrapping

PACKAGE = "tapwright.filter"


@dataclass(frozen=True)
class Fault:
    """In the file of that name, `right` becomes `wrong`."""

    name: str
    file: str
    right: str
    wrong: str


class _Faulty(SourceFileLoader):
    def __init__(self, name: str, path: str, fault: Fault) -> None:
        super().__init__(name, path)
        self._fault = fault

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text()
        assert source.count(self._fault.right) == 1, f"{self._fault.name}: its place is gone or not unique"
        return compile(source.replace(self._fault.right, self._fault.wrong), self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != f"{PACKAGE}.{self._fault.file}":
            return None
        found = PathFinder.find_spec(fullname, path)
        assert found is not None
        assert found.origin is not None
        return spec_from_loader(fullname, _Faulty(fullname, found.origin, self._fault))


Build = Callable[[Filters, Wrapping], bytes]


def with_fault(fault: Fault) -> Build:
    """What `relocate` would build with the fault; everything else in the process keeps the right one."""
    kept = {name: sys.modules.pop(name) for name in _loaded()}
    finder = _Finder(fault)
    sys.meta_path.insert(0, finder)
    try:
        modules = {name: import_module(f"{PACKAGE}.{name}") for name in ("relocate", "program", "wrapping")}
    finally:
        sys.meta_path.remove(finder)
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(kept)
        tapwright.filter = kept[PACKAGE]
    return partial(_build, modules)


def _loaded() -> list[str]:
    return [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]


def _build(modules: dict[str, ModuleType], filters: Filters, wrapping: Wrapping) -> bytes:
    """Our values are not the faulty modules' own: they are made anew there."""
    programs = (filters.ethernet, filters.raw, filters.plain, filters.outer)
    theirs = [program and modules["program"].Program(program.code) for program in programs]
    way = modules["wrapping"].Wrapping(**{field.name: getattr(wrapping, field.name) for field in fields(wrapping)})
    code: bytes = modules["relocate"].relocate(modules["relocate"].Filters(*theirs), way).code
    return code
