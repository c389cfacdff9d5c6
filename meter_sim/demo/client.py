"""The head-end as a utility's program sees it: HTTP and a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

from meter_sim.meterfile import import_meters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meter_sim.roster import RosterMeter


_NO_RESTRICTION = {
    "pack": "unrestricted-demo",
    "notice_minutes": None,
    "stale_after_s": 4 * 86_400,
}
"""Simulated meters alone: they may be cut at any hour, without a notice, and by readings of a
calendar that runs days behind the clock."""


class HeadEnd:
    """The calls of the demo. Every refusal raises httpx.HTTPStatusError with the problem text."""

    def __init__(self, url: str, token: str) -> None:
        """Args: url: address of the API. token: an API token."""
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=20)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ready(self) -> bool:
        """True when it serves."""
        try:
            return (await self._http.get("/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def register_meter(self, meter: str, profile: str, **more: object) -> None:
        """Make one meter known."""
        await self._post("/v1/meters", {"meter": meter, "profile": profile, **more})

    async def import_meters(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Make many meters known. Raises ConfigError when one of them is refused."""
        await import_meters(self._http, rows)

    async def register_gateway(self, gateway: str) -> None:
        """Make one gateway known; a second time changes nothing."""
        await self._post("/v1/gateways", {"gateway": gateway})

    async def newest(self, meter: RosterMeter, channel: str, count: int) -> list[int]:
        """The newest values of a channel, newest first."""
        query = {"channel": channel, "order": "desc", "page_size": count}
        page = await self._get(f"/v1/meters/{meter.meter}/readings", query)
        return [row["value"] for row in page["items"]]

    async def topology(self) -> dict[int, dict[str, Any]]:
        """Nodes of the mesh by number, as the gateways reported them last."""
        return {node["node"]: node for node in (await self._get("/v1/topology"))["nodes"]}

    async def open_account(
        self, account: str, meter: str, *, currency: str, price_mu_per_kwh: int
    ) -> None:
        """Open a prepaid account; its supply stays on until its credit is used up."""
        tariff = {"currency": currency, "price_mu_per_kwh": price_mu_per_kwh}
        body = {"account": account, "meter": meter, **tariff, "terms": _NO_RESTRICTION}
        await self._post("/v1/accounts", body)

    async def add_tariff(
        self, tariff: str, currency: str, price_mu_per_kwh: int, valid_from: str | None
    ) -> None:
        """Set a price, from the beginning of time or from an instant on (ISO 8601)."""
        body = {"tariff": tariff, "currency": currency, "price_mu_per_kwh": price_mu_per_kwh}
        await self._post("/v1/tariffs", body | ({"valid_from": valid_from} if valid_from else {}))

    async def open_tariff_account(
        self, account: str, meter: str, tariff: str, rated_from: str
    ) -> None:
        """Open a prepaid account on a tariff; energy behind an instant (ISO 8601) is charged."""
        terms = {"tariff": tariff, "rated_from": rated_from}
        await self._post("/v1/accounts", {"account": account, "meter": meter, **terms})

    async def transfers(self, account: str) -> list[dict[str, Any]]:
        """The ledger lines of an account, all pages."""
        path, query = f"/v1/accounts/{account}/transfers", {"page_size": 1000}
        lines: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self._get(path, query | ({"cursor": cursor} if cursor else {}))
            lines += page["items"]
            cursor = page.get("next")
            if not cursor:
                return lines

    async def order(self, meter: str, kind: str, key: str) -> None:
        """Queue a command: `relay_off`, `read_now` ..."""
        body = {"meter": meter, "kind": kind}
        await self._post("/v1/commands", body, headers={"Idempotency-Key": key})

    async def commands(self, count: int) -> list[dict[str, Any]]:
        """The newest commands."""
        found: list[dict[str, Any]] = (await self._get("/v1/commands", {"page_size": count}))[
            "items"
        ]
        return found

    async def top_up(self, account: str, amount_mu: int, key: str) -> int:
        """Book a payment; the balance after it, in mu."""
        body = {"amount_mu": amount_mu}
        path = f"/v1/accounts/{account}/topups"
        answer = await self._post(path, body, headers={"Idempotency-Key": key})
        return int(answer["balance_mu"])

    async def account(self, account: str) -> dict[str, Any]:
        """Balance, supply wanted, relay as read back."""
        return await self._get(f"/v1/accounts/{account}")

    async def _get(self, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        return _json(await self._http.get(path, params=query))

    async def _post(
        self, path: str, body: Mapping[str, object], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        return _json(await self._http.post(path, json=body, headers=headers))


def _json(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
