"""What several tests start for real: namespaces, switches, hypervisors, container engines.

Each is a context manager that ends, by its id, everything it started.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_folder() -> Iterator[Path]:
    """A private folder whose path leaves room for the name of a unix socket (107 characters in all)."""
    folder = Path(tempfile.mkdtemp(prefix="twt", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
