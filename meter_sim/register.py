"""Tell a head-end which meters and gateways there are; who is known already is no error."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meter_sim.roster import Roster, RosterMeter

_RETRY_S = 1.0
_TIMEOUT_S = 10.0
_KNOWN_ALREADY = 409
_log = logging.getLogger(__name__)


def requests(roster: Roster, meters: Sequence[RosterMeter]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and body of each request, gateways first."""
    for gateway in roster.gateways:
        place = {"x_m": gateway.x_m, "y_m": gateway.y_m}
        yield "/v1/gateways", {"gateway": gateway.gateway, "node": gateway.node, **place}
    for meter in meters:
        body = {
            "meter": meter.meter,
            "node": meter.node,
            "profile": meter.profile,
            "interval_s": roster.interval_s,
            "key_hex": meter.key_hex,
            "x_m": meter.x_m,
            "y_m": meter.y_m,
        }
        yield "/v1/meters", body


async def register(url: str, token: str, roster: Roster, meters: Sequence[RosterMeter]) -> None:
    """Register all; waits for a head-end that is not up yet.

    Raises:
        ConfigError: the head-end refuses the token or an entry.
    """
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_S) as client:
            for path, body in requests(roster, meters):
                await _post(client, path, body)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ConfigError(f"the head-end's address: {error}") from error
    _log.info("registered %s meters at %s", len(meters), url)


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    said = False
    while True:
        try:
            response = await client.post(path, json=body)
        except httpx.TransportError as error:
            if isinstance(error, httpx.UnsupportedProtocol):
                raise
            if not said:
                _log.warning("the head-end does not answer yet: %s", error)
            said = True
        else:
            if response.is_success or response.status_code == _KNOWN_ALREADY:
                return
            if not response.is_server_error:
                name = body.get("meter") or body["gateway"]
                answer = f"{response.status_code} {response.text[:200]}"
                raise ConfigError(f"the head-end refuses {name}: {answer}")
        await asyncio.sleep(_RETRY_S)
