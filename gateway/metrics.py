"""What Prometheus reads on `/metrics`. No label grows with the fleet: sources are the settings'."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ohmesh.model.errors import DriverPermanent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from gateway.outbox_summary import OutboxSummary
    from ohmesh.model.telegram import Telegram

_NO_ERRORS: Final = frozenset({"taken", "passed"})
_ACK_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_REQUEST_BYTES_MAX: Final = 8192
_REQUEST_S: Final = 5.0
_HEAD: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    "Content-Length: {length}\r\nConnection: close\r\n\r\n"
)


class Metrics:
    """The counts of one gateway; everything else is asked for when somebody reads."""

    def __init__(
        self,
        *,
        summary: Callable[[], OutboxSummary | None],
        drivers: Callable[[], Iterable[tuple[str, Mapping[str, int]]]],
        gauges: Callable[[], Mapping[str, tuple[str, float]]],
    ) -> None:
        """Connect the parts.

        Args:
            summary: the outbox's.
            drivers: name -> counts of each.
            gauges: name -> help and value of what else there is.
        """
        self._summary, self._drivers, self._gauges = summary, drivers, gauges
        self._taken: Counter[str] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._ack = Histogram(
            "ohmesh_gateway_uplink_ack_seconds",
            "From a batch's departure to the head-end's acknowledgement.",
            buckets=_ACK_S,
            registry=self._registry,
        )

    def took(self, telegrams: Sequence[Telegram]) -> None:
        """Telegrams were committed to the outbox."""
        self._taken.update(telegram.source for telegram in telegrams)

    def acknowledged(self, seconds: float) -> None:
        """A batch was acknowledged after so long."""
        self._ack.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        taken = CounterMetricFamily(
            "ohmesh_gateway_telegrams", "Telegrams committed to the outbox.", labels=["source"]
        )
        for source, count in sorted(self._taken.items()):
            taken.add_metric([source], count)
        yield taken
        yield self._errors()
        built = GaugeMetricFamily("ohmesh_build_info", "The program; always 1.", labels=["version"])
        built.add_metric([version("ohmesh")], 1)
        yield built
        for name, (text, value) in (self._of_outbox() | dict(self._gauges())).items():
            yield GaugeMetricFamily(f"ohmesh_gateway_{name}", text, value)

    def text(self) -> bytes:
        """The whole page."""
        return generate_latest(self._registry)

    def _errors(self) -> Metric:
        errors = CounterMetricFamily(
            "ohmesh_gateway_driver_errors",
            "Telegrams and answers that a source did not bring, by kind.",
            labels=["driver", "kind"],
        )
        for name, counts in self._drivers():
            for kind, count in sorted(counts.items()):
                if kind not in _NO_ERRORS:
                    errors.add_metric([name, kind], count)
        return errors

    def _of_outbox(self) -> dict[str, tuple[str, float]]:
        summary = self._summary()
        if summary is None:
            return {}
        found: dict[str, tuple[str, float]] = {
            "outbox_telegrams": ("Telegrams that wait for the head-end.", summary.waiting),
            "outbox_bytes": ("Size of the outbox.", summary.used_bytes),
            "outbox_limit_bytes": ("Bound on the outbox.", summary.max_bytes),
            "outbox_oldest_age_seconds": (
                "Age of the oldest waiting telegram.",
                summary.oldest_waiting_s,
            ),
        }
        if summary.hours_left is not None:
            text = "Until the bound at the present rate, were the head-end gone now."
            found["outbox_headroom_seconds"] = text, summary.hours_left * 3600
        return found


class MetricsPort:
    """Answers `GET /metrics`, one request a connection."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises DriverPermanent: the port is taken."""
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=_REQUEST_BYTES_MAX
            )
        except OSError as error:
            raise DriverPermanent(
                f"metrics: {error.strerror}; stop the program that has {host}:{port}, or choose"
                " another metrics.port"
            ) from error

    async def run(self) -> None:
        """Answer until cancelled."""
        assert self._server is not None
        async with self._server:
            await self._server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks so badly gets nothing
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        found = head.startswith(b"GET /metrics ")
        body = self._metrics.text() if found else b"GET /metrics\n"
        status = "200 OK" if found else "404 Not Found"
        return _HEAD.format(status=status, length=len(body)).encode() + body
