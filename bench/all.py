"""``make bench``: every bench one after another, each in a process of its own.

Each prints its figures as ratios against other tools in the same run; see the head of each file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_A_BENCH = {"all.py", "rig.py", "flood.py", "guests.py", "vms.py"}


def main() -> int:
    failed = []
    for bench in sorted(HERE.glob("*.py")):
        if bench.name in NOT_A_BENCH:
            continue
        print(f"\n=== {bench.stem} ===", flush=True)
        if subprocess.run([sys.executable, str(bench)], check=False).returncode:
            failed.append(bench.stem)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
