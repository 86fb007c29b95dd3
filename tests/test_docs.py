"""The documentation is true: commands, options, links, make targets and providers."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapwright import providers

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_reference_is_what_help_says() -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "reference.py"), "--print"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    written = (ROOT / "docs" / "reference.md").read_text()
    assert written.strip() == said.strip(), "run .venv/bin/python scripts/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


def code_lines(text: str) -> Iterator[str]:
    """The lines of fenced and indented code."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_an_example_exists(page: Path) -> None:
    known = set(re.findall(r"^## tapwright (.+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE))
    for line in code_lines(page.read_text()):
        # A line that begins with the command (after a prompt, sudo, a path), not prose that mentions it.
        if found := re.match(r"\s*(?:[$#] )?(?:sudo )?(?:\S*/)?tapwright ([a-z]+)(?: ([a-z]+))?", line):
            first, second = found.groups()
            assert first in known or f"{first} {second}" in known, line


def test_make_help_lists_what_the_issue_of_a_newcomer_needs() -> None:
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"make (\w+)", said))
    assert {"setup", "demo", "test", "lint", "fuzz", "bench", "docs"} <= listed
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert all(f"make {target}" in contributing for target in listed - {"help", "clean"})


def test_the_readme_has_a_row_for_every_provider() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in providers.names():
        assert re.search(rf"^\| `{name}`", readme, re.MULTILINE), name
