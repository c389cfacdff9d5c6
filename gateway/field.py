"""From the configuration of field sources to the sources themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.drivers.dlms import DlmsMeter
from gateway.drivers.line import tcp_address
from gateway.drivers.listen import Listener
from gateway.drivers.mbus import MbusMaster, MbusMeter
from gateway.drivers.modbus import ModbusBus, ModbusMeter
from gateway.drivers.optical import OpticalMeter
from gateway.drivers.registers import read_plan
from gateway.drivers.source import Intake, Poller, Source
from gateway.field_settings import HanSettings, mbus_numbers, numbers
from ohmesh.model.errors import ConfigError
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from gateway.drivers.line import Line
    from gateway.drivers.source import Answer
    from gateway.field_settings import (
        DlmsSettings,
        FieldSections,
        MbusSettings,
        ModbusSettings,
        OpticalSettings,
        PushSettings,
    )
    from gateway.outbox import Outbox

_UNIT_MAX = 247


class Field:
    """Makes the sources of one gateway."""

    def __init__(self, outbox: Outbox, *, clock_ms: Callable[[], int]) -> None:
        """Args: clock_ms: UTC milliseconds since 1970."""
        self._outbox = outbox
        self._clock_ms = clock_ms

    def sources(self, settings: FieldSections) -> list[Source]:
        """All sources, not yet running."""
        listeners = [
            self._listener(kind, section)
            for kind in ("p1", "sml", "readout", "tic", "han")
            for section in getattr(settings, kind)
        ]
        return [
            *listeners,
            *map(self._modbus, settings.modbus),
            *map(self._mbus, settings.mbus),
            *map(self._optical, settings.optical),
            *map(self._dlms, settings.dlms),
        ]

    def _listener(self, kind: str, section: PushSettings) -> Source:
        intake = self._intake(kind, section.name)
        listener = Listener(
            intake,
            framing=section.framing if isinstance(section, HanSettings) else kind,
            meter=section.meter,
            profile=section.profile,
            period_s=section.period_s,
        )
        return Source(intake, section.line_settings, listener.serve)

    def _modbus(self, section: ModbusSettings) -> Source:
        meters = list(modbus_meters(section))
        bus = ModbusBus(
            meters,
            timeout_s=section.timeout_ms / 1000,
            framing="rtu" if section.rtu else "tcp",
        )
        return self._poller("modbus", section, [meter.address for meter in meters], bus.ask)

    def _mbus(self, section: MbusSettings) -> Source:
        meters = list(mbus_meters(section))
        master = MbusMaster(
            meters,
            timeout_s=section.timeout_ms / 1000,
            profile=section.profile,
            frames=section.frames,
        )
        return self._poller("mbus", section, [meter.address for meter in meters], master.ask)

    def _optical(self, section: OpticalSettings) -> Source:
        meter = OpticalMeter(
            device=section.device,
            meter=section.meter,
            profile=section.profile,
            baud=section.baud,
            readout_s=section.readout_s,
        )
        return self._poller("optical", section, [section.meter], meter.ask)

    def _dlms(self, section: DlmsSettings) -> Source:
        meter = DlmsMeter(
            meter=section.meter,
            profile=section.profile,
            objects=[Obis.parse(text) for text in section.objects],
            load_profile=Obis.parse(section.load_profile) if section.load_profile else None,
            history_s=section.load_profile_hours * 3600,
            client=section.client,
            server=section.server,
            password=section.password,
            hdlc=section.hdlc,
            timeout_s=section.timeout_ms / 1000,
        )
        return self._poller("dlms", section, [section.meter], meter.ask)

    def _poller(
        self,
        kind: str,
        section: ModbusSettings | MbusSettings | OpticalSettings | DlmsSettings,
        names: Sequence[str],
        ask: Callable[[Line, int], Awaitable[Answer]],
    ) -> Source:
        intake = self._intake(kind, section.name)
        poller = Poller(intake, names, period_s=section.period_s, ask=ask)
        return Source(intake, section.line_settings, poller.serve)

    def _intake(self, kind: str, name: str) -> Intake:
        return Intake(self._outbox, clock_ms=self._clock_ms, source=kind, name=f"{kind} {name}")


def modbus_meters(section: ModbusSettings) -> Iterator[ModbusMeter]:
    """The meters of a line, `NAME-UNIT` each. Raises ConfigError, ValueError."""
    for equal in section.meters:
        plan = read_plan(equal.map)
        profile = equal.profile or plan.profile
        for unit in numbers(equal.units, least=1, most=_UNIT_MAX):
            yield ModbusMeter(unit, f"{section.name}-{unit}", profile, plan)


def mbus_meters(section: MbusSettings) -> Iterator[MbusMeter]:
    """The meters of a line, `NAME-ADDRESS` each. Raises ValueError."""
    for number in mbus_numbers(section.meters):
        yield MbusMeter(number, f"{section.name}-{number}")


def check_field(settings: FieldSections) -> None:
    """Refuse what no driver could work with. Raises ConfigError with the source's name."""
    meters: Counter[str] = Counter()
    sections = [(kind, section) for kind in KINDS for section in getattr(settings, kind)]
    for kind, section in sections:
        try:
            meters.update(_addresses(kind, section))
            if section.line_settings.is_tcp:
                tcp_address(section.line)
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"{kind} {section.name}: {error}") from None
    twice = [meter for meter, count in meters.items() if count > 1]
    if twice:
        raise ConfigError(
            f"the meter {twice[0]} is named twice; give each source's meter its own name"
        )


KINDS = ("p1", "sml", "readout", "tic", "han", "modbus", "mbus", "optical", "dlms")
"""The sections of field sources."""


def _addresses(kind: str, section: ModbusSettings | MbusSettings | PushSettings) -> list[str]:
    if kind == "modbus":
        return [meter.address for meter in modbus_meters(section)]  # type: ignore[arg-type]
    if kind == "mbus":
        return [meter.address for meter in mbus_meters(section)]  # type: ignore[arg-type]
    return [section.meter]  # type: ignore[union-attr]
