"""A gateway's bench port as target: every line is answered after it is committed."""

from __future__ import annotations

import json
import logging
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from meter_sim.capture.benchline import BenchLine, encode_line
from meter_sim.capture.record import BENCH, MQTT, Record
from meter_sim.replay.target import Account, TargetGoneError
from ohmesh.model.errors import WireError
from ohmesh.model.telegram import TelegramKind
from ohmesh.wire.uplink import decode_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WINDOW = 256
"""Lines that may be unanswered; the gateway reads one after the other."""
FLUSH_BYTES = 8192
_RETRY_S = 0.3
_CONNECT_S = 5.0
_READ_BYTES = 1 << 16
_TURN_S = 1.0
_log = logging.getLogger(__name__)


class BenchTarget:
    """Feeds `bench` records, and the telegrams in uplink batches.

    After a connection was lost, unanswered lines go again: the gateway may have committed some
    of them, and then has them twice under two numbers; the head-end stores a reading once.

    Args:
        host, port: of the bench port.
        patience_s: how long the gateway may be away before the replay ends.
        answered: told (epoch, sequence number) of each committed line, in order.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        patience_s: float,
        answered: Callable[[Record, int, int], None] | None = None,
    ) -> None:
        self.account = Account()
        self._place = (host, port)
        self._patience_s = patience_s
        self._answered = answered
        self._socket: socket.socket | None = None
        self._unanswered: deque[Record] = deque()
        self._outgoing = bytearray()
        self._rest = b""
        self._connect()

    def parts(self, record: Record) -> Sequence[Record]:
        """A bench line, or those that an uplink batch makes."""
        return tuple(_lines(record))

    def send(self, record: Record) -> None:
        """Feed one line, when there is room for it."""
        if len(self._unanswered) >= WINDOW:
            self._make_room()
        elif len(self._outgoing) >= FLUSH_BYTES:
            self.pump(0)  # the gateway works while we make the next lines
        self.account.sent += 1
        self._put(record)

    def _make_room(self) -> None:
        """Half of the window at once: a turn for each line would cost a system call for each."""
        while len(self._unanswered) > WINDOW // 2:
            self.pump(_TURN_S)

    def pump(self, wait_s: float) -> None:
        """Send, and take answers."""
        assert self._socket is not None
        writers = [self._socket] if self._outgoing else []
        try:
            readable, writable, _ = select.select([self._socket], writers, [], wait_s)
            if writable:
                del self._outgoing[: self._socket.send(self._outgoing)]
            if readable:
                self._receive()
        except OSError as error:
            _log.warning("the bench port at %s:%s is lost: %s", *self._place, error)
            self._connect_again()

    def finish(self) -> None:
        """Wait for the last answer."""
        while self._unanswered:
            self.pump(_TURN_S)

    def close(self) -> None:
        """Close the connection."""
        self.account.undelivered.extend(self._unanswered)
        self._unanswered.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _put(self, record: Record) -> None:
        self._unanswered.append(record)
        self._outgoing += record.payload + b"\n"

    def _receive(self) -> None:
        assert self._socket is not None
        octets = self._socket.recv(_READ_BYTES)
        if not octets:
            raise ConnectionError("closed by the gateway")
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            self._answer(json.loads(line))

    def _answer(self, answer: dict[str, object]) -> None:
        if not self._unanswered:
            return
        record = self._unanswered.popleft()
        if not answer.get("ok"):
            self.account.refuse(record, str(answer.get("error")))
            return
        self.account.took(record)
        if self._answered is not None:
            self._answered(record, int(str(answer["epoch"])), int(str(answer["seq"])))

    def _connect(self) -> None:
        try:
            self._socket = socket.create_connection(self._place, _CONNECT_S)
        except OSError as error:
            host, port = self._place
            raise TargetGoneError(f"no bench port at {host}:{port}: {error}") from None
        self._socket.setblocking(False)  # noqa: FBT003 - the library's own signature

    def _connect_again(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._outgoing.clear()
        self._rest = b""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                self._connect()
                break
            except TargetGoneError as error:
                self._socket = None
                if time.monotonic() > deadline:
                    raise TargetGoneError(f"{error}; waited {self._patience_s:g} s") from None
                time.sleep(_RETRY_S)
        self.account.resent += len(self._unanswered)
        for record in self._unanswered:
            self._outgoing += record.payload + b"\n"


def _lines(record: Record) -> Iterator[Record]:
    """The record as lines of a bench port; none when it holds no telegram of a meter."""
    if record.kind == BENCH:
        yield record
    elif record.kind == MQTT and record.place.endswith("/up"):
        try:
            telegrams = decode_batch(record.payload).telegrams()
        except WireError:
            return
        for one in telegrams:
            if one.kind is TelegramKind.METER:
                line = BenchLine(one.meter, one.profile, one.payload.hex(), one.received_at_ms)
                yield Record(record.at_us, f"{BENCH} {one.meter}", encode_line(line))
