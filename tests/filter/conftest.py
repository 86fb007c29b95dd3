"""How much the inner filter is tried: once in CI, more often on demand."""

import pytest

from support.corpus import FOLDER

collect_ignore = [] if FOLDER.is_dir() else ["test_inner_corpus.py"]


def pytest_report_header() -> str:
    return f"reference captures: {FOLDER if FOLDER.is_dir() else 'none (TAPWRIGHT_CORPUS)'}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--filter-rounds", type=int, default=1, help="times as many packets and random filters")


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--filter-rounds", default=1)
