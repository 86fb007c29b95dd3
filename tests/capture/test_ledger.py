from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tapwright.capture.ledger import ledger, render
from tapwright.text import columns


@dataclass
class Counts:
    name: str = "web/eth0"
    port_packets: int | None = 0
    accepted: int = 0
    kernel_dropped: int = 0
    engine_dropped: int = 0
    beyond_limit: int = 0
    refused: int = 0
    wrapped: int = 0
    governed: int = 0
    governed_estimated: bool = False
    cut: int = 0
    written: int = 0
    ended: str = ""


def test_what_the_engine_refused_is_filtered_out_too() -> None:
    book = ledger([Counts(port_packets=100, accepted=60, refused=50, written=10, wrapped=2)], filtered=True,
                  ended="stopped", by="kernel and engine")  # fmt: skip
    entry = book.entries[0]
    assert (entry.filtered, entry.unaccounted, book.filtered_by) == (90, 0, "kernel and engine")
    assert "web/eth0: 2 packets could not be unwrapped" in render(book)


def test_what_was_left_out_to_spare_the_host_has_its_place() -> None:
    sampled = Counts(port_packets=1000, accepted=100, governed=900, written=100, cut=80)
    book = ledger([sampled], filtered=False, ended="stopped")
    entry = book.entries[0]
    assert (entry.filtered, entry.governed, entry.lost, entry.unaccounted) == (0, 900, 0, 0)
    assert not book.complete
    first, second, row, note = render(book).splitlines()
    assert first.split() == ["filtered", "stepped", "kernel", "our", "over"]
    assert second.split() == ["seen", "out", "down", "drop", "drop", "limit", "written"]
    assert row.split()[1:4] == ["1,000", "0", "900"]
    assert row.endswith("adds up")
    assert "80 of the packets written are cut short" in note


def test_behind_a_filter_it_is_an_estimate_and_says_so() -> None:
    sampled = Counts(port_packets=1000, accepted=10, governed=150, governed_estimated=True, written=10)
    book = ledger([sampled], filtered=True, ended="stopped")
    assert (book.total.filtered, book.total.governed, book.total.unaccounted) == (840, 150, 0)
    assert "about 150" in render(book)
    assert "nobody counts" in render(book)


def test_one_that_never_stepped_down_has_no_column_for_it() -> None:
    assert "stepped" not in render(ledger([Counts()], filtered=False, ended="stopped"))


def test_a_filtered_capture_adds_up() -> None:
    book = ledger(
        [Counts(port_packets=1000, accepted=100, written=90, kernel_dropped=10)], filtered=True, ended="stopped"
    )
    entry = book.entries[0]
    assert (entry.seen, entry.filtered, entry.lost, entry.unaccounted) == (1000, 900, 10, 0)
    assert entry.verdict == "adds up"
    assert not book.complete


def test_without_a_filter_a_difference_is_shown_not_called_filtered() -> None:
    entry = ledger([Counts(port_packets=105, accepted=100, written=100)], filtered=False, ended="stopped").entries[0]
    assert (entry.filtered, entry.unaccounted) == (0, 5)
    assert entry.verdict == "off by +5"
    assert entry.explanation.startswith("counted by the port")


def test_more_than_the_port_counted_is_shown_too() -> None:
    entry = ledger([Counts(port_packets=95, accepted=100, written=100)], filtered=True, ended="stopped").entries[0]
    assert (entry.filtered, entry.unaccounted) == (0, -5)
    assert entry.verdict == "off by -5"
    assert entry.explanation.startswith("shown to the tap")


def test_of_a_port_that_is_gone_the_last_reading_is_a_lower_bound() -> None:
    gone = Counts(port_packets=None, accepted=30, written=30, ended="device gone")
    there = Counts(name="db/eth0", port_packets=1000, accepted=100, written=100)
    book = ledger([gone, there], filtered=True, ended="stopped", last={0: 70, 1: 900})
    assert [(e.seen, e.filtered, e.unaccounted, e.at_least) for e in (*book.entries, book.total)] == [
        (70, 40, 0, True), (1000, 900, 0, False), (1070, 940, 0, True)
    ]  # fmt: skip
    table = render(book)
    assert "at least 70  " in table
    assert "at least 1,070  at least 940  " in table
    assert "a lower bound; device gone" in table
    assert "db/eth0" in table.splitlines()[3]
    assert table.splitlines()[3].endswith("adds up")
    assert not book.complete


def test_what_the_socket_accepted_was_seen_even_if_no_counter_says_so() -> None:
    book = ledger([Counts(port_packets=None, accepted=30, written=28, kernel_dropped=2)], filtered=False, ended="x")
    entry = book.entries[0]
    assert (entry.seen, entry.filtered, entry.unaccounted) == (30, 0, 0)
    assert "at least 30         0" in render(book)


def test_millions_of_packets_fit_into_80_columns() -> None:
    counts = Counts(name="payments-db-3/eth0", port_packets=9_999_999, accepted=9_999_999, written=9_999_999)
    assert max(map(len, render(ledger([counts], filtered=False, ended="stopped")).splitlines())) <= 80


def test_a_long_name_does_not_pad_the_table() -> None:
    book = ledger([Counts(name="x" * 200 + "/eth1"), Counts(name="網路/eth0")], filtered=False, ended="stopped")
    lines = render(book).splitlines()
    assert lines[2].startswith("x" * 39 + "…/eth1  ")
    assert max(map(columns, lines)) < 130
    assert book.entries[0].name == "x" * 200 + "/eth1"
    assert len({columns(line) for line in lines[2:4]}) == 1


counts = st.builds(
    Counts,
    port_packets=st.none() | st.integers(0, 10**12),
    accepted=st.integers(0, 10**12),
    kernel_dropped=st.integers(0, 10**12),
    engine_dropped=st.integers(0, 10**12),
    beyond_limit=st.integers(0, 10**12),
    governed=st.just(0) | st.integers(0, 10**12),
    governed_estimated=st.booleans(),
    written=st.integers(0, 10**12),
)


@given(st.lists(counts, min_size=1, max_size=5), st.booleans())
def test_the_sum_is_always_right(sources: list[Counts], filtered: bool) -> None:
    book = ledger(sources, filtered=filtered, ended="stopped")
    for entry in (*book.entries, book.total):
        parts = entry.filtered + entry.governed + entry.lost + entry.beyond_limit + entry.written + entry.unaccounted
        assert entry.seen == parts
    rows = [line for line in render(book).split("\n") if line.startswith(("web/eth0", "total"))]
    assert len(rows) == len(sources) + (len(sources) > 1)
