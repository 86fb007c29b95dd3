"""Work done inside a network namespace."""

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
Result = TypeVar("Result")


def entered(netns: str, work: Callable[[], Result]) -> Result:
    """What `work()` returns, in a thread that has entered the namespace of that name and ends there."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with Path(f"/run/netns/{netns}").open() as place:
                assert ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _CLONE_NEWNET) == 0
            results.append(work())
        except BaseException as error:  # it is raised again in the test's own thread
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
