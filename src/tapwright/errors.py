"""Every error tapwright raises on purpose, and the exit code each one becomes.

    TapwrightError        1   something went wrong
    +-- UsageError        2   the request cannot mean anything (also every click usage error)
    +-- NotFound          3   no VM, lab, switch... of that name
    |   +-- Ambiguous     3   more than one
    +-- PrivilegeError    4   the kernel would not let us: which capability, how to give it
    +-- MissingDependency 5   a library or program is not there: which package
    +-- FilterError       6   a capture filter that cannot be compiled, with the position
    +-- CaptureError      7   a capture ended early or lost its output (disk full, device gone)
    +-- ProviderError     8   a switch, hypervisor or container engine did not answer

`tapwright doctor` ends with 9 (ATTENTION) where it found something that somebody should see to; that is no error.

Each carries `hint`: one sentence with the next step for a person, or "".
"""

from __future__ import annotations

ATTENTION = 9
"""Exit code of `doctor` when something needs attention."""


class TapwrightError(Exception):
    """The base of all of them; `hint` is the next step for a person."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def line(self) -> str:
        """What went wrong and the next step, where there is room for one line only."""
        return f"{self.message}: {', '.join(self.hint.splitlines())}" if self.hint else self.message


class UsageError(TapwrightError):
    """A request that cannot mean anything: a size without a number, two options that exclude each other."""

    exit_code = 2


class NotFound(TapwrightError):
    """Nothing has that name; `hint` suggests near ones."""

    exit_code = 3


class Ambiguous(NotFound):
    """More than one has that name; `candidates` are names that tell them apart."""

    def __init__(self, message: str, candidates: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint)
        self.candidates = candidates


class PrivilegeError(TapwrightError):
    """The kernel refused; the message names the capability and `hint` how to give it."""

    exit_code = 4


class MissingDependency(TapwrightError):
    """A library or program is not installed; `hint` names the package."""

    exit_code = 5


class FilterError(TapwrightError):
    """A filter that cannot be compiled or attached.

    `position` is the 0-based character of the user's own text where it went wrong, None when
    the fault has no single place.
    """

    exit_code = 6

    def __init__(self, message: str, text: str = "", position: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint)
        self.text = text
        self.position = position


class CaptureError(TapwrightError):
    """A capture that ended before it should have; what was written so far is valid."""

    exit_code = 7


class ProviderError(TapwrightError):
    """A provider's source did not answer or made no sense."""

    exit_code = 8
