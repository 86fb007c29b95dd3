"""The native targets: unwrapping and reading, mutated from seeds (`crates/core/tests/fuzz`)."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(0)
def test_any_bytes_are_survived(fuzz_seconds: int) -> None:
    """A new seed of random numbers each time; what is not survived is printed with its bytes."""
    seed = str(int.from_bytes(os.urandom(4)))
    environment = {**os.environ, "TAPWRIGHT_FUZZ_SECONDS": str(fuzz_seconds), "TAPWRIGHT_FUZZ_SEED": seed}
    profile = ["--profile", "fuzz"]  # tens of times as many inputs
    argv = ["cargo", "test", "--quiet", *profile, "--package", "tapwright-core", "--test", "fuzz", "--", "--nocapture"]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "inputs from" in done.stdout
    print(done.stdout)
