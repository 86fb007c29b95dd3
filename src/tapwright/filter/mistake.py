"""Where a filter goes wrong, and what to say about it.

libpcap says "syntax error" and no more.  But its parser reads from left to right and stops
at the first word that fits nothing.  So a word of nonsense behind the first n words tells,
by whether libpcap complains of the nonsense or of something before it, whether those n words
can begin a filter at all; a bisection then finds the first word that cannot follow.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from tapwright.errors import FilterError
from tapwright.filter.advice import advice, semantic_advice
from tapwright.filter.expression import Kind, Token
from tapwright.filter.libpcap import Compiler, PcapError
from tapwright.filter.probe import probes
from tapwright.filter.vms import Resolve
from tapwright.filter.words import CONNECTIVES, NEGATIONS
from tapwright.text import printable

_NONSENSE = "9:9:"
"""libpcap's scanner refuses it (a bogus MAC address) as soon as the parser asks for it."""
_CLOSING = {"(": ")", "[": "]"}
_ENDS = CONNECTIVES | frozenset(_CLOSING.values())


def explain(
    text: str, tokens: Sequence[Token], reason: str, compiler: Compiler, resolve: Resolve | None
) -> FilterError:
    """The error for `text`, which libpcap refused for `reason`, with the position where it is known."""
    if "rejects all packets" in reason:
        return FilterError(
            "no packet can match this filter", text, None, "parts of it exclude each other, like `tcp and udp`"
        )
    if "memory exhausted" in reason:
        return FilterError("the filter is nested too deeply", text)
    oracle = _Oracle(tokens, compiler)
    wrong, why = oracle.first_wrong(reason)
    unknown = _unknown_name(tokens, reason)
    if unknown is not None and unknown < wrong:
        wrong, why = unknown, reason
    if "syntax error" in why:
        return _misplaced(text, tokens, wrong, oracle, resolve)
    # The stand-ins for names can change libpcap's words; its first ones were about the user's own.
    why = why if "syntax error" in reason else reason
    place = _culprit(tokens, wrong, why)
    return FilterError(why, text, tokens[place].at, semantic_advice(why, tokens[place], resolve))


class _Oracle:
    """Asks libpcap whether words can begin a filter."""

    def __init__(self, tokens: Sequence[Token], compiler: Compiler) -> None:
        self._words, self._compile = probes(tokens), compiler

    def first_wrong(self, reason: str) -> tuple[int, str]:
        """Index of the first token that cannot follow, and why; all of them can when it is their number."""
        count = len(self._words)
        wrong = bisect_left(range(1, count + 1), x=True, key=lambda n: bool(self.complaint(n)))
        return wrong, self.complaint(wrong + 1) if wrong < count else reason

    def complaint(self, count: int, *more: str) -> str:
        """What libpcap has against the first `count` tokens (and `more` words behind them), "" when nothing."""
        try:
            self._compile(" ".join((*self._words[:count], *more, _NONSENSE)), optimise=False)
        except PcapError as error:
            return "" if _NONSENSE in str(error) else str(error)
        return ""

    def welcomes(self, count: int, *more: str) -> bool:
        """Whether `more` can follow the first `count` tokens."""
        return not self.complaint(count, *more)


def _misplaced(text: str, tokens: Sequence[Token], wrong: int, oracle: _Oracle, resolve: Resolve | None) -> FilterError:
    opened = _open_brackets(tokens[:wrong])
    if wrong == len(tokens):
        if opened and oracle.welcomes(wrong, _CLOSING[tokens[opened[-1]].text]):
            return FilterError(f"this `{tokens[opened[-1]].text}` is never closed", text, tokens[opened[-1]].at)
        message = f"the filter ends too early: something must follow `{_shown(tokens[-1])}`"
        return FilterError(message, text, tokens[-1].end)
    token = tokens[wrong]
    if token.text in _CLOSING.values() and not opened:
        return FilterError(f"this `{token.text}` closes nothing", text, token.at)
    if wrong == 0:
        message = f"a filter cannot begin with `{_shown(token)}`"
    else:
        message = f"`{_shown(token)}` cannot follow `{_shown(tokens[wrong - 1])}`"
    rest = [token.pcap for token in tokens[wrong + 1 : wrong + 2]]
    hint = advice(tokens, wrong, resolve, lambda *words: oracle.welcomes(wrong, *words, *rest))
    return FilterError(message, text, token.at, hint)


def _shown(token: Token) -> str:
    return f"vm {printable(token.text)}" if token.kind is Kind.VM else token.text


def _open_brackets(tokens: Sequence[Token]) -> list[int]:
    """Indices of the brackets that are still open, outermost first."""
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind is Kind.OPERATOR and token.text in _CLOSING:
            opened.append(index)
        elif opened and token.kind is Kind.OPERATOR and token.text == _CLOSING[tokens[opened[-1]].text]:
            opened.pop()
    return opened


def _unknown_name(tokens: Sequence[Token], reason: str) -> int | None:
    """The token with the name that libpcap says nobody knows."""
    found = re.search(r"unknown .*'(.+)'", reason)
    names = (index for index, token in enumerate(tokens) if found and token.text.lstrip("\\") == found[1])
    return next(names, None)


def _culprit(tokens: Sequence[Token], wrong: int, why: str) -> int:
    """The word of the primitive before `wrong` that libpcap's reason speaks of; its last one if of none."""
    last = min(wrong, len(tokens) - 1)
    # Often libpcap reads one word further before it judges.
    if last and tokens[last].text in _ENDS:
        last -= 1
    said = set(re.findall(r"[^\s'\"(),/]+", why))
    index = last
    while index >= 0 and tokens[index].text not in CONNECTIVES | NEGATIONS:
        if tokens[index].text in said:
            return index
        index -= 1
    return last
