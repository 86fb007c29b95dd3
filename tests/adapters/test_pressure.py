from pathlib import Path

from tapwright.adapters.pressure import Pressure, Stalled, read

CPU = "some avg10=98.18 avg60=96.79 avg300=73.50 total=474593511\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def proc(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_a_kernel_says(tmp_path: Path) -> None:
    place = proc(
        tmp_path, pressure__cpu=CPU, pressure__io=CPU, pressure__memory=CPU,
        stat="cpu  10 0 20 70 1 0 2 7 5 0\ncpu0 1 1\n", net__softnet_stat="00000001 00000002 0\n00000001 00000010 0\n",
    )  # fmt: skip
    found = read(place)
    assert found.cpu == Stalled(474593511, 0)
    assert (found.time, found.stolen, found.softnet_dropped) == (110, 7, 18)


def test_a_kernel_without_psi_leaves_it_unknown(tmp_path: Path) -> None:
    found = read(proc(tmp_path, stat="cpu  10 0 20 70 1 0 2 0 0 0\n"))
    assert (found.cpu, found.io, found.memory) == (Stalled(), Stalled(), Stalled())
    assert (found.stolen, found.softnet_dropped) == (0, None)


def test_nonsense_is_unknown_too(tmp_path: Path) -> None:
    place = proc(tmp_path, pressure__cpu="some total=many\n", stat="cpu x\n", net__softnet_stat="zz zz\n\n")
    assert read(place) == Pressure()


def test_this_kernel() -> None:
    found = read()
    assert found.time
    assert found.softnet_dropped is not None
