"""`ohmesh gateway detect`: which meters are on which lines, as sections of a configuration.

A line that is not silent is listened to, a port at every speed: what pushes needs no question. A
silent one is asked, by the question first that no other meter minds: an optical sign-on at 300
baud, a DLMS session, M-Bus addresses, Modbus units; a TCP line for Modbus units first and for DLMS
last.
Framing and questions are those of the drivers that will read the meters.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.drivers.dlms import DlmsMeter
from gateway.drivers.framing import is_p1
from gateway.drivers.line import Line, LineSettings
from gateway.drivers.listen import SPLITTERS
from gateway.drivers.mbus import ack_length, short_frame
from gateway.drivers.modbus import ModbusBus, ModbusMeter
from gateway.drivers.optical import identification_length
from gateway.drivers.registers import map_names, read_plan
from gateway.field_settings import DlmsSettings
from ohmesh.model.errors import DriverError
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

PORT_PATTERNS = ("/dev/serial/by-id/*", "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*")
_LISTENED = (
    ("p1", "p1", 115_200, "8N1"),
    ("sml", "sml", 9600, "8N1"),
    ("tic", "tic", 1200, "7E1"),
    ("tic", "tic", 9600, "7E1"),
    ("readout", "readout", 9600, "7E1"),
    ("p1", "p1", 9600, "7E1"),
    ("han", "hdlc", 2400, "8E1"),
    ("han", "hdlc", 2400, "8N1"),
    ("han", "mbus", 2400, "8E1"),
)
"""Section, framing, speed and mode, the commonest first."""
_HAN_LINES = 'framing = "{}"\nprofile = "no_han"  # or that of the meter'
_MODBUS_SPEEDS = ((9600, "8N1"), (19_200, "8E1"), (9600, "8E1"), (2400, "8N1"))
_MBUS_SPEEDS = ((2400, "8E1"), (300, "8E1"))
_DLMS_SPEEDS = ((9600, "8N1"), (2400, "8N1"))
_PUBLIC_CLIENT, _MANAGEMENT_DEVICE = 16, 1
_REGISTERS = tuple(map(Obis.parse, DlmsSettings.model_fields["objects"].default))
_SIGN_ON = b"/?!\r\n"
_NKE = 0x40


@dataclass(frozen=True, slots=True)
class Search:
    """How thorough to be.

    Attributes:
        listen_s: on each port at each speed.
        answer_s: for each question.
        sign_on_s: for the answer of an optical head, which may take 1.5 s and comes at 300 baud.
        session_s: for each answer of a DLMS meter.
        units: Modbus units to ask.
        addresses: M-Bus addresses to ask.
    """

    listen_s: float = 11.0
    answer_s: float = 0.2
    sign_on_s: float = 2.5
    session_s: float = 1.0
    units: Sequence[int] = range(1, 11)
    addresses: Sequence[int] = range(6)


@dataclass(frozen=True, slots=True)
class Find:
    """Meters on a line.

    Attributes:
        kind: section of the configuration.
        line: where.
        baud: speed of a port, None for TCP.
        mode: of a port.
        more: further lines of the section.
    """

    kind: str
    line: str
    baud: int | None
    mode: str
    more: str = ""

    def section(self, name: str) -> str:
        """The section as TOML; `name` is the source's, and a single meter's address."""
        lines = [f"[[{self.kind}]]", f'name = "{name}"', f'line = "{self.line}"']
        if self.baud is not None:
            lines += [f"baud = {self.baud}", f'mode = "{self.mode}"']
        if self.kind not in {"modbus", "mbus"}:
            lines.append(f'meter = "{name}"')
        return "\n".join(filter(None, [*lines, self.more])) + "\n"


def ports() -> list[str]:
    """Serial ports of this machine, each once, by its most lasting name."""
    found = [port for pattern in PORT_PATTERNS for port in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute patterns
    return list({_device(port): port for port in reversed(found)}.values())[::-1]


def _device(port: str) -> str:
    return str(Path(port).resolve())


async def detect(line: str, search: Search) -> Find | None:
    """What is on a line, None when nothing is. Raises DriverTransient: it cannot be opened."""
    find = None
    if await _speaks(LineSettings(line), search.listen_s):
        find = await _listen(line, search)
    ask = _ask_tcp if LineSettings(line).is_tcp else _ask_port
    return find or await ask(line, search)


def sections(finds: Sequence[Find]) -> Iterator[str]:
    """The configuration of what was found, with names of their own."""
    for number, find in enumerate(finds, 1):
        yield find.section(f"{find.kind}-{number}")


async def _ask_port(port: str, search: Search) -> Find | None:
    if found := await _sign_on(port, search):
        return found
    for baud, mode in _DLMS_SPEEDS:
        if found := await _dlms(LineSettings(port, baud, mode), search, framing="hdlc"):
            return found
    for baud, mode in _MBUS_SPEEDS:
        if found := await _mbus(LineSettings(port, baud, mode), search):
            return found
    for baud, mode in _MODBUS_SPEEDS:
        if found := await _modbus(LineSettings(port, baud, mode), search, framing="rtu"):
            return found
    return None


async def _ask_tcp(line: str, search: Search) -> Find | None:
    for framing in ("tcp", "rtu"):
        if found := await _modbus(LineSettings(line), search, framing=framing):
            return found
    if found := await _mbus(LineSettings(line), search):
        return found
    for framing in ("wrapper", "hdlc"):
        if found := await _dlms(LineSettings(line), search, framing=framing):
            return found
    return None


async def _listen(line: str, search: Search) -> Find | None:
    """At every speed of a port; a TCP line has one."""
    for kind, framing, baud, mode in _LISTENED:
        settings = LineSettings(line, baud, mode)
        telegram = await _heard(settings, framing, search.listen_s)
        if not telegram or (kind in {"p1", "readout"} and is_p1(telegram) != (kind == "p1")):
            continue
        return _find(kind, settings, _HAN_LINES.format(framing) if kind == "han" else "")
    return None


def _find(kind: str, line: LineSettings, more: str = "") -> Find:
    if line.is_tcp:
        return Find(kind, line.line, None, "", more)
    return Find(kind, line.line, line.baud, line.mode, more)


@contextlib.asynccontextmanager
async def _open(settings: LineSettings) -> AsyncIterator[Line]:
    line = await Line.open(settings)
    try:
        yield line
    finally:
        line.close()


async def _speaks(settings: LineSettings, listen_s: float) -> bool:
    """Whether a byte comes unasked, at whatever speed."""
    try:
        async with _open(settings) as line:
            return bool(await line.read(listen_s))
    except TimeoutError:
        return False


async def _heard(settings: LineSettings, framing: str, listen_s: float) -> bytes:
    """The first whole telegram that comes unasked, empty for none."""
    splitter = SPLITTERS[framing]()
    with contextlib.suppress(TimeoutError):
        async with _open(settings) as line, asyncio.timeout(listen_s):
            while True:
                for telegram in splitter.feed(await line.read()):
                    return telegram
    return b""


async def _sign_on(port: str, search: Search) -> Find | None:
    settings = LineSettings(port, 300, "7E1")
    with contextlib.suppress(TimeoutError, DriverError):
        async with _open(settings) as line:
            await line.ask(_SIGN_ON, identification_length, timeout_s=search.sign_on_s, echo=True)
            return _find("optical", LineSettings(port, 9600, "7E1"))
    return None


async def _dlms(settings: LineSettings, search: Search, *, framing: str) -> Find | None:
    """The management device, asked by the public client."""
    meter = DlmsMeter(
        meter="",
        profile="",
        objects=_REGISTERS,
        client=_PUBLIC_CLIENT,
        server=_MANAGEMENT_DEVICE,
        password="",
        hdlc=framing == "hdlc",
        timeout_s=search.session_s,
    )
    try:
        async with _open(settings) as line:
            admitted = await meter.admits(line)
            open_to_all = admitted and await _reads(meter, line)
    except (TimeoutError, DriverError):
        return None
    more = f'framing = "{framing}"'
    if not open_to_all:
        more += '\npassword = ""  # it wants one: of the low-level security'
    return _find("dlms", settings, more)


async def _reads(meter: DlmsMeter, line: Line) -> bool:
    """Whether the meter shows a register: many let everybody in, and show them the clock only."""
    with contextlib.suppress(TimeoutError, DriverError):
        return bool(await meter.ask(line, 0))
    return False


async def _mbus(settings: LineSettings, search: Search) -> Find | None:
    found = []
    async with _open(settings) as line:
        for number in search.addresses:
            with contextlib.suppress(TimeoutError, DriverError):
                request = short_frame(_NKE, number)
                await line.ask(request, ack_length, timeout_s=search.answer_s, echo=True)
                found.append(number)
            line.check()
    if not found:
        return None
    return _find("mbus", settings, f"meters = [{', '.join(map(_quoted, _ranges(found)))}]")


async def _modbus(settings: LineSettings, search: Search, *, framing: str) -> Find | None:
    """The units that answer, each with the first map whose registers it has."""
    bus = ModbusBus((), timeout_s=search.answer_s, framing=framing)
    maps: dict[str, list[int]] = {}
    seen: set[bytes] = set()
    with contextlib.suppress(DriverError):
        async with _open(settings) as line:
            for unit in search.units:
                name, data = await _map_of(bus, line, unit)
                same = settings.is_tcp and data in seen
                seen.add(data)
                if name and not same:  # a meter with a TCP port of its own answers as any unit
                    maps.setdefault(name, []).append(unit)
                line.check()
    if not maps:
        return None
    units = [
        f'{{ units = "{",".join(_ranges(found))}", map = "{name}" }}'
        for name, found in maps.items()
    ]
    more = 'framing = "rtu"\n' if settings.is_tcp and framing == "rtu" else ""
    return _find("modbus", settings, f"{more}meters = [{', '.join(units)}]")


async def _map_of(bus: ModbusBus, line: Line, unit: int) -> tuple[str, bytes]:
    """The first map whose registers a unit has, and what they hold; empty for none."""
    for name in sorted(map_names(), key=_sureness, reverse=True):
        meter = ModbusMeter(unit, f"unit-{unit}", "", read_plan(name))
        try:
            data = await bus.whole(line, meter)
        except TimeoutError:
            return "", b""
        except DriverError:
            continue
        if data:
            return name, data
    return "", b""


def _sureness(name: str) -> tuple[bool, int]:
    """SunSpec meters say what they are; of the others the one with the most registers is surest."""
    plan = read_plan(name)
    return bool(plan.sunspec), sum(count for _, count in plan.blocks)


def _ranges(numbers: Sequence[int]) -> list[str]:
    """1, 2, 3, 7 as 1-3, 7."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return [str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in ranges]


def _quoted(text: str) -> str:
    return f'"{text}"'
