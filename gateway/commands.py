"""The pump around `gateway.downlink`: commands to their driver, reports to the outbox."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.downlink import Downlink, MeshCommand
from ohmesh.model.errors import StoreError
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.report import DeliveryReport, DeliveryStatus, encode_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.outbox import Outbox

_log = logging.getLogger(__name__)

_REPORTS_MAX = 2000
"""Reports that may wait for the outbox; more are dropped: the head-end asks again."""
_EXPIRY_PERIOD_S = 1.0


class CommandPump:
    """Commands of one gateway, from the topic to the report."""

    def __init__(
        self,
        downlink: Downlink,
        outbox: Outbox,
        *,
        clock_ms: Callable[[], int],
        submit: Callable[[MeshCommand], None],
    ) -> None:
        """Connect the parts.

        Args:
            downlink: decides.
            outbox: gets the reports.
            clock_ms: UTC milliseconds since 1970.
            submit: hands a command to the mesh; its end comes back through `ended`.
        """
        self._downlink = downlink
        self._outbox = outbox
        self._clock_ms = clock_ms
        self._submit = submit
        self._reports: asyncio.Queue[DeliveryReport] = asyncio.Queue(_REPORTS_MAX)

    def take(self, octets: bytes) -> None:
        """Bytes of the topic `down`."""
        decision = self._downlink.receive(self._clock_ms() // 1000, octets)
        if isinstance(decision, MeshCommand):
            self._submit(decision)
        elif decision is not None:
            self._report(decision)

    def ended(self, token: int, status: DeliveryStatus, detail: str) -> None:
        """A driver is done with a command."""
        report = self._downlink.ended(token, status, detail)
        if report is not None:
            self._report(report)

    async def run(self) -> None:
        """Report and expire until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._store_for_ever(), name="commands-report")
            tasks.create_task(self._expire_for_ever(), name="commands-expire")

    def _report(self, report: DeliveryReport) -> None:
        try:
            self._reports.put_nowait(report)
        except asyncio.QueueFull:
            _log.warning("too many reports on commands: one is dropped")

    async def _expire_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRY_PERIOD_S)
            for report in self._downlink.expire(self._clock_ms() // 1000):
                self._report(report)

    async def _store_for_ever(self) -> None:
        while True:
            reports = [await self._reports.get()]
            while not self._reports.empty():
                reports.append(self._reports.get_nowait())
            try:
                await self._outbox.append([self._telegram(report) for report in reports])
            except StoreError as error:
                _log.warning("%d reports on commands are dropped: %s", len(reports), error)

    def _telegram(self, report: DeliveryReport) -> Telegram:
        return Telegram(
            TelegramKind.DELIVERY,
            "gateway",
            Address(""),
            "",
            self._clock_ms(),
            encode_report(report),
        )
