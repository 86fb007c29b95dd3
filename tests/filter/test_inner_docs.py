"""The page on the inner filter is true."""

import re
from pathlib import Path

import pytest

from tapwright.filter.encapsulations import ENCAPSULATIONS
from tapwright.filter.inner import compile_inner
from tapwright.filter.relocate import relocate
from tapwright.filter.walk import Carrier, Kind
from tapwright.filter.wrapping import Wrapping

PAGE = (Path(__file__).parents[2] / "docs" / "inner-filter.md").read_text()
ROWS = {name: cells.split(" | ") for name, cells in re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE, re.MULTILINE)}


@pytest.mark.parametrize("row", ENCAPSULATIONS, ids=lambda row: row.name)
def test_every_encapsulation_has_its_row(row):
    announced, inside = ROWS[row.name][:2]
    for carrier, numbers in row.announced.items():
        for number in numbers:
            assert (str(number) if carrier in (Carrier.UDP, Carrier.IP) else f"{number:#06x}") in announced
    assert ("Ethernet" in inside) == (Kind.ETHERNET in row.carries)
    assert ("IP" in inside) == (Kind.IP in row.carries)


def test_every_example_compiles():
    texts = re.findall(r"-f '([^']+)'", PAGE) + re.findall(r"--outer-filter '([^']+)'", PAGE)
    assert len(texts) >= 5
    for text in texts:
        relocate(compile_inner(text), Wrapping())


def test_the_python_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    exec(compile(code, "inner-filter.md", "exec"), {})
    assert "(000)" in capsys.readouterr().out
