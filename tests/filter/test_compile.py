"""Filters end to end: VM names become addresses, everything else stays libpcap's business."""

import subprocess
import sys
import threading

import pytest

from support.bpf import kernel_deliveries, libpcap_verdicts
from support.frames import whole_frames
from tapwright.errors import Ambiguous, FilterError, NotFound
from tapwright.filter import Program, compile_filter
from tapwright.filter.libpcap import offline
from tapwright.model import Vnic

VNICS = {
    "web": [Vnic("eth0", "02:00:00:00:00:01", ("10.0.0.1/24", "fe80::1/64")), Vnic("eth1", "02:00:00:00:00:02")],
    "db 1": [Vnic("eth0", "02:00:00:00:00:03", ("10.0.0.3/24",))],
    "routed": [Vnic("eth0", "", ("192.168.7.9",))],
    "hostile": [Vnic("eth0", "tcp or arp", ("10.0.0.1 or arp", "port 80", "fe80::9%eth0/64"))],
    "nothing": [Vnic("eth0", "00:00:00:00:00:00", ("127.0.0.1/8", "::/0", "224.0.0.5/4"))],
}
FRAMES = whole_frames(3, 300)


def resolve(name):
    if name == "twin":
        raise Ambiguous("2 VMs are called 'twin'", ("a", "b"), "say which by its id")
    if name not in VNICS:
        raise NotFound(f"no VM is called {name!r}", "did you mean web?")
    return VNICS[name]


SRC, DST = "src host", "dst host"
WEB = "ether host 02:00:00:00:00:01 or host 10.0.0.1 or host fe80::1 or ether host 02:00:00:00:00:02"
DB = "ether host 02:00:00:00:00:03 or host 10.0.0.3"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("vm web", WEB),
        ("tcp and not vm web and port 80", f"tcp and not ({WEB}) and port 80"),
        ("src vm web", WEB.replace("host", SRC)),
        ("dst vm web", WEB.replace("host", DST)),
        ("src or dst vm web", WEB),
        ('src vm web and dst vm "db 1"', f"({WEB.replace('host', SRC)}) and ({DB.replace('host', DST)})"),
        ('vm web or "db 1"', f"{WEB} or {DB}"),
        ("src and dst vm routed", "src host 192.168.7.9 and dst host 192.168.7.9"),
        ("arp or vm routed", "arp or host 192.168.7.9"),
        ("vm hostile", "host fe80::9"),
    ],
)  # fmt: skip
def test_a_vm_is_its_addresses(text, same):
    delivered = kernel_deliveries(compile_filter(text, resolve).program.code, FRAMES)
    assert [size is not None for size in delivered] == libpcap_verdicts(same, FRAMES)


def test_no_text_of_anybody_reaches_libpcap():
    assert compile_filter("vm hostile", resolve).pcap_text == "(host fe80::9)"
    assert compile_filter('vm "db 1" and tcp', resolve).pcap_text == (
        "(ether host 02:00:00:00:00:03 or host 10.0.0.3) and tcp"
    )


@pytest.mark.parametrize(
    ("text", "position", "message", "hint"),
    [
        ("tcp and vm wbe", 11, "no VM is called 'wbe'", "did you mean web?"),
        ("src vm twin", 7, "2 VMs are called 'twin'", "say which by its id"),
        ("vm web or dbx", 10, "no VM is called 'dbx'", "did you mean web?"),
        ("vm nothing", 3, "no MAC or IP address of 'nothing' is known", "see `tapwright where`"),
    ],
)
def test_a_name_that_is_nobodys(text, position, message, hint):
    with pytest.raises(FilterError) as caught:
        compile_filter(text, resolve)
    error = caught.value
    assert (error.position, error.message, error.hint) == (position, message, hint)


def test_names_need_somebody_who_knows_them():
    with pytest.raises(FilterError, match="cannot be looked up") as caught:
        compile_filter("vm web")
    assert caught.value.position == 3


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_no_filter_keeps_everything(text):
    compiled = compile_filter(text, snaplen=96)
    assert compiled.program == Program.keep_all(96)
    assert compiled.pcap_text == ""


def test_inbound_is_meant_from_the_vm():
    # What leaves a tap (PACKET_OUTGOING) comes in to the VM; on the VM's own side it is the other way round.
    at_tap = compile_filter("inbound").program
    inside = compile_filter("inbound", outgoing_is_to_vm=False).program
    assert at_tap.code == offline("outbound")
    assert inside.code == offline("inbound")
    assert compile_filter("outbound").program == inside


def test_only_a_filter_on_vlans_is_compiled_on_a_live_handle():
    asked = []

    def live(text, *, optimise=True):
        asked.append(text)
        return offline(text, optimise=optimise)

    compile_filter("tcp port 80", live=live)
    compile_filter("vm web", resolve, live=live)
    assert asked == []
    compile_filter("vlan 10 and vm routed", resolve, live=live)
    assert asked == ["vlan 10 and (host 192.168.7.9)"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "tcp" + ")" * 10_000,
        "not " * 9_000 + "tcp",
        "tcp or " * 5_000 + "tcp",
        "ip[" * 800 + "0" + "]" * 800 + " = 1",
        " or ".join(f"host 10.{n // 250}.{n % 250}.1" for n in range(670)),
        "host " + "a" * 60_000,
        "a" * 60_000,
        "9" * 60_000,
        "tcp" + " " * 60_000 + "prot",
        "x" * 100_000,
        "tcp and \0",
        "\\" * 1000,
        "[" * 1000,
        "vm " * 2000,
    ],
    ids=lambda text: text[:12],
)
def test_monsters_are_refused_and_nothing_worse(text):
    with pytest.raises(FilterError) as caught:
        compile_filter(text, resolve)
    assert caught.value.position is None or 0 <= caught.value.position <= len(text)


def test_a_filter_that_fills_the_kernels_limit_half_still_works():
    text = " or ".join(f"host 10.0.{n // 250}.{n % 250}" for n in range(300))
    assert 1000 < len(compile_filter(text).program) <= 4096


def test_threads_do_not_disturb_each_other():
    expected = {text: compile_filter(text).program for text in ("tcp port 80", "not arp", "host 10.0.0.1 or icmp6")}
    wrong = []

    def work(text):
        wrong.extend(text for _ in range(200) if compile_filter(text).program != expected[text])

    threads = [threading.Thread(target=work, args=(text,)) for text in expected for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.root
def test_without_libpcap_the_package_is_named():
    script = (
        "for l in /usr/lib/*/libpcap.so.* /usr/lib64/libpcap.so.*; do [ -e $l ] && mount --bind /dev/null $l; done;"
        f"exec {sys.executable} -c 'from tapwright.filter import compile_filter; compile_filter(\"tcp\")'"
    )
    hidden = subprocess.run(["unshare", "-m", "sh", "-c", script], check=False, capture_output=True, text=True)
    if "unshare" in hidden.stderr:
        pytest.skip(f"no mount namespace: {hidden.stderr.strip()}")
    assert "MissingDependency: libpcap is not installed" in hidden.stderr
