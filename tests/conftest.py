"""For all tests: what `root` means, and that nothing is skipped in silence."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tapwright.lab.userns import privileged
from tapwright.signals import listen_to_ctrl_c

_ROOT = pytest.mark.skipif(not privileged(), reason="needs root, or `unshare -Urnm` with a private /run")

_ELSEWHERE = "beside this checkout"
"""In the reason of tests on captures of other projects, which are not part of this one."""

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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """As root in CI a skipped test is a failed one: there everything can run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    skipped = [report for report in reports if _ELSEWHERE not in str(report.longrepr)]
    if skipped and os.environ.get("CI") == "true" and os.geteuid() == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
