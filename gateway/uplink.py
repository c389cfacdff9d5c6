"""Outbox to head-end: batches up, acknowledgements down, and the gateway's own state.

A thin pump around `gateway.sending.Sender`: the broker's acknowledgement only starts the waiting
time for the head-end's, and only the head-end's frees rows.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.mqtt import Link, LinkError, Message
from gateway.sending import Send, Sender
from ohmesh.model.errors import StoreError, WireError
from ohmesh.wire import topics
from ohmesh.wire.uplink import Again, decode_ack, encode_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.outbox import Outbox
    from ohmesh.model.ids import GatewayId
    from ohmesh.model.telegram import Telegram
    from ohmesh.wire.uplink import Ack

_log = logging.getLogger(__name__)

_BATCH_BYTES = 256 * 1024
"""Payload in one batch, before compression."""
_PAUSE_S = 1.0
"""After an error of the disk or the connection."""
_STATE_PERIOD_S = 30.0
_TURN_S = 15.0
"""The loop turns at least so often; the watchdog looks at it."""
_DEPARTURES_MAX = 1000
_CLOCK_PAUSE_S = 5.0
"""Between two looks at a clock that is not right yet."""


class Uplink:
    """The way up of one gateway."""

    def __init__(
        self,
        gateway: GatewayId,
        outbox: Outbox,
        sender: Sender,
        *,
        dated: Callable[[Telegram], Telegram | None] = lambda telegram: telegram,
    ) -> None:
        """Args: dated: gives a telegram as it travels, None while its time cannot be told."""
        self._gateway = gateway
        self._outbox = outbox
        self._sender = sender
        self._dated = dated
        self._clockless = False
        self._wake = asyncio.Event()
        self._up = False
        self._asked: Ack | None = None
        self._turned_ms = _monotonic_ms()
        self._departures: deque[tuple[int, int, int]] = deque(maxlen=_DEPARTURES_MAX)
        self.on_acknowledged: Callable[[float], None] = lambda _: None
        """Told for each batch how many seconds its acknowledgement took."""
        outbox.on_commit = self._wake.set

    def take_ack(self, octets: bytes) -> None:
        """Bytes of the topic `ack`; garbage is counted by a log line and dropped."""
        try:
            ack = decode_ack(octets)
        except WireError as error:
            _log.warning("not an acknowledgement: %s", error)
            return
        if ack.again is not Again.NOTHING:
            self._asked = ack
            self._wake.set()
        elif self._outbox.acknowledge(ack.epoch, ack.through):
            self._note_arrivals(ack)
            self._wake.set()

    def _note_arrivals(self, ack: Ack) -> None:
        while self._departures:
            epoch, end_seq, departed_ms = self._departures[0]
            if epoch == ack.epoch and end_seq > ack.through:
                return
            self._departures.popleft()
            if epoch == ack.epoch:
                self.on_acknowledged((_monotonic_ms() - departed_ms) / 1000)

    @property
    def idle_s(self) -> float:
        """Since when the loop has not turned; it does every few seconds, or it hangs."""
        return (_monotonic_ms() - self._turned_ms) / 1000

    def connection_changed(self, up: bool) -> None:  # noqa: FBT001 - up or down
        """The connection is there, or gone; what was sent on the last one does not count."""
        self._up = up
        self._sender.restart()
        self._departures.clear()
        self._wake.set()

    def state_message(self, state: str) -> Message:
        """The retained word on this gateway: `online` or `offline`, epoch, backlog."""
        outbox = self._outbox.state
        document = {"state": state, "epoch": outbox.epoch, "backlog": outbox.backlog}
        payload = json.dumps(document).encode()
        return Message(topics.gateway_topic(self._gateway, "state"), payload, qos=1, retain=True)

    async def run(self, link: Link) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_for_ever(link), name="uplink-send")
            tasks.create_task(self._tell_state_for_ever(link), name="uplink-state")

    async def _send_for_ever(self, link: Link) -> None:
        while True:
            self._wake.clear()
            self._turned_ms = _monotonic_ms()
            if self._asked is not None:
                await self._begin_again(self._asked)
            state = self._outbox.state
            urgent = self._outbox.urgent
            self._sender.observe(state.epoch, state.acked_through, state.next_seq, urgent)
            now_ms = _monotonic_ms()
            step = self._sender.step(now_ms)
            if not self._up:
                await self._sleep(None)
            elif isinstance(step, Send):
                await self._send(link, step)
            else:
                await self._sleep(None if step.until_ms is None else step.until_ms - now_ms)

    async def _begin_again(self, asked: Ack) -> None:
        """The head-end was restored from a back-up, and wants what it has lost."""
        try:
            from_seq = None if asked.again is Again.ALL else asked.through
            rows = await self._outbox.send_again(asked.epoch, from_seq)
        except StoreError as error:
            _log.error("what the head-end asks for again cannot be read: %s", error)
            await asyncio.sleep(_PAUSE_S)
            return
        self._asked = None
        if rows:
            _log.warning("the head-end asks again: %d telegrams go up once more", rows)

    async def _send(self, link: Link, step: Send) -> None:
        epoch, acked = self._outbox.state.epoch, self._outbox.state.acked_through
        try:
            telegrams = await self._outbox.batch(
                step.first_seq, limit=step.limit, max_bytes=_BATCH_BYTES
            )
            if not telegrams or epoch != self._outbox.state.epoch:
                return
            telegrams = self._datable(telegrams)
            if not telegrams:
                await asyncio.sleep(_CLOCK_PAUSE_S)
                return
            payload = encode_batch(
                self._gateway, epoch, step.first_seq, telegrams, acked=max(0, acked)
            )
            await link.publish(Message(topics.gateway_topic(self._gateway, "up"), payload, qos=1))
        except LinkError:
            await self._sleep(_PAUSE_S * 1000)
        except StoreError as error:
            _log.error("the outbox cannot be read: %s", error)
            await asyncio.sleep(_PAUSE_S)
        else:
            self._sender.sent(epoch, step, len(telegrams), _monotonic_ms())
            end_seq = step.first_seq + len(telegrams)
            self._departures.append((epoch, end_seq, _monotonic_ms()))

    def _datable(self, telegrams: list[Telegram]) -> list[Telegram]:
        """Those up to the first whose time cannot be told yet."""
        found = [*itertools.takewhile(bool, map(self._dated, telegrams))]
        if not found and not self._clockless:
            _log.error("telegrams wait for the clock: let systemd-timesyncd or chrony set it")
        self._clockless = not found
        return [telegram for telegram in found if telegram]

    async def _sleep(self, wait_ms: float | None) -> None:
        """Until something happens, or the time is over; never so long that it looks dead."""
        wait_s = _TURN_S if wait_ms is None else min(_TURN_S, wait_ms / 1000)
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _tell_state_for_ever(self, link: Link) -> None:
        told = -1
        while True:
            await asyncio.sleep(_STATE_PERIOD_S)
            backlog = self._outbox.state.backlog
            if backlog != told and link.up:
                try:
                    await link.publish(self.state_message("online"))
                    told = backlog
                except LinkError as error:
                    _log.debug("state not told: %s", error)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
