"""``make demo``: the main job, start to end, in a lab of its own.

Runs the real command line, shows every command it types, and leaves a capture file.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import PrivilegeError, TapwrightError
from tapwright.lab.lab import Lab
from tapwright.lab.userns import enter_userns, privileged

FOLDER = Path("demo")
CAPTURE = FOLDER / "web+db.pcapng"
_HOST = """
[switches.br0]
uplink = "eth0"
[vms.web]
nics = [{ mac = "02:00:00:00:00:11", addresses = ["10.0.0.11/24"], device = "vnet0", switch = "br0" }]
"""
"""The described host of the offline part."""
FILTER = "tcp port 5432 or vm cache"


def main() -> int:
    """Run the demo; 0 when it ended with a capture file (or with the offline part, having said why)."""
    try:
        if not privileged():
            _say("Not root, so everything happens in a user namespace that vanishes with this demo.")
            enter_userns()
    except PrivilegeError as error:
        _say(f"{error.message}\n  -> {error.hint}\nWithout namespaces no lab can run here; this is what needs none:")
        return _offline()
    return _online()


def _online() -> int:
    FOLDER.mkdir(exist_ok=True)
    with Lab.up("bridge", f"demo{os.getpid()}", traffic=True, report=_say) as lab:
        env = lab.environment()
        _say("\nA server with a Linux bridge and three VMs that talk to each other. What is here?")
        _type(env, "ls")
        _say("How is web connected?")
        _type(env, "where", "web")
        _say("What would a capture of web and db read, change and cost?")
        _type(env, "plan", "web", "db", "-f", FILTER, "-d", "5s")
        _say("Capture both for five seconds, filtered in the kernel, into one file in order of time:")
        code = _type(env, "capture", "web", "db", "-f", FILTER, "-d", "5s", "-w", str(CAPTURE), "--force")
    if code:
        return code
    _read_back()
    _say(f"""
The lab is gone again; the capture is {CAPTURE}. Next:
  wireshark {CAPTURE}
  sudo .venv/bin/tapwright ls                  the VMs and containers of this machine
  sudo .venv/bin/tapwright lab up overlay      a lab to play with: two servers, two tenants""")
    return 0


def _read_back() -> None:
    """Let another tool read the file, where there is one."""
    if not shutil.which("tshark"):
        return
    _say("What tshark reads in it:")
    argv = ["tshark", "-r", str(CAPTURE), "-q", "-z", "conv,ip"]
    _say(command.run(argv, timeout=60, check=False).stdout)


def _offline() -> int:
    """What needs no privilege: a described host, the way of one VM, and its filter as the kernel would run it."""
    from tapwright.control.local import this_host
    from tapwright.filter.compile import compile_filter
    from tapwright.find.drawing import draw
    from tapwright.find.names import resolve_vnic
    from tapwright.find.path import path
    from tapwright.find.topology import join
    from tapwright.providers.fake import Fake

    topology = join(this_host(), [Fake.from_toml(_HOST).snapshot()])
    _say(f"\nA described host, and the way from web to the wire:\n\n{draw(path(topology, topology.vms[-1].vnics[0]))}")
    compiled = compile_filter("vm web and tcp port 5432", lambda name: resolve_vnic(topology, name).vnics)
    _say(f"\n`vm web and tcp port 5432`, as the kernel would run it on every packet:\n\n{compiled.program}")
    _say("\nAs root, or with user namespaces allowed, this demo captures for real: sudo make demo")
    return 0


def _type(env: Mapping[str, str], *arguments: str) -> int:
    """Show a command as a person would type it, and run it with its output on our terminal."""
    words = " ".join(f"'{word}'" if " " in word else word for word in arguments)
    _say(f"\n$ tapwright {words}")
    argv = [sys.executable, "-m", "tapwright", *arguments]
    code = os.spawnve(os.P_WAIT, sys.executable, argv, {**os.environ, **env})  # noqa: S606 - our own program
    _say("")
    return code


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TapwrightError as error:
        sys.exit(f"tapwright: {error.message}\n  -> {error.hint}")
