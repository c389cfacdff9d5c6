"""The configuration of field sources: which lines, and which meters on them."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field

from gateway.drivers.line import MODES, SPEEDS, LineSettings
from ohmesh.model.errors import ModelError
from ohmesh.model.obis import Obis
from ohmesh.program import settings

_RANGE = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")
_SECONDARY_DIGITS: Final = 8


def _baud(value: int) -> int:
    if value not in SPEEDS:
        raise ValueError(f"{value} is none of {', '.join(map(str, SPEEDS))}")
    return value


def _obis(text: str) -> str:
    try:
        Obis.parse(text)
    except ModelError as error:
        raise ValueError(str(error)) from None
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
MeterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_ProfileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
Baud = Annotated[int, AfterValidator(_baud)]
_Mode = Annotated[str, Field(pattern=f"^({'|'.join(MODES)})$")]
_Period = Annotated[float, Field(ge=0.1, le=86_400)]
_Timeout = Annotated[int, Field(ge=10, le=60_000)]
_ObisText = Annotated[str, AfterValidator(_obis)]
_Password = Annotated[str, Field(repr=False, max_length=64)]


class _LineSection(BaseModel):
    """What every line has."""

    model_config = settings.FROZEN
    name: Name
    line: Annotated[str, Field(min_length=1)]
    baud: Baud = 9600
    mode: _Mode = "8N1"

    @property
    def line_settings(self) -> LineSettings:
        """As the line layer takes it."""
        return LineSettings(self.line, self.baud, self.mode)


class PushSettings(_LineSection):
    """A meter that speaks unasked."""

    meter: MeterName
    profile: _ProfileName
    period_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0


class P1Settings(PushSettings):
    """A customer port P1."""

    baud: Baud = 115_200
    profile: _ProfileName = "nl_dsmr"


class SmlSettings(PushSettings):
    """A head on a meter that pushes SML."""

    profile: _ProfileName = "de_sml"


class ReadoutSettings(PushSettings):
    """A head on a meter that pushes readouts (IEC 62056-21, mode D)."""

    mode: _Mode = "7E1"
    profile: _ProfileName = "de_sml"


class TicSettings(PushSettings):
    """The customer port of a Linky."""

    baud: Baud = 1200
    mode: _Mode = "7E1"
    profile: _ProfileName = "fr_linky"


class HanSettings(PushSettings):
    """A customer port that pushes DLMS."""

    baud: Baud = 2400
    framing: Annotated[str, Field(pattern="^(hdlc|mbus|glo)$")] = "hdlc"


class OpticalSettings(_LineSection):
    """A head on a meter that is asked for a readout (IEC 62056-21, modes A, B, C)."""

    meter: MeterName
    device: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ]{0,32}$")] = ""
    profile: _ProfileName = "de_sml"
    period_s: _Period = 900.0
    readout_s: Annotated[float, Field(ge=1, le=600)] = 120.0


class ModbusMeterSettings(BaseModel):
    """Equal meters on a Modbus line."""

    model_config = settings.FROZEN
    units: str
    map: str
    profile: _ProfileName = ""


class ModbusSettings(_LineSection):
    """A Modbus line with its meters."""

    framing: Annotated[str, Field(pattern="^(auto|rtu|tcp)$")] = "auto"
    period_s: _Period = 60.0
    timeout_ms: _Timeout = 1000
    meters: Annotated[tuple[ModbusMeterSettings, ...], Field(min_length=1)]

    @property
    def rtu(self) -> bool:
        """Whether frames are those of RTU."""
        return self.framing == "rtu" or (self.framing == "auto" and not self.line_settings.is_tcp)


class MbusSettings(_LineSection):
    """An M-Bus line with its meters."""

    baud: Baud = 2400
    mode: _Mode = "8E1"
    profile: _ProfileName = "eu_mbus"
    period_s: _Period = 900.0
    timeout_ms: _Timeout = 1000
    frames: Annotated[int, Field(ge=1, le=16)] = 1
    meters: Annotated[tuple[str, ...], Field(min_length=1)]


class DlmsSettings(_LineSection):
    """A line to a DLMS meter that is asked."""

    meter: MeterName
    profile: _ProfileName = "kr_dlms"
    objects: Annotated[tuple[_ObisText, ...], Field(min_length=1)] = ("1-0:1.8.0", "1-0:2.8.0")
    load_profile: _ObisText | Literal[""] = ""
    load_profile_hours: Annotated[int, Field(ge=1, le=1440)] = 24
    client: Annotated[int, Field(ge=1, le=127)] = 16
    server: Annotated[int, Field(ge=1, le=16_383)] = 1
    password: _Password = ""
    framing: Annotated[str, Field(pattern="^(auto|hdlc|wrapper)$")] = "auto"
    period_s: _Period = 900.0
    timeout_ms: _Timeout = 3000

    @property
    def hdlc(self) -> bool:
        """Whether frames are those of HDLC."""
        return self.framing == "hdlc" or (self.framing == "auto" and not self.line_settings.is_tcp)


class FieldSections(settings.ProgramSettings):
    """The part of the gateway's settings that is about field sources."""

    p1: tuple[P1Settings, ...] = ()
    sml: tuple[SmlSettings, ...] = ()
    readout: tuple[ReadoutSettings, ...] = ()
    tic: tuple[TicSettings, ...] = ()
    han: tuple[HanSettings, ...] = ()
    optical: tuple[OpticalSettings, ...] = ()
    modbus: tuple[ModbusSettings, ...] = ()
    mbus: tuple[MbusSettings, ...] = ()
    dlms: tuple[DlmsSettings, ...] = ()


def numbers(text: str, *, least: int, most: int) -> list[int]:
    """The numbers of `1-40, 45`, in that order. Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match:
            raise ValueError(f"{text!r} is not like 1-40,45")
        first = int(match[1])
        last = int(match[2] or first)
        if not least <= first <= last <= most:
            raise ValueError(f"{part.strip()!r} is not within {least} to {most}")
        found += range(first, last + 1)
    return found


def mbus_numbers(texts: tuple[str, ...]) -> list[str]:
    """Primary addresses, spelled out from their ranges, and secondary ones. Raises ValueError."""
    found: list[str] = []
    for text in texts:
        if text.isdecimal() and len(text) == _SECONDARY_DIGITS:
            found.append(text)
        else:
            found += map(str, numbers(text, least=0, most=250))
    return found
