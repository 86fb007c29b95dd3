"""What tshark and capinfos say of a file: the judges of everything we write."""

import subprocess
from pathlib import Path


def fields(path: Path | str, *names: str, only: str = "") -> list[tuple[str, ...]]:
    """One tuple a packet; fails on any complaint about the file."""
    argv = ["tshark", "-n", "-r", str(path), "-T", "fields"]
    for name in names:
        argv += ["-e", name]
    done = subprocess.run([*argv, *(["-Y", only] if only else [])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not complaints(done.stderr), done.stderr
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


def capinfos(path: Path | str) -> str:
    """The whole report; fails on any complaint."""
    done = subprocess.run(["capinfos", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not complaints(done.stderr), done.stderr
    return done.stdout


def packets(path: Path | str) -> int:
    return len(fields(path, "frame.number"))


def complaints(text: str) -> list[str]:
    """Lines that are not about who runs it."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("Running as user")]
