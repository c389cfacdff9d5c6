"""What Prometheus reads: requests that this process answered, and the caller's fleet as it is.

Names and units are Prometheus's: base units, `_total` on counters, and no label that grows with the
fleet: operations are named by route, never by address, and meter ids are no labels.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from headend.store.plan import Row

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_FLEET: Final = {
    "meters": "Meters that are registered.",
    "gateways": "Gateways that are registered.",
    "quarantined": "Telegrams in quarantine.",
    "accounts": "Prepaid accounts.",
}


class Metrics:
    """The counts of one process."""

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
        built = Gauge(
            "ohmesh_build_info", "The program; always 1.", ("version",), registry=self._registry
        )
        built.labels(version("ohmesh")).set(1)

    def count(self, operation: str, code: int, seconds: float) -> None:
        """One answered request."""
        self._requests.labels(operation, str(code)).inc()
        self._seconds.labels(operation).observe(seconds)

    def text(self, fleet: Row, now: datetime) -> bytes:
        """Everything in Prometheus's format. Args: fleet: a row of the query `metrics`."""
        return generate_latest(self._registry) + generate_latest(_of_fleet(fleet, now))


def _of_fleet(fleet: Row, now: datetime) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, text in _FLEET.items():
        Gauge(f"ohmesh_headend_{name}", text, registry=registry).set(fleet[name])
    if fleet["last_seen"] is not None:
        lag = Gauge(
            "ohmesh_headend_ingest_lag_seconds",
            "Since anything was last heard from any meter.",
            registry=registry,
        )
        lag.set(max(0.0, (now - fleet["last_seen"]).total_seconds()))
    return registry


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
