"""The bench port: telegrams from a test bench, one JSON object a line, answered after the commit.

Lines that arrive together share one commit; each has an answer of its own, in their order.

    {"meter": "M1", "profile": "nl_dsmr", "payload_hex": "2f..", "received_at_ms": 1767225600000}
    {"ok": true, "epoch": 5577006791947779410, "seq": 0}

`received_at_ms` may be absent. `profile` is a hint and may be empty: the head-end decodes by the
profile under which the meter is registered, and the gateway has no list of profiles, so any name is
taken. An empty payload is refused: no meter says nothing. Whatever else comes
is answered `{"ok": false, "error": "..."}`; a line over 132 096 bytes, twice the largest telegram
and the rest of the line, ends the connection after that answer. Whoever reaches the port can put in
readings, so it is closed unless it is configured, and then on loopback unless told otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from ohmesh.model.errors import DriverPermanent, ModelError, OutboxFull, StoreError
from ohmesh.model.ids import Address, address
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.uplink import MAX_TELEGRAM_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.outbox import Outbox

_log = logging.getLogger(__name__)

LINE_BYTES_MAX = 2 * MAX_TELEGRAM_BYTES + 1024
_CONNECTIONS_MAX = 64
_READ_BYTES = 1 << 16


class _Line(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    meter: str
    profile: str
    payload_hex: str
    received_at_ms: int | None = None


class _Taken(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool = True
    epoch: int
    seq: int


class _Refused(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool = False
    error: str


_decoder = msgspec.json.Decoder(_Line)
_encoder = msgspec.json.Encoder()


def parse_line(line: bytes, now_ms: int) -> Telegram:
    """The telegram of one line. Raises ModelError, whatever the bytes."""
    try:
        fields = _decoder.decode(line)
        payload = bytes.fromhex(fields.payload_hex)
    except (msgspec.DecodeError, ValueError) as error:
        raise ModelError(str(error)) from error
    if not payload:
        raise ModelError("payload_hex is empty; give the telegram's bytes as hexadecimal digits")
    received_at_ms = now_ms if fields.received_at_ms is None else fields.received_at_ms
    meter: Address = address(fields.meter)
    return Telegram(TelegramKind.METER, "bench", meter, fields.profile, received_at_ms, payload)


class BenchPort:
    """A TCP server that feeds the outbox."""

    def __init__(self, outbox: Outbox, *, clock_ms: Callable[[], int]) -> None:
        """Args: clock_ms: UTC milliseconds since 1970."""
        self._outbox = outbox
        self._clock_ms = clock_ms
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None] | None] = set()

    async def open(self, host: str, port: int) -> None:
        """Take the port; nobody is served before `run`. Raises DriverPermanent: it is taken."""
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=LINE_BYTES_MAX, start_serving=False
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise DriverPermanent(
                f"the bench port {host}:{port} cannot be opened: {reason};"
                " stop the program that has it, or choose another bench.port"
            ) from error

    async def run(self) -> None:
        """Serve until cancelled; after `open`."""
        assert self._server is not None
        async with self._server:
            bound = self._server.sockets[0].getsockname()
            _log.info("the bench port is open on %s:%d", bound[0], bound[1])
            try:
                await self._server.serve_forever()
            finally:
                await self._leave()

    async def _leave(self) -> None:
        clients = [task for task in self._clients if task is not None]
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        self._clients.add(me)
        try:
            if len(self._clients) > _CONNECTIONS_MAX:
                await _answer(writer, _Refused(error="too many connections"))
            else:
                await self._converse(reader, writer)
        except ConnectionError:
            _log.debug("a bench client is gone")
        except asyncio.CancelledError:
            _log.debug("leaving a bench client")  # only `_leave` cancels, and waits for the end
        finally:
            self._clients.discard(me)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        while octets := await reader.read(_READ_BYTES):
            *lines, rest = (rest + octets).split(b"\n")
            short = [*takewhile(_is_short, lines)]
            if short:
                await _answer(writer, *await self._take(short))
            if len(short) < len(lines) or not _is_short(rest):
                await _answer(writer, _Refused(error=f"a line over {LINE_BYTES_MAX} bytes"))
                return

    async def _take(self, lines: list[bytes]) -> list[_Taken | _Refused]:
        now_ms = self._clock_ms()
        parsed = [_parsed(line, now_ms) for line in lines]
        telegrams = [one for one in parsed if isinstance(one, Telegram)]
        answers = iter(await self._commit(telegrams) if telegrams else [])
        return [one if isinstance(one, _Refused) else next(answers) for one in parsed]

    async def _commit(self, telegrams: list[Telegram]) -> list[_Taken | _Refused]:
        """All at once; one after the other where one of them, or their number, is refused."""
        try:
            epoch, seqs = await self._outbox.append(telegrams)
        except (ModelError, OutboxFull) as error:
            if len(telegrams) == 1:
                return [_Refused(error=str(error))]
            return [answer for one in telegrams for answer in await self._commit([one])]
        except StoreError as error:
            return [_Refused(error=str(error)) for _ in telegrams]
        return [_Taken(epoch=epoch, seq=seq) for seq in seqs]


def _is_short(line: bytes) -> bool:
    return len(line) <= LINE_BYTES_MAX


def _parsed(line: bytes, now_ms: int) -> Telegram | _Refused:
    try:
        return parse_line(line, now_ms)
    except ModelError as error:
        return _Refused(error=str(error))


async def _answer(writer: asyncio.StreamWriter, *answers: _Taken | _Refused) -> None:
    # A list: msgspec 0.22 keeps 48 bytes for ever of each call with anything else.
    writer.write(_encoder.encode_lines([*answers]))
    await writer.drain()
