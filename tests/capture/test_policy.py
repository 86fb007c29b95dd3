from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright.capture.policy import DEFAULT, key_of, parse_policy, shown
from tapwright.errors import UsageError


def test_what_people_write() -> None:
    assert parse_policy("default") == DEFAULT == parse_policy("")
    assert parse_policy("off") is None
    made = parse_policy("rate=2.5G, cpu=50%,free=5G,busy-rate=300M,disk=none,psi-cpu=0.1,drops=10")
    assert made is not None
    assert (made.rate, made.cpu, made.free, made.busy_rate) == (2.5e9, 0.5, 5 << 30, 3e8)
    assert (made.disk, made.psi_cpu, made.drops, made.steal) == (0, 0.1, 10, DEFAULT.steal)


@pytest.mark.parametrize(
    "text", ["on", "rate", "rate=", "rate=fast", "cpu=0", "cpu=200%", "busy_rate=1G", "x=1", ",", "psi-cpu=-1"]
)
def test_what_means_nothing_is_refused_with_what_would(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(text)
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_policy_or_a_mistake(text: str) -> None:
    with suppress(UsageError):
        parse_policy(text)


def test_every_limit_is_shown_with_what_it_is_of() -> None:
    rows = list(shown(DEFAULT))
    assert ("rate", "12 Gbit/s", "bits copied per second") in rows
    assert ("disk", "none", "bytes written per second") in rows
    assert {key_of(name) for name in DEFAULT.__dataclass_fields__} == {key for key, _, _ in rows}
