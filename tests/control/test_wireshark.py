"""Where Wireshark wants its extcap programs, and the launcher there."""

import os
import shutil
import subprocess
import sys

import pytest

from tapwright.control import wireshark
from tapwright.errors import UsageError

V4_0 = """\
Temp:                	/tmp
Personal configuration:	/home/ann/.config/wireshark
Global configuration:	/usr/share/wireshark
Extcap path:         	/usr/lib/x86_64-linux-gnu/wireshark/extcap
MaxMind database path:	/usr/share/GeoIP
MaxMind database path:	/var/lib/GeoIP
"""
V4_4 = """\
Temp:                	/tmp
Personal configuration:	/home/ann/.config/wireshark
Personal Extcap path:	/home/ann/.local/lib/wireshark/extcap/wireshark
Global Extcap path:  	/usr/lib/x86_64-linux-gnu/wireshark/extcap/wireshark
"""


@pytest.mark.parametrize(
    ("text", "personal", "system"),
    [
        (V4_0, "/home/ann/.config/wireshark/extcap", "/usr/lib/x86_64-linux-gnu/wireshark/extcap"),
        (
            V4_4,
            "/home/ann/.local/lib/wireshark/extcap/wireshark",
            "/usr/lib/x86_64-linux-gnu/wireshark/extcap/wireshark",
        ),
    ],
)
def test_every_release_has_its_own_folders(monkeypatch, text, personal, system):
    monkeypatch.setattr(wireshark, "_ask", lambda topic: text if topic == "folders" else "")
    found = wireshark.folders()
    assert (str(found.personal), str(found.system)) == (personal, system)


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_the_installed_tshark_is_asked(monkeypatch, tmp_path):
    # It runs every launcher there is; how much else this machine has is no matter of the test.
    monkeypatch.setenv("TAPWRIGHT_NETNS", "none-of-them")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    found = wireshark.folders()
    assert found.personal.is_relative_to(tmp_path)
    assert found.system.is_dir()
    assert not wireshark.status(found.personal).known
    wireshark.install(found.personal)
    assert wireshark.status(found.personal).known


def test_installing_twice_changes_nothing(tmp_path):
    folder = tmp_path / "not" / "there yet"
    path, done = wireshark.install(folder)
    before = path.stat().st_mtime_ns
    assert (path, done) == (folder / "tapwright", True)
    assert wireshark.install(folder) == (path, False)
    assert path.stat().st_mtime_ns == before
    assert os.access(path, os.X_OK)
    assert [entry.name for entry in folder.iterdir()] == ["tapwright"]


def test_an_older_launcher_is_replaced(tmp_path):
    path, _ = wireshark.install(tmp_path)
    path.write_text(path.read_text().replace(sys.executable, "/opt/old/python"))
    path.chmod(0o644)
    assert wireshark.install(tmp_path) == (path, True)
    assert sys.executable in path.read_text()
    assert os.access(path, os.X_OK)


def test_the_launcher_starts_this_tapwright_wherever_wireshark_was_started(tmp_path):
    path, _ = wireshark.install(tmp_path)
    trap = tmp_path / "tapwright.py"
    trap.write_text("raise SystemExit('a module of the current folder was run')")
    # What it answers by itself would prove nothing; this needs the module.
    said = subprocess.run([path, "--extcap-interface=x"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert said.stderr.startswith("tapwright: this program is run by Wireshark")


@pytest.mark.parametrize("question", ["--extcap-dlts", "--extcap-config"])
def test_the_launcher_answers_like_the_program_it_starts(tmp_path, question):
    path, _ = wireshark.install(tmp_path)
    for arguments in ([question, "--extcap-interface=x"], ["--extcap-interface", "x", question]):
        answers = [
            subprocess.run([*start, *arguments], check=True, capture_output=True, text=True).stdout
            for start in ([path], [sys.executable, "-m", "tapwright.extcap"])
        ]
        assert answers[0] == answers[1] != ""


def test_the_launcher_starts_no_python_for_what_wireshark_asks_of_every_interface(tmp_path):
    path, _ = wireshark.install(tmp_path)
    path.write_text(path.read_text().replace(sys.executable, "/nonexistent/python"))
    said = subprocess.run([path, "--extcap-config", "--extcap-interface=x"], check=True, capture_output=True, text=True)
    assert said.stdout.startswith("arg {number=0}{call=--snaplen}")
    assert subprocess.run([path, "--extcap-interfaces"], check=False, capture_output=True).returncode == 127


def test_uninstalling_takes_it_away_once(tmp_path):
    path, _ = wireshark.install(tmp_path)
    assert wireshark.uninstall(tmp_path) == (path, True)
    assert wireshark.uninstall(tmp_path) == (path, False)
    assert not path.exists()


def test_a_strangers_file_of_that_name_stays(tmp_path):
    path = tmp_path / "tapwright"
    path.write_bytes(b"\x7fELF\xff")
    with pytest.raises(UsageError, match="is not tapwright's"):
        wireshark.install(tmp_path)
    assert wireshark.uninstall(tmp_path) == (path, False)
    assert path.read_bytes() == b"\x7fELF\xff"
