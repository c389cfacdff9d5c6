"""A radio modem on a serial line: the air of the mesh without a broker.

Frames travel in SLIP (RFC 1055): C0 ends one, DB DC is C0 and DB DD is DB inside it.

    to the modem     01 | frame | FCS 2            send this
    from the modem   02 | RSSI 1 | frame | FCS 2   heard this; RSSI in dBm, signed

The FCS is CRC-16/X.25 over what stands before it, low byte first. Whatever else comes, as the
modem's own greetings, is counted and dropped. A modem that was unplugged is looked for again for
ever; what the root wanted to send meanwhile is lost, as on any radio.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from gateway.drivers.crc import crc16_x25
from gateway.drivers.line import Line
from gateway.mqtt import LinkError
from ohmesh.model.errors import DriverError, DriverTransient

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.drivers.line import LineSettings
    from ohmesh.program.backoff import Backoff

_log = logging.getLogger(__name__)

END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
SEND, HEARD = 0x01, 0x02
FRAME_BYTES_MAX = 512
_BUFFER_BYTES_MAX = 4 * FRAME_BYTES_MAX
_FCS_BYTES = 2


def slip(content: bytes) -> bytes:
    """Content with its FCS as one SLIP frame; an END before it ends any noise on the line."""
    whole = content + crc16_x25(content).to_bytes(_FCS_BYTES, "little")
    return END + whole.replace(ESC, ESC_ESC).replace(END, ESC_END) + END


class SlipReader:
    """Bytes in, contents out whose FCS fits."""

    def __init__(self) -> None:
        self.dropped = 0
        self._buffer = b""

    def feed(self, octets: bytes) -> list[bytes]:
        """Take bytes in any pieces."""
        *frames, self._buffer = (self._buffer + octets).split(END)
        if len(self._buffer) > _BUFFER_BYTES_MAX:
            self.dropped += 1
            self._buffer = b""
        return [content for frame in frames if frame and (content := self._content(frame))]

    def _content(self, frame: bytes) -> bytes:
        """Empty when it is none."""
        whole = frame.replace(ESC_END, END).replace(ESC_ESC, ESC)
        content, fcs = whole[:-_FCS_BYTES], whole[-_FCS_BYTES:]
        if crc16_x25(content) != int.from_bytes(fcs, "little"):
            self.dropped += 1
            return b""
        return content


class RadioModem:
    """One modem, kept up until its task is cancelled."""

    def __init__(
        self,
        settings: LineSettings,
        backoff: Backoff,
        *,
        on_frame: Callable[[bytes, int], None],
    ) -> None:
        """Args: on_frame: gets each frame and its RSSI in dBm."""
        self._settings = settings
        self._backoff = backoff
        self._on_frame = on_frame
        self._line: Line | None = None
        self._quiet = False
        self.counts: Counter[str] = Counter()
        """`dropped`: what came damaged or was of no kind that we know."""

    @property
    def up(self) -> bool:
        """True while the port is open."""
        return self._line is not None

    async def send(self, frame: bytes) -> None:
        """Send a frame. Raises LinkError: there is no modem."""
        if self._line is None:
            raise LinkError("no radio modem")
        try:
            await self._line.write(slip(bytes((SEND,)) + frame))
        except DriverTransient as error:
            raise LinkError(str(error)) from error

    async def run(self) -> None:
        """Open, hear, and open again, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            try:
                await self._serve()
            except DriverError as error:
                if not self._quiet:
                    _log.warning("the radio modem is lost: %s", error)
                self._quiet = True
            await asyncio.sleep(self._backoff.failed(loop.time() - begun_s))

    async def _serve(self) -> None:
        self._line = await Line.open(self._settings)
        reader = SlipReader()
        self._quiet = False
        _log.info("the radio modem is %s", self._settings.line)
        try:
            while True:
                for content in reader.feed(await self._line.read()):
                    self._take(content)
                self.counts["dropped"] += reader.dropped
                reader.dropped = 0
        finally:
            self._line.close()
            self._line = None

    def _take(self, content: bytes) -> None:
        kind, frame = content[0], content[2:]
        if kind != HEARD or not 0 < len(frame) <= FRAME_BYTES_MAX:
            self.counts["dropped"] += 1
            return
        self._on_frame(frame, int.from_bytes(content[1:2], "big", signed=True))
