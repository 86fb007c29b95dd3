"""Captures of other projects are judged when their folder lies beside the repository; they are not part of it."""

from support.corpus import FOLDER

collect_ignore = [] if (FOLDER / "index.json").is_file() else ["test_corpus.py"]


def pytest_report_header() -> str:
    return f"reference captures: {'none at ' if collect_ignore else ''}{FOLDER}"
