"""What Prometheus reads: requests that were answered, and the caller's fleet as it is.

Where several processes serve one port, each counts in files of a folder that they share, and
whoever is asked adds them up (prometheus_client's own way, switched on by the folder's name in the
environment). The fleet's figures stand in no file: they are one caller's.

Names and units are Prometheus's: base units, `_total` on counters, and no label that grows with the
fleet: operations are named by route, never by address, and meter ids are no labels.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headend.store.plan import Row

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
COUNTS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the shared folder in the environment; must be there before this module is read."""
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_FLEET: Final = {
    "meters": "Meters that are registered.",
    "gateways": "Gateways that are registered.",
    "quarantined": "Telegrams in quarantine.",
    "accounts": "Prepaid accounts.",
}


class Metrics:
    """The counts of one process, or of all that share a folder."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ohmesh_headend_http_requests",
            "Requests answered.",
            ("operation", "code"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "ohmesh_headend_http_request_seconds",
            "From the first octet of a request to the head of its answer.",
            ("operation",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count(self, operation: str, code: int, seconds: float) -> None:
        """One answered request."""
        self._requests.labels(operation, str(code)).inc()
        self._seconds.labels(operation).observe(seconds)

    def text(self, fleet: Row, now: datetime) -> bytes:
        """Everything in Prometheus's format. Args: fleet: a row of the query `metrics`."""
        return generate_latest(self._counted()) + generate_latest(_Now(fleet, now))

    def _counted(self) -> CollectorRegistry:
        if COUNTS not in os.environ:
            return self._registry
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody, os.environ[COUNTS])  # type: ignore[no-untyped-call]
        return everybody


@dataclass(frozen=True, slots=True)
class _Now(Collector):
    """What is known at this instant alone."""

    fleet: Row
    now: datetime

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One figure after the other."""
        built = GaugeMetricFamily(
            "ohmesh_build_info", "The program; always 1.", labels=("version",)
        )
        built.add_metric((version("ohmesh"),), 1)
        yield built
        for name, text in _FLEET.items():
            yield GaugeMetricFamily(f"ohmesh_headend_{name}", text, self.fleet[name])
        if self.fleet["last_seen"] is not None:
            yield GaugeMetricFamily(
                "ohmesh_headend_ingest_lag_seconds",
                "Since anything was last heard from any meter.",
                max(0.0, (self.now - self.fleet["last_seen"]).total_seconds()),
            )


class Counting:
    """ASGI middleware around everything: counts answers by operation."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count when the answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                operation = getattr(scope.get("route"), "name", "none")
                self._metrics.count(operation, message["status"], time.perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, counted)
