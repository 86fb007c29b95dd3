"""A filter as people write it: the pcap-filter language, and `vm NAME` as one more primitive.

    vm NAME            to or from the VM: any of its MAC and IP addresses
    src vm NAME        sent by it; `dst vm NAME`, `src and dst vm NAME` likewise
    vm "web 1"         a name with blanks, brackets or quotes
    vm web-1/eth0      one of its vNICs
    vm web-1 or db-3   as with `host`, the last keyword holds for the names that follow

`vm` is the primitive only where a primitive can begin, so that `host vm` still is a host of
that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from tapwright.errors import FilterError
from tapwright.filter.words import CONNECTIVES, DIRECTIONS, NEGATIONS, is_address, is_name
from tapwright.text import printable

MAX_TEXT = 65_536
"""Characters."""


class Kind(Enum):
    """What a piece of a filter is."""

    WORD = auto()
    ESCAPED = auto()
    OPERATOR = auto()
    VM = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of the text, from `start` up to `end`, and what libpcap reads in its place."""

    kind: Kind
    text: str
    """As typed; of a VM its name without quotes."""
    start: int
    end: int
    pcap: str = ""
    at: int = 0
    """Where to point when it is wrong: a VM's name rather than the `src vm` in front of it."""
    direction: str = ""
    """Of a VM: ``src``, ``dst``, ``src and dst``, or "" for both ways."""


_SPACE = " \t\r\n"
"""All that libpcap skips; a form feed or a no-break space is an error to it."""
_PLAIN = re.compile(
    r"(?P<WORD>(?:[0-9A-Fa-f]{0,4}:){2,}[0-9A-Fa-f.]*|[A-Za-z0-9](?:[-.\w]*[.A-Za-z0-9])?)"
    r"|(?P<ESCAPED>\\[^\x00-\x20!()\x7f-\U0010ffff]+)"
    r"|(?P<OPERATOR><<|>>|<=|>=|!=|==|&&|\|\||[-+*/%&|^~=<>!()\[\]:])",
    re.ASCII,
)
_NAME = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"()!&|<>=\[\]])+', re.DOTALL)
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|([^"]+)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def tokenize(text: str) -> tuple[Token, ...]:
    """The pieces of `text`.  Raises FilterError at a character, quote or missing name that makes no sense."""
    if len(text) > MAX_TEXT:
        raise FilterError(f"the filter has {len(text):,} characters, {MAX_TEXT:,} are the limit")
    tokens: list[Token] = []
    position = _skip_space(text, 0)
    while position < len(text):
        tokens.append(_vm(text, position, tokens) or _plain(text, position))
        position = _skip_space(text, tokens[-1].end)
    return tuple(tokens)


def pcap_text(text: str, tokens: Iterable[Token]) -> str:
    """`text` as libpcap reads it: spaces as typed, each token by its `pcap`."""
    parts: list[str] = []
    position = 0
    for token in tokens:
        parts += text[position : token.start], token.pcap
        position = token.end
    return "".join(parts)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _plain(text: str, position: int) -> Token:
    found = _PLAIN.match(text, position)
    if found is None or found.lastgroup is None:
        raise _stray(text, position)
    return Token(Kind[found.lastgroup], found[0], position, found.end(), found[0], position)


def _stray(text: str, position: int) -> FilterError:
    character = text[position]
    if not character.isascii():
        hint = "it may have come along when the text was copied: type it anew"
        return FilterError(f"the character U+{ord(character):04X} has no meaning in a filter", text, position, hint)
    hint = 'quotes belong only around the name of a VM: vm "web 1"' if character in "\"'" else ""
    return FilterError(f"`{printable(character)}` has no meaning in a filter", text, position, hint)


def _vm(text: str, position: int, tokens: list[Token]) -> Token | None:
    """The VM primitive at `position`, None when there is none; takes its direction words off `tokens`."""
    found = _PLAIN.match(text, position)
    if found and found[0] == "vm" and _begins(tokens, len(tokens) - (words := _directions(tokens))):
        taken = tokens[len(tokens) - words :]
        del tokens[len(tokens) - words :]
        direction = " ".join(token.text for token in taken)
        return _named(text, taken[0].start if taken else position, _skip_space(text, found.end()), direction)
    before = _vm_before(tokens)
    if before and (text[position] == '"' or (found and _is_bare_name(found[0]))):
        return _named(text, position, position, before.direction)
    return None


def _named(text: str, start: int, at: int, direction: str) -> Token:
    found = _NAME.match(text, at)
    if text.startswith('"', at) and found is None:
        raise FilterError("this quote is never closed", text, at)
    if found is None or found[0] in CONNECTIVES | NEGATIONS:
        raise FilterError(
            "`vm` needs the name of a VM", text, at, 'quote it if it is a word like this: vm "and"' if found else ""
        )
    name = "".join(_ESCAPE.sub(r"\1", quoted) or bare for quoted, bare in _PART.findall(found[0]))
    # Both ways is what a VM primitive means anyway.
    direction = "" if direction in ("src or dst", "dst or src") else direction
    return Token(Kind.VM, name, start, found.end(), at=at, direction=direction)


def _begins(tokens: list[Token], index: int) -> bool:
    """Whether a primitive can begin at `index`, judged by the token in front of it."""
    return index == 0 or (
        tokens[index - 1].text in CONNECTIVES | NEGATIONS | {"("} and tokens[index - 1].kind is not Kind.VM
    )


def _directions(tokens: list[Token]) -> int:
    """How many tokens at the end say a direction: ``src``, ``src or dst``..."""
    texts = [token.text for token in tokens[-3:] if token.kind is Kind.WORD]
    if len(texts) == 3 and {texts[0], texts[2]} == DIRECTIONS and texts[1] in ("and", "or"):
        return 3
    return int(bool(texts) and texts[-1] in DIRECTIONS and tokens[-1].kind is Kind.WORD)


def _vm_before(tokens: list[Token]) -> Token | None:
    """The VM whose keyword still holds after a connective (`vm a or b`, `vm a and not b`)."""
    index = len(tokens) - 1
    while index >= 0 and tokens[index].text in NEGATIONS:
        index -= 1
    if index >= 1 and tokens[index].text in CONNECTIVES and tokens[index - 1].kind is Kind.VM:
        return tokens[index - 1]
    return None


def _is_bare_name(word: str) -> bool:
    """A name that stands alone; a plain number may begin an arithmetic comparison instead."""
    return is_name(word) or (is_address(word) and not word.isdecimal())
