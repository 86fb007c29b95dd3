from collections.abc import Iterator

import pytest
from tests.support.collecting import all_mirrored, collectors_lab

from tapwright.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A switch that mirrors to a collector on the wire, for tests of `collect`; the others have labs of their own."""
    with collectors_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def mirrored(lab: Lab) -> Iterator[Lab]:
    with all_mirrored(lab):
        yield lab
