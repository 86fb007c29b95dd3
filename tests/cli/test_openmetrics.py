"""The exposition: what is in it whatever VMs are called, and where it may be served."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tapwright.cli.openmetrics import DeliveryCollector, Endpoint, VnicCollector, parse_endpoint
from tapwright.cli.watch import as_data
from tapwright.control.watch import Reading
from tapwright.errors import CaptureError, UsageError
from tapwright.find.live import Sample, Source, Subject, Traffic
from tapwright.find.statistics import Rates
from tapwright.model import Counters, Host
from tapwright.tap.delivery import News, Outcome, Verdict
from tapwright.tap.session import Session, State

DOCUMENTATION = Path(__file__).parents[2] / "docs/watch.md"
DASHBOARD = Path(__file__).parents[2] / "docs/grafana/tapwright.json"
COUNTED = Counters(1, 2, 3, 4, 5, 6, 7, 8, 9)


def exposition(*subjects: Subject, host: str = "hv1") -> str:
    reading = Reading(Host(host), tuple(Sample(subject, COUNTED, 0.0) for subject in subjects))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(VnicCollector(lambda: reading))
    return generate_latest(registry).decode()


def parsed(text: str) -> dict[tuple[str, frozenset], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def deliveries(*sessions: Session) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DeliveryCollector(lambda: sessions))
    return generate_latest(registry).decode()


def session(name: str, state: State = State.RUNNING, news: News | None = None) -> Session:
    return Session(name, "1.1.a.b.2", "a mirror", 1.0, 60.0, 61.0, state, news=news)


NEWS = News(1.0, (("web/eth0", Verdict(Outcome.OK, "9 copies")), ("db/eth0", Verdict(Outcome.STALE, "they stopped"))))


def subject(source: Source = Source.DEVICE, vm: str = "web", vm_id: str = "id-1") -> Subject:
    return Subject(vm_id, vm, "eth0", source, "br0", "vnet0")


def test_every_counter_has_its_labels_and_its_direction() -> None:
    found = parsed(exposition(subject()))
    common = {
        "host": "hv1", "vm": "web", "vm_id": "id-1", "nic": "eth0",
        "switch": "br0", "port": "vnet0", "source": "device",
    }  # fmt: skip

    def value(name: str, **more: str) -> float:
        return found[name, frozenset({**common, **more}.items())]

    assert value("tapwright_vnic_packets_total", direction="from_vm") == 1
    assert value("tapwright_vnic_bytes_total", direction="from_vm") == 2
    assert value("tapwright_vnic_dropped_packets_total", direction="from_vm") == 3
    assert value("tapwright_vnic_errors_total", direction="from_vm") == 4
    assert value("tapwright_vnic_packets_total", direction="to_vm") == 5
    assert value("tapwright_vnic_bytes_total", direction="to_vm") == 6
    assert value("tapwright_vnic_dropped_packets_total", direction="to_vm") == 7
    assert value("tapwright_vnic_errors_total", direction="to_vm") == 8
    assert value("tapwright_vnic_multicast_packets_total") == 9
    assert found["tapwright_vms", frozenset({("host", "hv1")})] == 1


def test_from_inside_the_directions_are_the_other_way_round() -> None:
    found = parsed(exposition(subject(Source.GUEST)))
    directions = {dict(labels)["direction"]: v for (name, labels), v in found.items() if "packets_total" in name
                  and "vnic_packets" in name}  # fmt: skip
    assert directions == {"to_vm": 1, "from_vm": 5}


def test_namesakes_are_different_series() -> None:
    one, two = subject(vm_id="id-1"), subject(vm_id="id-2")
    assert len(parsed(exposition(one, two))) == 2 * len(parsed(exposition(one))) - 1


def test_each_mirror_of_an_open_session_has_one_outcome() -> None:
    found = parsed(deliveries(session("aaaa", news=NEWS), session("bbbb"), session("cccc", State.CLOSED, NEWS)))
    states = [dict(labels) for (name, labels), value in found.items() if name == "tapwright_mirror_delivery" and value]
    told = [(labels["session"], labels["vnic"], labels["tapwright_mirror_delivery"]) for labels in states]
    assert sorted(told) == [("aaaa", "db/eth0", "stale"), ("aaaa", "web/eth0", "ok")]
    assert found["tapwright_mirror_delivery_age_seconds", frozenset({("session", "aaaa")})] > 1e6


def test_without_a_journal_the_rest_is_still_exposed() -> None:
    def unreadable() -> tuple[Session, ...]:
        raise CaptureError("the journal cannot be used")

    registry = CollectorRegistry(auto_describe=False)
    registry.register(DeliveryCollector(unreadable))
    assert parsed(generate_latest(registry).decode()) == {}


def test_a_host_without_vms_is_still_valid() -> None:
    assert parsed(exposition()) == {("tapwright_vms", frozenset({("host", "hv1")})): 0}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_survives(vm: str, host: str) -> None:
    found = parsed(exposition(subject(vm=vm), host=host))
    labels = [dict(labels) for name, labels in found if name == "tapwright_vnic_multicast_packets_total"]
    assert [(label["vm"], label["host"]) for label in labels] == [(vm, host)]
    assert not any(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9469", Endpoint("127.0.0.1", 9469)),
        (":9469", Endpoint("127.0.0.1", 9469)),
        ("localhost:1", Endpoint("127.0.0.1", 1)),
        ("0.0.0.0:80", Endpoint("0.0.0.0", 80)),
        ("[::]:80", Endpoint("::", 80)),
        ("[2001:db8::1]:9469", Endpoint("2001:db8::1", 9469)),
        ("192.0.2.1:0", Endpoint("192.0.2.1", 0)),
    ],
)
def test_where_to_listen(text: str, expected: Endpoint) -> None:
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "host:80", "[::1]", "a:b:c"]
)
def test_nowhere_to_listen(text: str) -> None:
    with pytest.raises(UsageError, match="ADDR:PORT"):
        parse_endpoint(text)


def test_urls() -> None:
    assert Endpoint("::1", 9).url == "http://[::1]:9/metrics"
    assert Endpoint("127.0.0.1", 9).url == "http://127.0.0.1:9/metrics"


def test_the_dashboard_asks_only_for_what_there_is() -> None:
    exposed = {name for name, _ in parsed(exposition(subject()))}
    labels = {label for _, pairs in parsed(exposition(subject())) for label, _ in pairs}
    asked = re.findall(r"tapwright_\w+", DASHBOARD.read_text())
    assert asked
    assert set(asked) <= exposed
    by = re.findall(r"by \(([\w, ]+)\)", DASHBOARD.read_text())
    legends = re.findall(r"\{\{(\w+)\}\}", DASHBOARD.read_text())
    assert {name.strip() for group in by for name in group.split(",")} | set(legends) <= labels


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["title"]
    assert dashboard["uid"] == "tapwright"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["targets"] and panel["gridPos"] for panel in panels)
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {"${datasource}"}


def test_the_documentation_names_every_metric() -> None:
    exposed = {
        name for text in (exposition(subject()), deliveries(session("aaaa", news=NEWS))) for name, _ in parsed(text)
    }
    assert set(re.findall(r"tapwright_\w+", DOCUMENTATION.read_text())) == exposed


def test_the_documentation_names_every_key_of_the_json_lines() -> None:
    traffic = Traffic(subject(), COUNTED, Rates(), 1.0)
    keys = as_data(traffic, "hv1", 0.0)
    text = DOCUMENTATION.read_text()
    assert all(f"`{key}`" in text for key in keys)
