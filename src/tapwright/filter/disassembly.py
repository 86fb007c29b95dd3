"""A program as people read it: the notation of ``tcpdump -d``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tapwright.filter.program import Instruction

_LOADS: Mapping[int, tuple[str, str]] = {
    0x20: ("ld", "[{k}]"),
    0x28: ("ldh", "[{k}]"),
    0x30: ("ldb", "[{k}]"),
    0x40: ("ld", "[x + {k}]"),
    0x48: ("ldh", "[x + {k}]"),
    0x50: ("ldb", "[x + {k}]"),
    0x80: ("ld", "#pktlen"),
    0x81: ("ldx", "#pktlen"),
    0x00: ("ld", "#{k:#x}"),
    0x01: ("ldx", "#{k:#x}"),
    0x60: ("ld", "M[{k}]"),
    0x61: ("ldx", "M[{k}]"),
    0xB1: ("ldxb", "4*([{k}]&0xf)"),
    0x02: ("st", "M[{k}]"),
    0x03: ("stx", "M[{k}]"),
    0x06: ("ret", "#{k}"),
    0x16: ("ret", ""),
    0x07: ("tax", ""),
    0x87: ("txa", ""),
    0x84: ("neg", ""),
}
_ARITHMETIC = ("add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor")
_JUMPS = ("ja", "jeq", "jgt", "jge", "jset")
_HEXADECIMAL = frozenset({"and", "or", "xor"})


def disassemble(instructions: Iterable[Instruction]) -> str:
    """One line an instruction, numbered from 000; an unknown one is shown as it is."""
    return "\n".join(_line(index, instruction) for index, instruction in enumerate(instructions))


def _line(index: int, instruction: Instruction) -> str:
    name, operand = _image(index, instruction)
    text = f"({index:03}) {name:<8} {operand}"
    if not instruction.branches:
        return text
    return f"({index:03}) {name:<8} {operand:<16} jt {index + 1 + instruction.jt}\tjf {index + 1 + instruction.jf}"


def _image(index: int, instruction: Instruction) -> tuple[str, str]:
    code, k = instruction.code, instruction.k
    kind, from_x, operation = code & 0x07, code & 0x08, code >> 4
    if found := _LOADS.get(code):
        name, operand = found
        # Offsets into the kernel's own data about a packet are negative.
        return name, operand.format(k=k if "#" in operand else _signed(k))
    if kind == 0x04 and operation < len(_ARITHMETIC):
        name = _ARITHMETIC[operation]
        return name, "x" if from_x else f"#{k:#x}" if name in _HEXADECIMAL else f"#{k}"
    if kind == 0x05 and operation < len(_JUMPS):
        if not operation:
            return "ja", str(index + 1 + k)
        return _JUMPS[operation], "x" if from_x else f"#{k:#x}"
    return "unimp", f"{code:#x}"


def _signed(k: int) -> int:
    return k - (1 << 32) if k >> 31 else k
