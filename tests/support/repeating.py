"""Something that goes on beside a test until it is told to stop."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(work: Callable[[], object], pause: float = 0.0) -> Iterator[None]:
    """`work()` over and over in a thread of its own, `pause` seconds between, until the end of the block."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(pause):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
