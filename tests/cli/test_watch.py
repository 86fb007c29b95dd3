"""``tapwright watch`` as people and programs run it, on real vNICs."""

import itertools
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.netns import ip
from support.tapwright import tapwright
from support.vnics import FRAME, Bridge, quiet_bridge

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with quiet_bridge() as bridge:
        yield bridge


@contextmanager
def watching(*arguments: str, env: Mapping[str, str], **streams: object) -> Iterator[subprocess.Popen]:
    """A running ``tapwright watch ARGUMENTS``; killed at the end when it still runs."""
    argv = [sys.executable, "-m", "tapwright", "watch", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    with subprocess.Popen(argv, env={**os.environ, **env}, **pipes) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def ended(running: subprocess.Popen, number: signal.Signals) -> int:
    running.send_signal(number)
    return running.wait(timeout=30)


def test_json_lines_count_what_was_sent(bridge: Bridge) -> None:
    one = bridge.guests[0]
    with watching(one, "--json", "-i", "0.2s", env=bridge.environment) as running:
        first = json.loads(running.stdout.readline())
        bridge.says(one, 9)
        lines = [json.loads(running.stdout.readline()) for _ in range(12)]
        assert ended(running, signal.SIGINT) == 0
    assert {line["source"] for line in lines} == {"device", "guest"}
    outside = [first, *(line for line in lines if line["source"] == "device")]
    totals = [line["totals"]["from_vm_packets"] for line in outside]
    assert totals[-1] - totals[0] == 9
    assert {line["rates"]["from_vm_packets"] > 0 for line in outside} == {True, False}
    assert outside[-1]["vm"] == one
    assert (outside[-1]["nic"], outside[-1]["switch"], outside[-1]["port"]) == ("eth0", "br0", "vnet1")


def test_rates_are_the_totals_over_the_time(bridge: Bridge) -> None:
    one = bridge.guests[0]
    with watching(one, "--json", "-i", "0.5s", "--count", "3", env=bridge.environment) as running:
        first = json.loads(running.stdout.readline())
        bridge.says(one, 50)
        rest = [json.loads(line) for line in running.stdout]
        assert running.wait(timeout=30) == 0
    lines = [line for line in (first, *rest) if line["source"] == "device"]
    assert len(lines) == 3
    for before, after in itertools.pairwise(lines):
        packets = after["totals"]["from_vm_packets"] - before["totals"]["from_vm_packets"]
        assert after["rates"]["from_vm_packets"] * after["seconds"] == pytest.approx(packets)
        assert after["rates"]["from_vm_bits"] * after["seconds"] == pytest.approx(packets * len(FRAME) * 8)
    assert sum(line["rates"]["from_vm_packets"] * line["seconds"] for line in lines[1:]) == pytest.approx(50)


def test_without_a_terminal_a_table_an_interval(bridge: Bridge) -> None:
    answer = tapwright("watch", "-i", "0.1s", "--count", "2", env=bridge.environment)
    assert answer.code == 0
    assert answer.out.count("TO VM") == 2
    assert answer.out.count(bridge.guests[0]) == answer.out.count(bridge.guests[1]) == 2
    assert "\x1b" not in answer.out


def test_on_a_terminal_one_table_drawn_in_place(bridge: Bridge) -> None:
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with watching("-i", "0.1s", env={**bridge.environment, "TERM": "xterm-256color"}, **streams) as running:
        os.close(theirs)
        shown = _until(ours, lambda shown: shown.count("2 vNICs of 2 VMs") >= 3)
        running.send_signal(signal.SIGINT)
        shown += _until(ours, lambda _: False)
        assert running.wait(timeout=30) == 0
    os.close(ours)
    assert bridge.guests[0] in shown
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("\x1b[?25h"), "the cursor is back"


def _until(terminal: int, enough) -> str:
    """What appears on the terminal until it is enough, or the other end closes it."""
    shown = ""
    end = time.monotonic() + 30
    while not enough(shown) and time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 65536).decode()
        except OSError:
            break
    return shown


def scraped(url: str, accept: str = "application/openmetrics-text; version=1.0.0") -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=20) as response:
        assert response.headers["Content-Type"].startswith(accept.partition(";")[0])
        return response.read().decode()


def served(running: subprocess.Popen) -> str:
    """The URL it says it serves."""
    line = running.stderr.readline().decode()
    assert line.startswith("tapwright: serving http"), line
    return line.split()[-1]


