"""What may be asked of the way in, and what cannot be meant."""

import pytest

from tapwright.errors import UsageError
from tapwright.filter.encapsulations import ENCAPSULATIONS, NAMES
from tapwright.filter.walk import Carrier
from tapwright.filter.wrapping import Wrapping


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"encapsulations": ("vxlan", "stt")}, "'stt' is not an encapsulation"),
        ({"ports": {"teredo": (3544,)}}, "'teredo' is not"),
        ({"ports": {"gre": (47,)}}, "gre has no UDP port"),
        ({"ports": {"vxlan": (6081,)}}, "both vxlan and geneve"),
        ({"ports": {"vxlan": (0,)}}, "0 is not a UDP port"),
        ({"ports": {"vxlan": (65536,)}}, "65536 is not a UDP port"),
        ({"depth": 0}, "0 wrappings"),
        ({"depth": 5}, "5 wrappings"),
        ({"ids": (-1,)}, "-1 is not"),
        ({"ids": (1 << 32,)}, "is not a VNI"),
        ({"snaplen": 0}, "at least 1 byte"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(UsageError, match=words):
        Wrapping(**asked)


def test_a_port_may_change_its_owner_when_both_are_said():
    wrapping = Wrapping(ports={"vxlan": (6081,), "geneve": (4789,)})
    assert {
        row.name: wrapping.announced(row)[Carrier.UDP] for row in wrapping.chosen if row.name in wrapping.ports
    } == {
        "vxlan": (6081,),
        "geneve": (4789,),
    }
    Wrapping(("vxlan",), ports={"vxlan": (6081,)})


def test_no_two_encapsulations_are_announced_alike():
    numbers = [(carrier, n) for row in ENCAPSULATIONS for carrier, found in row.announced.items() for n in found]
    assert len(numbers) == len(set(numbers))
    assert len(NAMES) == len(set(NAMES))


def test_equal_wrappings_are_equal():
    assert Wrapping(ids=(5,)) == Wrapping(ids=(5,))
    assert len({Wrapping(), Wrapping(), Wrapping(depth=1)}) == 2
