"""A line to field devices: a serial port or a TCP connection, bytes in and bytes out.

A line is a path, `tcp://host:port`, or a pattern such as `/dev/serial/by-id/usb-FTDI*`: it is
looked up each time the line is opened, so that an adapter that was unplugged is found again under
another name. A port is locked while it is open. At `_INBOX_BYTES_MAX` unread bytes the line is not
read any more until they are taken: a device that talks for ever costs no memory.

The standard library has all that is needed (`termios`), so a gateway takes no serial package.
"""

from __future__ import annotations

import asyncio
import fcntl
import glob
import os
import socket
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ohmesh.model.errors import ConfigError, DriverTransient

if TYPE_CHECKING:
    from collections.abc import Callable

_INBOX_BYTES_MAX = 64 * 1024
_ANSWER_BYTES_MAX = 2048
_CONNECT_S = 10.0
_FULL_PAUSE_S = 0.01
_TCP = "tcp://"
_BYTE_BITS = 11
"""Start, eight data, parity and stop."""
SPEEDS = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
MODES = ("8N1", "8E1", "8O1", "8N2", "7E1")
_SIZES = {"7": termios.CS7, "8": termios.CS8}
_PARITIES = {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Which line, and how it speaks.

    Attributes:
        line: path, pattern, or `tcp://host:port`.
        baud: of a serial port.
        mode: of a serial port: data bits, parity, stop bits.
    """

    line: str
    baud: int = 9600
    mode: str = "8N1"

    @property
    def is_tcp(self) -> bool:
        """Whether it is a TCP connection."""
        return self.line.startswith(_TCP)


class _Inbox(asyncio.Protocol):
    """What has arrived, and whether the line is still there."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.news = asyncio.Event()
        self.lost: str | None = None
        self._transport: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.ReadTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.octets += data
        self.news.set()
        if len(self.octets) >= _INBOX_BYTES_MAX and self._transport:
            self._transport.pause_reading()

    def take(self) -> bytes:
        """All that has arrived."""
        octets = bytes(self.octets)
        self.octets.clear()
        if self._transport and self.lost is None and not self._transport.is_reading():
            self._transport.resume_reading()
        return octets

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or (str(exc) if exc else "the other end hung up")
        self.news.set()


class Line:
    """An open line."""

    def __init__(self, name: str, inbox: _Inbox, transport: asyncio.BaseTransport) -> None:
        """Use `open`."""
        self.name = name
        self._inbox = inbox
        self._transport = transport
        self._port: int | None = None
        self.baud = 0

    @classmethod
    async def open(cls, settings: LineSettings) -> Self:
        """Open it. Raises DriverTransient: it is not there, or another program has it."""
        try:
            if settings.is_tcp:
                return await cls._connect(*tcp_address(settings.line), settings.line)
            return await cls._open_port(settings)
        except TimeoutError:
            raise DriverTransient(f"{settings.line} does not answer") from None
        except (OSError, termios.error) as error:
            raise DriverTransient(f"{settings.line}: {_reason(error)}") from error

    @classmethod
    async def _connect(cls, host: str, port: int, name: str) -> Self:
        inbox = _Inbox()
        async with asyncio.timeout(_CONNECT_S):
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: inbox, host, port)
        return cls(name, inbox, transport)

    @classmethod
    async def _open_port(cls, settings: LineSettings) -> Self:
        inbox = _Inbox()
        port = os.open(find_port(settings.line), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
            set_speed(port, settings.baud, settings.mode)
            termios.tcflush(port, termios.TCIFLUSH)
            stream = os.fdopen(port, "rb", buffering=0)
        except BaseException:
            os.close(port)
            raise
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: inbox, stream)
        line = cls(settings.line, inbox, transport)
        line._port, line.baud = port, settings.baud
        return line

    def close(self) -> None:
        """Let go of it; a port can be opened again at once."""
        if self._port is not None and not self._transport.is_closing():
            fcntl.flock(self._port, fcntl.LOCK_UN)  # the loop closes the file a moment later
        self._transport.close()

    def set_speed(self, baud: int, mode: str) -> None:
        """Change a serial port's speed; a TCP line keeps its own. Raises DriverTransient."""
        if self._port is None:
            return
        try:
            set_speed(self._port, baud, mode)
        except (OSError, termios.error) as error:
            raise DriverTransient(f"{self.name}: {_reason(error)}") from error
        self.baud = baud

    async def read(self, timeout_s: float | None = None) -> bytes:
        """What has arrived, at least a byte. Raises TimeoutError, DriverTransient: it is gone."""
        inbox = self._inbox
        if not inbox.octets:
            self.check()
            inbox.news.clear()
            async with asyncio.timeout(timeout_s):
                await inbox.news.wait()
        if not inbox.octets:
            self.check()
        return inbox.take()

    async def write(self, octets: bytes) -> None:
        """Send. Raises DriverTransient: it is gone."""
        self.check()
        if self._port is None:
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(octets)
            return
        left = memoryview(octets)
        while left:
            try:
                left = left[os.write(self._port, left) :]
            except BlockingIOError:
                await asyncio.sleep(_FULL_PAUSE_S)
            except OSError as error:
                raise DriverTransient(f"{self.name}: {_reason(error)}") from error

    async def sent(self, octets: int) -> None:
        """Wait for the time that so many bytes take on a serial line: it may change speed then."""
        if self._port is not None:
            await asyncio.sleep(octets * _BYTE_BITS / self.baud)

    async def ask(
        self,
        request: bytes,
        complete: Callable[[bytes], int | None],
        *,
        timeout_s: float,
        echo: bool = False,
        bytes_max: int = _ANSWER_BYTES_MAX,
    ) -> bytes:
        """Send a request and wait for its answer; what arrived before is thrown away.

        Args:
            request: what to send, empty to listen only.
            complete: length of the answer in what has arrived, None while it is not whole.
            timeout_s: for the whole answer, however slowly or how much the device speaks.
            echo: the device may send the request back first.
            bytes_max: of the answer with all noise before it.

        Raises:
            TimeoutError: no whole answer in time.
            DriverTransient: the line is gone, or nothing but noise comes.
        """
        heard = bytearray()
        async with asyncio.timeout(timeout_s):
            if request:
                self._inbox.take()
                await self.write(request)
            while True:
                heard += await self.read()
                if echo and heard.startswith(request):
                    del heard[: len(request)]
                    echo = False
                length = complete(bytes(heard))
                if length is not None:
                    self._inbox.octets[:0] = heard[length:]
                    return bytes(heard[:length])
                if len(heard) > bytes_max:
                    raise DriverTransient(f"{len(heard)} bytes without an answer in them")

    def check(self) -> None:
        """Raises DriverTransient: the line is gone."""
        if self._inbox.lost is not None:
            raise DriverTransient(f"{self.name} is gone: {self._inbox.lost}")