def values(text: str, name: str, **labels: str) -> list[float]:
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def test_prometheus_scrapes_the_counters(bridge: Bridge) -> None:
    one = bridge.guests[0]
    with watching("--prometheus", "127.0.0.1:0", env=bridge.environment) as running:
        url = served(running)
        before = scraped(url)
        bridge.says(one, 11)
        after = scraped(url)
        assert ended(running, signal.SIGTERM) == 0
        assert running.stdout.read() == b""
    for source in ("device", "guest"):
        labels = {"vm": one, "nic": "eth0", "switch": "br0", "port": "vnet1", "source": source, "direction": "from_vm"}
        for name, factor in (("packets", 1), ("bytes", len(FRAME))):
            (then,) = values(before, f"tapwright_vnic_{name}_total", **labels)
            (now,) = values(after, f"tapwright_vnic_{name}_total", **labels)
            assert now - then == 11 * factor
    assert values(after, "tapwright_vms") == [2]
    (host,) = {s.labels["host"] for f in text_string_to_metric_families(after) for s in f.samples}
    assert host == socket.gethostname()


def test_older_scrapers_get_the_text_format(bridge: Bridge) -> None:
    with watching("--prometheus", "127.0.0.1:0", env=bridge.environment) as running:
        assert "# TYPE tapwright_vnic_bytes_total counter" in scraped(served(running), "text/plain")


def test_ipv6(bridge: Bridge) -> None:
    with watching("--prometheus", "[::1]:0", env=bridge.environment) as running:
        url = served(running)
        assert url.startswith("http://[::1]:")
        assert values(scraped(url), "tapwright_vms") == [2]


def test_a_port_that_is_in_use(bridge: Bridge) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = tapwright("watch", "--prometheus", str(port), env=bridge.environment)
    assert answer.code == 1
    assert f"127.0.0.1:{port} is in use" in answer.err
    assert "ss -ltnp" in answer.err


def test_json_and_prometheus_together(bridge: Bridge) -> None:
    arguments = ("--json", "-i", "0.2s", "--prometheus", "127.0.0.1:0")
    with watching(*arguments, env=bridge.environment) as running:
        url = served(running)
        assert json.loads(running.stdout.readline())["source"] == "device"
        assert values(scraped(url), "tapwright_vms") == [2]
        assert ended(running, signal.SIGTERM) == 0


def test_a_reader_that_goes_away_ends_it_quietly(bridge: Bridge) -> None:
    with watching("--json", "-i", "0.1s", env=bridge.environment) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(timeout=30) == 0
        assert running.stderr.read() == b""


def test_a_vm_that_stops_in_the_middle() -> None:
    with quiet_bridge() as bridge, watching("--json", "-i", "0.1s", env=bridge.environment) as running:
        one, two = bridge.guests
        seen = {json.loads(running.stdout.readline())["vm"] for _ in range(4)}
        ip("link", "del", "vnet1", netns=bridge.host)
        later = [json.loads(running.stdout.readline())["vm"] for _ in range(40)]
        assert ended(running, signal.SIGINT) == 0
    assert seen == {one, two}
    assert set(later[-20:]) == {two}


def test_an_unknown_vm(bridge: Bridge) -> None:
    answer = tapwright("watch", "no-such-vm", env=bridge.environment)
    assert answer.code == 3
    assert "no-such-vm" in answer.err


@pytest.mark.parametrize(
    "arguments", [("-i", "0.01s"), ("-i", "soon"), ("--count", "0"), ("--prometheus", "x"), ("--prometheus", "h:x:1")]
)
def test_requests_that_cannot_mean_anything(bridge: Bridge, arguments: tuple[str, ...]) -> None:
    answer = tapwright("watch", *arguments, env=bridge.environment)
    assert answer.code == 2
    assert answer.err


def test_what_is_hidden_is_said_before_anything_else(bridge: Bridge) -> None:
    without = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
    ours, theirs = pty.openpty()
    argv = [*without, sys.executable, "-m", "tapwright", "watch", "--count", "1", "-i", "0.1s"]
    env = {**os.environ, **bridge.environment, "TERM": "xterm-256color"}
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as running:
        os.close(theirs)
        shown = _until(ours, lambda _: False)
        running.wait(timeout=30)
    os.close(ours)
    assert shown.startswith("tapwright: note: ")
    assert "could not be looked into" in shown.partition("measuring")[0]
