"""Where a filter goes wrong: the place, the words and the next step."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.expressions import EXPRESSIONS
from tapwright.errors import FilterError, NotFound
from tapwright.filter import compile_filter
from tapwright.filter.libpcap import PcapError, offline
from tapwright.filter.words import KEYWORDS
from tapwright.model import Vnic

CASES = [
    # (text with a ^ in front of the wrong place, part of the message, part of the hint)
    ("tcp ^prot 80", "`prot` cannot follow `tcp`", "did you mean `port`?"),
    ("^tpc port 80", "cannot begin with `tpc`", "did you mean `tcp`?"),
    ("host 10.0.0.5 and ^and port 80", "`and` cannot follow `and`", ""),
    ("tcp port^", "ends too early: something must follow `port`", ""),
    ("tcp port^  ", "ends too early: something must follow `port`", ""),
    ("tcp and^", "ends too early: something must follow `and`", ""),
    ("not^", "ends too early", ""),
    ("ip^[0", "this `[` is never closed", ""),
    ("ip[^", "ends too early", ""),
    ("ip[0]^", "ends too early: something must follow `]`", ""),
    ("1^", "ends too early: something must follow `1`", ""),
    ("tcp and ^(port 80 or 443", "this `(` is never closed", ""),
    ("tcp^)", "this `)` closes nothing", ""),
    ("tcp^]", "this `]` closes nothing", ""),
    ("ip[0^) = 1", "`)` cannot follow `0`", ""),
    ("host ^300.1.1.1", "invalid IPv4 address", ""),
    ("port ^99999", "illegal port number 99999", ""),
    ("tcp port 80 or ^99999 and host 10.0.0.1", "illegal port number 99999", ""),
    ("ether host ^xyz and tcp", "unknown ether host 'xyz'", "use its MAC address"),
    ("port ^htp", "unknown port 'htp'", "use its number"),
    ("portrange ^1-htp", "unknown port in range", "use its number"),
    ("tcp ^host 10.0.0.1", "'tcp' modifier applied to host", "put `and` between them"),
    ("ip6 ^host 10.0.0.1", "'ip6' modifier applied to ip host", ""),
    ("host ^web", "unknown host 'web'", "there is a VM of that name: write `vm web`"),
    ("tcp and ^web", "", "there is a VM of that name: write `vm web`"),
    ("^web", "cannot begin with `web`", "there is a VM of that name: write `vm web`"),
    ("host vm ^web", "`web` cannot follow `vm`", "there is a VM of that name"),
    ("tcp ^vm web", "`vm` cannot follow `tcp`", "tcp and vm NAME"),
    ("vm web ^port 80", "`port` cannot follow `vm web`", "put `and` or `or` in front of it"),
    ("tcp port 80 ^host 10.0.0.1", "`host` cannot follow `80`", "put `and` or `or` in front of it"),
    ("^10.0.0.1", "cannot begin with `10.0.0.1`", "write `host 10.0.0.1`"),
    ("ip proto ^tcp", "`tcp` cannot follow `proto`", "write \\tcp"),
    ("net 10.1.2.3/^8", "non-network bits", "name the network"),
    ("vlan ^5000", "VLAN tag 5000 greater than", ""),
    ("tcp[0:^3] = 1", "data size must be", ""),
    ("ip ^broadcast", "netmask not known", "ether broadcast"),
    ("tcp and ^protochain 6", "loops", "use `proto` instead"),
    ("type ^mgt", "802.11", "Ethernet"),
    ("tcp[tcpflags] & ^tcp-sny != 0", "`tcp-sny` cannot follow `&`", "did you mean `tcp-syn`?"),
    ("vm web^[1] and tcp", "`[` cannot follow `vm web`", 'wants quotes: vm "web[1]"'),
    ("tcp and vm web ^(old) or udp", "`(` cannot follow `vm web`", 'wants quotes: vm "web (old)"'),
    ("(vm ^nope (a b)) and tcp", "no VM is called 'nope'", 'wants quotes: vm "nope (a b)"'),
    ("vm web ^1", "`1` cannot follow `vm web`", 'wants quotes: vm "web 1"'),
    ("vm web^&co && tcp", "`&` cannot follow `vm web`", 'wants quotes: vm "web&co"'),
    ("dst vm ^db (old) and vm web", "no VM is called 'db'", 'that names a VM, and wants quotes: vm "db (old)"'),
    ("vm web ^tcp port 80", "`tcp` cannot follow `vm web`", "put `and` or `or` in front of it"),
    ("ip[^2-1] = 0", "`2-1` cannot follow `[`", ""),
    ("host ^no.such.invalid and and", "unknown host", ""),
]


def resolve(name):
    if name not in ("web", "db (old)"):
        raise NotFound(f"no VM is called {name!r}")
    return [Vnic("eth0", "02:00:00:00:00:01", ("10.0.0.1/24",))]


def refused(text):
    try:
        compile_filter(text, resolve)
    except FilterError as error:
        return error
    return None


def mistake(text):
    with pytest.raises(FilterError) as caught:
        compile_filter(text, resolve)
    return caught.value


@pytest.mark.parametrize(("marked", "message", "hint"), CASES)
def test_the_place_the_words_and_the_next_step(marked, message, hint):
    text = marked.replace("^", "", 1)
    error = mistake(text)
    assert error.text == text
    assert error.position == marked.index("^")
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize("text", ["tcp and udp", "ip and arp", "1 = 2", "not (tcp or not tcp)"])
def test_a_filter_nothing_can_match(text):
    error = mistake(text)
    assert error.position is None
    assert error.message == "no packet can match this filter"


def test_looking_for_a_mistake_asks_no_name_server(monkeypatch):
    """Names are looked up when the filter is compiled, once; not for every guess at the mistake."""
    compiled = []

    def counting(text, *, optimise=True):
        compiled.append(text)
        return offline(text, optimise=optimise)

    monkeypatch.setattr("tapwright.filter.compile.offline", counting)
    mistake("host localhost or src or dst localhost or ether src host localhost or ip6 host localhost and and")
    assert "localhost" in compiled[0]
    assert len(compiled) > 3
    assert all("localhost" not in text for text in compiled[1:])


WORDS = [*sorted(KEYWORDS), "(", ")", "[", "]", "!", "&&", "=", "80", "10.0.0.1", "::1", "vm", "web"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
BROKEN = st.tuples(st.sampled_from(EXPRESSIONS), st.integers(0, 60), st.sampled_from([*WORDS, ""])).map(
    lambda made: f"{made[0][: made[1]]} {made[2]} {made[0][made[1] :]}"
)


@settings(max_examples=400)
@given(SENTENCES | BROKEN)
def test_the_place_is_the_first_that_cannot_be(text):
    """Up to it libpcap has nothing against the words, with the next one it has."""
    error = refused(text)
    if error is None or error.position is None:
        return
    assert 0 <= error.position <= len(text)
    if "cannot" in error.message and "vm" not in text and "web" not in text:
        rest = text[error.position :]
        word = re.match(r"[\w.:-]+|<<|>>|<=|>=|!=|==|&&|\|\||.", rest)
        assert "syntax error" not in complaint(text[: error.position])
        assert "syntax error" in complaint(text[: error.position] + word[0])


def complaint(head):
    """What libpcap says about `head` when nonsense follows."""
    with pytest.raises(PcapError) as caught:
        offline(f"{head} 9:9:")
    return str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_a_filter_or_an_error_with_a_place_in_it(text):
    error = refused(text)
    assert error is None or error.position is None or 0 <= error.position <= len(text)


@pytest.mark.parametrize("word", sorted(KEYWORDS - {"not", "vxlan"}))
def test_keywords_are_libpcaps(word):
    """A keyword cannot be the name of a port; anything else can (`not` begins a negation there)."""
    with pytest.raises(PcapError, match="syntax error"):
        offline(f"port {word} 9:9:")
