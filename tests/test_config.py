from pathlib import Path

import pytest

from tapwright.config import Config, load
from tapwright.errors import UsageError


def written(folder: Path, text: str) -> dict[str, str]:
    (folder / "tapwright").mkdir()
    (folder / "tapwright" / "config.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(folder)}


def test_nothing_needs_to_be_configured(tmp_path: Path) -> None:
    assert load({"XDG_CONFIG_HOME": str(tmp_path)}) == Config()


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    environment = written(tmp_path, 'ovsdb = ["unix:/a"]\nbuffer = "8M"\n')
    assert load(environment).ovsdb == ("unix:/a",)
    assert load(environment).buffer_bytes == 8 << 20
    assert load({**environment, "TAPWRIGHT_OVSDB": "unix:/b, unix:/c"}).ovsdb == ("unix:/b", "unix:/c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ovsbd = []", "unknown key 'ovsbd'"),
        ('ovsdb = "x"', "list of strings"),
        ("buffer = 3", "string"),
        ("[", "config.toml"),
    ],
)
def test_mistakes_are_named_with_their_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load(written(tmp_path, text))
    assert str(tmp_path) in caught.value.message
