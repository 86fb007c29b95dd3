"""Command lines of QEMU as people, libvirt and Proxmox write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright.providers.qemu_arguments import Guest, Nic, is_qemu, parse

MAC = "52:54:00:aa:00:01"


def nics(*argv: str) -> tuple[Nic, ...]:
    return parse(("qemu-system-x86_64", *argv)).nics


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("web", "web"),
        ("guest=web,debug-threads=on", "web"),
        ("web,process=x", "web"),
        ("process=x,guest=a,,b=c", "a,b=c"),
        ("guest=", ""),
        ("", ""),
    ],
)
def test_names(text: str, name: str) -> None:
    assert parse(("qemu", "-name", text)).name == name


def test_the_last_name_counts_and_dashes_are_one_or_two() -> None:
    assert parse(("qemu", "-name", "a", "--name", "b", "-uuid", "AB-CD")) == Guest("b", "ab-cd")


def test_a_netdev_with_its_card() -> None:
    argv = ("-netdev", "tap,id=n0,ifname=tap0,script=no", "-device", f"virtio-net-pci,netdev=n0,mac={MAC.upper()}")
    assert nics(*argv) == (Nic(MAC, "tap", "tap0"),)


def test_the_order_of_options_does_not_matter() -> None:
    argv = ("-device", f"e1000,netdev=n0,mac={MAC}", "-netdev", "type=tap,id=n0,ifname=tap100i0")
    assert nics(*argv) == (Nic(MAC, "tap", "tap100i0"),)


@pytest.mark.parametrize(
    ("netdev", "fds"),
    [
        ("tap,fd=33,id=h0,vhost=on,vhostfd=34", (33,)),
        ("tap,fds=33:35,id=h0,vhostfds=36:37", (33, 35)),
        ('{"type":"tap","fds":"33:35","vhost":true,"id":"h0"}', (33, 35)),
        ('{"type":"tap","fd":"33","id":"h0"}', (33,)),
        ("tap,fd=x:y,id=h0", ()),
        ("tap,fd=" + "9" * 5000 + ",id=h0", ()),
    ],
)
def test_descriptors_as_libvirt_passes_them(netdev: str, fds: tuple[int, ...]) -> None:
    card = f'{{"driver":"virtio-net-pci","netdev":"h0","id":"net0","mac":"{MAC}"}}'
    assert nics("-netdev", netdev, "-device", card) == (Nic(MAC, "tap", "", fds),)


def test_short_and_old_forms() -> None:
    assert nics("-nic", f"bridge,br=br0,mac={MAC}", "-nic", "none", "-nic", "user") == (
        Nic(MAC, "bridge"),
        Nic("52:54:00:12:34:56", "user"),
    )
    old = ("-net", f"nic,macaddr={MAC}", "-net", "tap,ifname=t0", "-net", "nic", "-net", "tap,ifname=t1")
    assert nics(*old) == (Nic(MAC, "tap", "t0"), Nic("52:54:00:12:34:56", "tap", "t1"))


def test_cards_without_a_mac_get_the_free_ones() -> None:
    argv = ("-nic", "tap", "-nic", "tap,mac=52:54:00:12:34:57", "-nic", "tap")
    assert [nic.mac[-2:] for nic in nics(*argv)] == ["56", "57", "58"]


def test_a_card_whose_back_end_is_missing() -> None:
    assert nics("-device", f"e1000,netdev=gone,mac={MAC}") == (Nic(MAC),)


@pytest.mark.parametrize("program", ["qemu-system-x86_64", "qemu-kvm", "kvm", "qemu-system-aarch64"])
def test_emulators(program: str) -> None:
    assert is_qemu(program)


@pytest.mark.parametrize("program", ["qemu-img", "qemu-ga", "kvm-clock", "notqemu", "", "virt-qemu"])
def test_other_programs(program: str) -> None:
    assert not is_qemu(program)


_WORDS = ("-name", "-netdev", "-device", "-nic", "-net", "-uuid", "tap", "nic", "id=a", "netdev=a", ",", ",,", "=")
_NASTY = ("{", "[1]", '{"netdev": 1}', "fds=1:" + "9" * 5000, "[" * 5000)
_words = st.sampled_from((*_WORDS, *_NASTY))


@given(st.lists(st.lists(_words | st.text(max_size=5), max_size=4).map("".join), max_size=12))
def test_nonsense_is_left_out(argv: list[str]) -> None:
    guest = parse(argv)
    assert len(guest.nics) <= len(argv)
