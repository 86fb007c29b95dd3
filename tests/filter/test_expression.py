"""Reading filters: pieces with their places, and where `vm` is a primitive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.expressions import EXPRESSIONS
from tapwright.errors import FilterError
from tapwright.filter.expression import Kind, pcap_text, tokenize


def vms(text):
    return [(token.text, token.direction) for token in tokenize(text) if token.kind is Kind.VM]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("vm web", [("web", "")]),
        ("src vm web", [("web", "src")]),
        ("dst vm web", [("web", "dst")]),
        ("src or dst vm web", [("web", "")]),
        ("dst and src vm web", [("web", "dst and src")]),
        ('vm "web 1"', [("web 1", "")]),
        ('vm "web 1"/eth0', [("web 1/eth0", "")]),
        (r'vm "a \"quoted\" \\ name"', [(r'a "quoted" \ name', "")]),
        ("vm web-1/eth0", [("web-1/eth0", "")]),
        ("vm 5f3c0d8e-0000-4000-8000-000000000001", [("5f3c0d8e-0000-4000-8000-000000000001", "")]),
        ("vm Zürich", [("Zürich", "")]),
        ("not vm web", [("web", "")]),
        ("!vm web", [("web", "")]),
        ("(vm web)", [("web", "")]),
        ("tcp and vm web", [("web", "")]),
        ("tcp&&vm web||vm db", [("web", ""), ("db", "")]),
        ("tcp port 80 and src vm web", [("web", "src")]),
        ("src host 10.0.0.1 or src vm web", [("web", "src")]),
        ("vm web and vm db", [("web", ""), ("db", "")]),
        ('vm "and"', [("and", "")]),
        ("vm vm", [("vm", "")]),
        # The last keyword holds for the names that follow, as with `host a or b`.
        ("vm web or db", [("web", ""), ("db", "")]),
        ("src vm web or db or cache", [("web", "src"), ("db", "src"), ("cache", "src")]),
        ('vm web and not "db 1"', [("web", ""), ("db 1", "")]),
        ("vm web or 10.0.0.5", [("web", ""), ("10.0.0.5", "")]),
        ("vm web or tcp", [("web", "")]),
        ("vm web or 5 < ip[8]", [("web", "")]),
        ("vm web and port 80 or 443", [("web", "")]),
    ],
)
def test_vm_is_a_primitive(text, found):
    assert vms(text) == found


@pytest.mark.parametrize("text", ["host vm", "host vm or port 80", "port vm", "tcp vm", "ether src vm", "src host vm"])
def test_elsewhere_vm_is_a_word_like_any_other(text):
    assert vms(text) == []
    assert "vm" in [token.text for token in tokenize(text)]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("vm", 2),
        ("vm  ", 4),
        ("tcp and vm", 10),
        ("vm and tcp", 3),
        ("vm )", 3),
        ('vm "web', 3),
        ('tcp and vm "', 11),
        ("tcp 'x'", 4),
        ('host "x"', 5),
        ("tcp $ 80", 4),
        ("tcp;", 3),
        ("a\0b", 1),
        ("tcp\u00a0port 80", 3),
        ("tcp\x0cport 80", 3),
        ("port \uff18\uff10", 5),
        ("\\", 0),
        ("ip proto \\ü", 9),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is(text, position):
    with pytest.raises(FilterError) as caught:
        tokenize(text)
    assert (caught.value.text, caught.value.position) == (text, position)


def test_a_book_is_no_filter():
    with pytest.raises(FilterError, match="100,000 characters"):
        tokenize("tcp " * 25_000)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_libpcap_reads_what_was_typed_when_there_is_no_vm(text):
    assert pcap_text(text, tokenize(text)) == text


def test_words_are_cut_as_libpcap_cuts_them():
    text = "tcp[0:2]>=0x50 and host fe80::1 or ether host 02:00:00:00:00:01 and portrange 1-9 or ip proto \\tcp"
    words = ["tcp", "[", "0", ":", "2", "]", ">=", "0x50", "and", "host", "fe80::1", "or", "ether", "host"]
    words += ["02:00:00:00:00:01", "and", "portrange", "1-9", "or", "ip", "proto", "\\tcp"]
    assert [token.text for token in tokenize(text)] == words


def refused(text):
    try:
        tokenize(text)
    except FilterError as error:
        return error
    return None


@given(st.text(max_size=60) | st.text(alphabet='vm src dst and or not ()"\\/ tcp 10.:', max_size=60))
def test_every_piece_has_its_place_in_the_text(text):
    if error := refused(text):
        assert 0 <= error.position <= len(text)
        return
    end = 0
    for token in tokenize(text):
        assert end <= token.start <= token.at < token.end <= len(text)
        assert text[end : token.start].strip(" \t\r\n") == ""
        end = token.end
    assert text[end:].strip(" \t\r\n") == ""
