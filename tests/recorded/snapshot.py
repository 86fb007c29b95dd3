"""Record what the providers say of a lab, as JSON for the tests of `find`.

tapwright lab up qemu && tapwright lab exec s1 -- python tests/recorded/snapshot.py tests/recorded/snapshots/qemu.json
"""

import sys
from pathlib import Path

import msgspec

from tapwright import config, providers

asked = providers.load_all(config.load())
snapshots = [provider.snapshot() for provider in asked if provider.probe().answer != "no"]
Path(sys.argv[1]).write_bytes(msgspec.json.format(msgspec.json.encode(snapshots), indent=1) + b"\n")