def now_ms() -> int:
    """Monotonic milliseconds."""
    return time.monotonic_ns() // 1_000_000


def tcp_address(line: str) -> tuple[str, int]:
    """Host and port of `tcp://host:port`. Raises ConfigError."""
    host, _, port = line.removeprefix(_TCP).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ConfigError(f"{line!r} is not tcp://host:port")
    return host.strip("[]"), int(port)


def find_port(pattern: str) -> str:
    """The first port that a pattern names, the pattern itself if there is none."""
    found = sorted(glob.glob(pattern))  # noqa: PTH207 - a pattern may be absolute, which Path.glob refuses
    return found[0] if found else pattern


def set_speed(port: int, baud: int, mode: str) -> None:
    """Make an open port raw, with a speed and a mode of `MODES`."""
    iflag, oflag, cflag, lflag = 0, 0, termios.CREAD | termios.CLOCAL, 0
    cflag |= _SIZES[mode[0]] | _PARITIES[mode[1]] | (termios.CSTOPB if mode[2] == "2" else 0)
    speed = getattr(termios, f"B{baud}")
    control = termios.tcgetattr(port)[6]
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    attributes = [iflag, oflag, cflag, lflag, speed, speed, control]
    try:
        termios.tcsetattr(port, termios.TCSADRAIN, attributes)
    except termios.error:  # a virtual port has no parity, and says so when nothing else is changed
        if termios.tcgetattr(port)[4] != speed:
            raise


_FIXES: dict[type[Exception], str] = {
    FileNotFoundError: "plug it in, or correct `line` (ls /dev/serial/by-id)",
    PermissionError: "add this user to the group dialout",
    socket.gaierror: "correct the host in `line`",
}


def _reason(error: Exception) -> str:
    """What is wrong, and what to do where that can be told."""
    if isinstance(error, termios.error):
        return "it is no serial port; correct `line`"
    if isinstance(error, BlockingIOError):
        return "another program has it open; stop that first"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; start the device server, or correct the port in `line`"
    fix = _FIXES.get(type(error))
    return f"{_text(error)}; {fix}" if fix else _text(error)


def _text(error: Exception) -> str:
    """The system's words; a resolver's numbers are its own."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)
