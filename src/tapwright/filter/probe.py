"""The words to try a filter with while a mistake is looked for.

They parse like the filter's own, but an address stands for every name of a machine: libpcap
would ask a name server about it, again and again.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapwright.filter.expression import Kind, Token
from tapwright.filter.words import DIRECTIONS, KEYWORDS, LINK_LAYERS, NAMES_A_HOST, NAMES_ANOTHER, is_name


def probes(tokens: Sequence[Token]) -> list[str]:
    """One word (or primitive) for each token."""
    return [_stand_in(tokens, index) for index in range(len(tokens))]


def _stand_in(tokens: Sequence[Token], index: int) -> str:
    token = tokens[index]
    if token.kind is not Kind.WORD or not is_name(token.text):
        return token.pcap
    keyword = index - 1
    while keyword >= 0 and tokens[keyword].text not in NAMES_A_HOST | NAMES_ANOTHER:
        keyword -= 1
    if keyword < 0 or tokens[keyword].text in NAMES_ANOTHER:
        return token.pcap
    return _address(_qualifiers(tokens, keyword))


def _qualifiers(tokens: Sequence[Token], keyword: int) -> set[str]:
    """The words that qualify a name together with the one at `keyword`: ``ether src or dst host``."""
    found: set[str] = set()
    while keyword >= 0 and tokens[keyword].text in KEYWORDS:
        word = tokens[keyword].text
        if word in ("and", "or") and not (found & DIRECTIONS and tokens[keyword - 1].text in DIRECTIONS):
            break
        found.add(word)
        keyword -= 1
    return found


def _address(qualifiers: set[str]) -> str:
    if qualifiers & LINK_LAYERS:
        return "02:00:00:00:00:01"
    return "::1" if "ip6" in qualifiers else "10.0.0.1"
