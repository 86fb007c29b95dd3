"""Counters for Prometheus: the OpenMetrics exposition and the small server it is scraped from."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.registry import Collector

from tapwright.control.watch import Reading
from tapwright.errors import TapwrightError, UsageError
from tapwright.find.live import Sample, totals
from tapwright.tap.delivery import Outcome
from tapwright.tap.session import Session, State

LABELS = ("host", "vm", "vm_id", "nic", "switch", "port", "source")
"""Of every counter; `source` is who counted: device, switch or guest."""

_DIRECTED = {
    "tapwright_vnic_bytes": ("Bytes, without the frame check sequence.", "bytes"),
    "tapwright_vnic_packets": ("Packets; an offloaded super-frame counts as one.", "packets"),
    "tapwright_vnic_dropped_packets": ("Packets dropped.", "dropped"),
    "tapwright_vnic_errors": ("Packets with errors.", "errors"),
}
"""metric -> help, and the part of the field's name in `Totals` behind ``to_vm_`` and ``from_vm_``"""


class VnicCollector(Collector):
    """Reads the counters whenever it is asked for them."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Metrics of this moment."""
        reading = self._read()
        yield from _directed(reading)
        yield _multicast(reading)
        yield _vms(reading)


def _directed(reading: Reading) -> Iterator[Metric]:
    for name, (help_text, what) in _DIRECTED.items():
        family = CounterMetricFamily(name, help_text, labels=(*LABELS, "direction"))
        for sample in reading.samples:
            counted = totals(sample.subject, sample.counters)
            for direction in ("to_vm", "from_vm"):
                family.add_metric((*_labels(reading, sample), direction), getattr(counted, f"{direction}_{what}"))
        yield family


def _multicast(reading: Reading) -> Metric:
    help_text = "Multicast packets received by whoever counts: from the VM outside of it, to the VM inside."
    family = CounterMetricFamily("tapwright_vnic_multicast_packets", help_text, labels=LABELS)
    for sample in reading.samples:
        family.add_metric(_labels(reading, sample), sample.counters.multicast)
    return family


def _vms(reading: Reading) -> Metric:
    family = GaugeMetricFamily("tapwright_vms", "VMs and containers with a vNIC that is counted.", labels=("host",))
    family.add_metric((reading.host.name,), len({sample.subject.vm_id for sample in reading.samples}))
    return family


def _labels(reading: Reading, sample: Sample) -> tuple[str, ...]:
    subject = sample.subject
    return (
        reading.host.name, subject.vm, subject.vm_id, subject.nic, subject.switch, subject.port, subject.source,
    )  # fmt: skip


class DeliveryCollector(Collector):
    """Reads what the owners of open sessions said last of their mirrors, whenever it is asked for that."""

    def __init__(self, read: Callable[[], Sequence[Session]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Metrics of this moment; none where the journal cannot be read."""
        try:
            running = [session for session in self._read() if session.state is not State.CLOSED]
        except TapwrightError:
            return
        outcome = StateSetMetricFamily(
            "tapwright_mirror_delivery", "Whether the copies of a mirror arrive.", labels=("session", "vnic")
        )
        age = GaugeMetricFamily(
            "tapwright_mirror_delivery_age_seconds", "How long ago that was known.", labels=("session",)
        )
        for session in running:
            mirrors = session.news.mirrors if session.news else ()
            for vnic, verdict in mirrors:
                outcome.add_metric((session.id, vnic), {str(each): each is verdict.outcome for each in Outcome})
            if session.news:
                age.add_metric((session.id,), max(0.0, time.time() - session.news.time))
        yield outcome
        yield age


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen."""

    address: str
    port: int

    @property
    def url(self) -> str:
        """For people and Prometheus."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/metrics"


def parse_endpoint(text: str) -> Endpoint:
    """``9469`` and ``:9469`` (both loopback only), ``192.0.2.1:9469``, ``[::]:9469``.  Raises UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    try:
        address = str(ip_address("127.0.0.1" if host == "localhost" else host))
        if not port.isascii() or not port.isdecimal() or int(port) > 65535:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{text!r} is not ADDR:PORT", "write it like 9469, 192.0.2.1:9469 or [2001:db8::1]:9469"
        ) from None
    return Endpoint(address, int(port))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not HTTPServer's: that asks DNS for our own name, which may take long and is of no use.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10
    """Seconds to wait for a request that does not come."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in the base class
        """Quiet."""


class Exporter:
    """Serves the counters until the `with` block ends."""

    def __init__(
        self, endpoint: Endpoint, read: Callable[[], Reading], sessions: Callable[[], Sequence[Session]] = lambda: ()
    ) -> None:
        """Raises TapwrightError when the address cannot be listened on."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(VnicCollector(read))
        registry.register(DeliveryCollector(sessions))
        kind = _Server6 if ":" in endpoint.address else _Server
        try:
            self._server = kind((endpoint.address, endpoint.port), _Handler)
        except OSError as error:
            raise _refused(endpoint, error) from None
        self._server.set_app(make_wsgi_app(registry))
        self.endpoint = Endpoint(endpoint.address, self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Exporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _refused(endpoint: Endpoint, error: OSError) -> TapwrightError:
    where = endpoint.url.removeprefix("http://").removesuffix("/metrics")
    if error.errno == errno.EADDRINUSE:
        return TapwrightError(f"{where} is in use already", f"see who has it: ss -ltnp 'sport = :{endpoint.port}'")
    return TapwrightError(f"cannot listen on {where}: {error.strerror or error}")
