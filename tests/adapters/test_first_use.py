"""Many databases answer at once: the first answers decoded side by side must not crash."""

import subprocess
import sys

RACE = """
import sys, threading
from tapwright.adapters.ovsdb_rows import decode
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(8)
def first():
    barrier.wait()
    decode(b'{"id": 0, "error": null, "result": [{"rows": []}, {"rows": []}, {"rows": []}, {"rows": []}]}')
threads = [threading.Thread(target=first) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_the_first_answers_come_at_once() -> None:
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
