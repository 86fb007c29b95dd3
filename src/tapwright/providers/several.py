"""One provider, several sources of the same kind on one host: ask them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tapwright.errors import TapwrightError

T = TypeVar("T")

_AT_ONCE = 8


def ask_all(sources: Sequence[str], read: Callable[[str], T]) -> tuple[list[T], tuple[str, ...]]:
    """What each source answers, and a warning for each that failed.

    Raises the first failure when nobody answered: a provider that knows nothing must say so.
    """
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(sources) or 1)) as pool:
        outcomes = list(pool.map(lambda source: _outcome(source, read), sources))
    failures = [outcome for outcome in outcomes if isinstance(outcome, TapwrightError)]
    answers = [outcome for outcome in outcomes if not isinstance(outcome, TapwrightError)]
    if failures and not answers:
        raise failures[0]
    return answers, tuple(failure.line for failure in failures)


def _outcome(source: str, read: Callable[[str], T]) -> T | TapwrightError:
    try:
        return read(source)
    except TapwrightError as error:
        return error
