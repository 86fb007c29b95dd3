from collections.abc import Iterator, Mapping

import pytest
from tests.support.labs import running_lab

from tapwright.lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A bridge with three VMs that talk to each other all the time."""
    with running_lab("bridge", traffic=True) as lab:
        yield lab


@pytest.fixture
def env(lab: Lab) -> Mapping[str, str]:
    return lab.environment()
