"""What a mirror could leave in the kernel: all that `ip` and `tc` print of some namespaces."""

import difflib
import re
import subprocess

from support.netns import ip

_TICKS = re.compile(r"(\w+_timer) +[\d.]+")
"""Of a bridge: these count down."""
_DEVICE = re.compile(r"^\d+: ([^:@]+)[:@]", re.MULTILINE)


def tc(*arguments: str, netns: str, lines: str = "") -> str:
    """Run `tc` in a namespace; its output.  `lines` is what `-batch -` reads."""
    argv = ["tc", "-n", netns, *arguments]
    done = subprocess.run(argv, input=lines, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def traces(*namespaces: str) -> str:
    """Devices, queueing disciplines and filters, without what counts."""
    return "\n".join(_traces(netns) for netns in namespaces)


def _traces(netns: str) -> str:
    """By two programs, however many devices there are: most of a look is their start."""
    links = ip("-d", "link", "show", netns=netns)
    # Neither qdisc nor filter names its device here: each hook's filters stand below the qdisc that has them.
    hooks = "\n".join(
        f"qdisc show dev {device}\nfilter show dev {device} {hook}"
        for device in _DEVICE.findall(links)
        for hook in ("ingress", "egress")
    )
    said = tc("-batch", "-", netns=netns, lines=f"qdisc show\n{hooks}")
    return "\n".join((_TICKS.sub(r"\1", links), said))


def difference(before: str, after: str) -> str:
    """Line by line, "" when there is none."""
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))
