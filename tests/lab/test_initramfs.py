import os
import stat
import subprocess
from pathlib import Path

import pytest

from tapwright.lab.initramfs import archive, device, directory, file


def test_cpio_unpacks_what_we_pack(tmp_path: Path) -> None:
    image = archive(
        [
            directory("empty"),
            file("init", b"#!/bin/sh\n", 0o755),
            file("a/deep/folder/odd", b"12345"),
        ]
    )
    done = subprocess.run(["cpio", "-idv"], input=image, cwd=tmp_path, capture_output=True, check=True)
    names = done.stderr.decode().split()
    assert names.index("a") < names.index("a/deep") < names.index("a/deep/folder/odd")
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a/deep/folder/odd").read_bytes() == b"12345"
    assert (tmp_path / "empty").is_dir()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can unpack a device")
def test_cpio_unpacks_a_device(tmp_path: Path) -> None:
    subprocess.run(["cpio", "-id"], input=archive([device("dev/console", 5, 1)]), cwd=tmp_path, check=True)
    console = (tmp_path / "dev/console").lstat()
    assert stat.S_ISCHR(console.st_mode)
    assert (os.major(console.st_rdev), os.minor(console.st_rdev)) == (5, 1)


def test_members_are_aligned() -> None:
    for size in range(9):
        assert len(archive([file("n" * (size + 1), bytes(size))])) % 4 == 0
