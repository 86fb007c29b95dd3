"""For all tests: what `root` means, and that nothing is skipped in silence."""

import os
import shlex
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

from support.tally import compared, told
from tapwright.lab.userns import privileged
from tapwright.signals import listen_to_ctrl_c

_ROOT = pytest.mark.skipif(not privileged(), reason="needs root, or `unshare -Urnm` with a private /run")

_ELSEWHERE = "beside this checkout"
"""In the reason of tests on captures of other projects, which are not part of this one."""

# What a worker of `make test` starts is in sight of no other one and ends with it; a shell reaps what nobody waits for.
_APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
_PRIVATE = 'mount -t tmpfs -o mode=755 run /run && "$0" "$@"; exit $?'

# Nothing timed is asserted: a busy machine is no reason to fail.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Tests send SIGINT, also where the suite runs in the background of a script."""
    listen_to_ctrl_c()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(_ROOT)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list) -> None:
    """As root each worker has processes, mounts and /run of its own, as if it were alone on the machine."""
    if privileged():
        for spec in specs:
            spec.python = shlex.join([*_APART, _PRIVATE, sys.executable])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    compared.update(Counter(getattr(node, "workeroutput", {}).get("compared", {})))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if line := told():
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """As root in CI a skipped test is a failed one: there everything can run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    skipped = [report for report in reports if _ELSEWHERE not in str(report.longrepr)]
    if skipped and os.environ.get("CI") == "true" and os.geteuid() == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["compared"] = dict(compared)
