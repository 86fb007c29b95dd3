"""What a mirror could leave in the kernel: all that `ip` and `tc` print of some namespaces."""

import difflib
import re
import subprocess

from support.netns import ip

_TICKS = re.compile(r"(\w+_timer) +[\d.]+")
"""Of a bridge: these count down."""


def tc(*arguments: str, netns: str) -> str:
    """Run `tc` in a namespace; its output."""
    argv = ["tc", "-n", netns, *arguments]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def traces(*namespaces: str) -> str:
    """Devices, queueing disciplines and filters, without what counts."""
    return "\n".join(_traces(netns) for netns in namespaces)


def _traces(netns: str) -> str:
    found = [_TICKS.sub(r"\1", ip("-d", "link", "show", netns=netns)), tc("qdisc", "show", netns=netns)]
    for line in ip("-br", "link", "show", netns=netns).splitlines():
        device = line.split()[0].partition("@")[0]
        found += [tc("filter", "show", "dev", device, hook, netns=netns) for hook in ("ingress", "egress")]
    return "\n".join(found)


def difference(before: str, after: str) -> str:
    """Line by line, "" when there is none."""
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))
