"""Captures of other projects are judged when their folder lies beside the repository; they are not part of it."""

from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

collect_ignore = [] if (CORPUS / "index.json").is_file() else ["test_corpus.py"]


def pytest_report_header() -> str:
    return f"reference captures: {'none at ' if collect_ignore else ''}{CORPUS}"


@pytest.fixture(scope="session")
def corpus() -> Path:
    return CORPUS
