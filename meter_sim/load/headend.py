"""The head-end's side of a load: who is registered, and how much is stored, by its API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from meter_sim.load.fleet import gateway_name, meter_name
from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_AT_ONCE = 16
_TIMEOUT_S = 120.0


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
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("/v1/gateways", {"gateway": gateway_name(n)}) for n in range(gateways)
        ]
        shared = {"profile": profile, "interval_s": interval_s}
        bodies += [("/v1/meters", {"meter": meter_name(n), **shared}) for n in range(meters)]
        waiting = iter(bodies)
        done = 0

        async def work(client: httpx.AsyncClient) -> None:
            nonlocal done
            for path, body in waiting:
                await _post(client, path, body)
                done += 1
                told(done)

        async with self._client() as client, asyncio.TaskGroup() as tasks:
            for number in range(_AT_ONCE):
                tasks.create_task(work(client), name=f"register-{number}")

    async def stored(self, channel: str, begin: datetime, end: datetime) -> int:
        """Intervals stored of all meters with an END in (begin, end]."""
        query: dict[str, str | int] = {
            "period_from": begin.isoformat(),
            "period_to": end.isoformat(),
            "channel": channel,
            "worst": 0,
        }
        try:
            async with self._client() as client:
                answer = await client.get("/v1/reports/read-success", params=query)
                answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ConfigError(f"the head-end's API: {error}") from None
        return int(answer.json()["stored"])

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=_TIMEOUT_S)


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    try:
        answer = await client.post(path, json=body)
    except httpx.HTTPError as error:
        raise ConfigError(f"the head-end's API: {error}") from None
    if not answer.is_success and answer.status_code != httpx.codes.CONFLICT:
        raise ConfigError(f"the head-end refuses {body}: {answer.status_code} {answer.text[:200]}")
