"""The head-end's side of a load: who is registered, and how much is stored, by its API."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx

from meter_sim.load.fleet import gateway_name, meter_name
from meter_sim.meterfile import import_meters
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_TIMEOUT_S = 120.0
_RETRY_S = 2.0
_PATIENCE_S = 30.0


class Api:
    """Calls with a token; every refusal is a ConfigError."""

    def __init__(self, url: str, token: str) -> None:
        """Args: url: of the head-end."""
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"}

    async def register(
        self,
        *,
        meters: int,
        gateways: int,
        profile: str,
        interval_s: int,
        told: Callable[[int], None],
    ) -> None:
        """Make a fleet known; who is known already is no error. Args: told: how many so far."""
        shared = {"profile": profile, "interval_s": interval_s}
        rows = [{"meter": meter_name(n), **shared} for n in range(meters)]
        try:
            async with self._client() as client:
                for number in range(gateways):
                    answer = await client.post(
                        "/v1/gateways", json={"gateway": gateway_name(number)}
                    )
                    answer.raise_for_status()
                await import_meters(client, rows, told)
        except httpx.HTTPStatusError as error:
            what = f"{error.response.status_code} {error.response.text[:200]}"
            raise ConfigError(f"the head-end refuses to register: {what}") from None
        except httpx.HTTPError as error:
            raise ConfigError(f"the head-end's API: {error}") from None

    async def stored(self, channel: str, begin: datetime, end: datetime) -> int | None:
        """Intervals stored of all meters with an END in (begin, end].

        None when the head-end has not made that report in time: it runs over all meters, beside a
        full load.
        """
        query: dict[str, str | int] = {
            "period_from": begin.isoformat(),
            "period_to": end.isoformat(),
            "channel": channel,
            "worst": 0,
        }
        deadline = time.monotonic() + _PATIENCE_S
        try:
            async with self._client() as client:
                while True:
                    answer = await client.get("/v1/reports/read-success", params=query)
                    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                        answer.raise_for_status()
                        return int(answer.json()["stored"])
                    if time.monotonic() > deadline:
                        return None
                    await asyncio.sleep(_RETRY_S)
        except httpx.HTTPError as error:
            raise ConfigError(f"the head-end's API: {error}") from None

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=_TIMEOUT_S)
