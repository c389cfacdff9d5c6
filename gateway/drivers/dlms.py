"""DLMS meters that are asked: a client over HDLC on a line, or over the wrapper on TCP.

The session (association, GET, block transfer) is `firmware_profiles.codecs.dlms`, which is sans-IO;
this file is its pump, and the only one of the gateway that may import it (ADR 0020). Values are
not decoded: each attribute's bytes go as they came into a DataNotification that names them, value
and scaler, as meters write it that push by OBIS code. Every DLMS profile decodes that.

Only the public client and the low-level password are spoken: a gateway in the street holds no
meter key. Meters with a key push, or are reached end to end from the head-end.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.acse import Mechanism
from firmware_profiles.codecs.dlms.apdu import Target
from firmware_profiles.codecs.dlms.client import Client, ClientSettings
from firmware_profiles.codecs.dlms.errors import AccessRefused, AssociationRefused, DlmsError
from firmware_profiles.codecs.dlms.follower import Follower
from firmware_profiles.codecs.dlms.link import ClientLink, address
from firmware_profiles.codecs.dlms.lists import notification
from firmware_profiles.codecs.dlms.transport import wrapper
from gateway.drivers.source import Answer
from ohmesh.model.errors import DecodeError, DriverTransient
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firmware_profiles.codecs.dlms.client import Exchange
    from gateway.drivers.line import Line

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_FLAG = 0x7E
_WRAPPER_BYTES = 8
_ANSWER_BYTES_MAX = 8192
_REGISTER, _CLOCK = 3, 8
_VALUE, _SCALER_UNIT = 2, 3
_CLOCK_NAME = Obis.parse("0-0:1.0.0")


class DlmsMeter:
    """One meter on one line, read by a list of registers."""

    def __init__(
        self,
        *,
        meter: str,
        profile: str,
        objects: Sequence[Obis],
        load_profile: Obis | None = None,
        history_s: int = 0,
        client: int,
        server: int,
        password: str,
        hdlc: bool,
        timeout_s: float,
    ) -> None:
        """Describe the meter.

        Args:
            meter: its address at this gateway.
            profile: that decodes what it says.
            objects: its registers, by OBIS code.
            load_profile: whose rows are read too, None for none.
            history_s: how far back they are read at the start.
            client: our address, 16 for the public client.
            server: the logical device, 1 for the management one.
            password: of the low-level security, empty for none.
            hdlc: frames of HDLC; otherwise the wrapper of TCP.
            timeout_s: for one answer.
        """
        self._meter, self._profile, self._objects = meter, profile, objects
        self._follower = Follower(load_profile, history_s=history_s) if load_profile else None
        self._unfollowed = False
        self._client, self._server = client, server
        mechanism = Mechanism.LOW if password else Mechanism.NONE
        self._settings = ClientSettings(mechanism, password.encode())
        self._hdlc = hdlc
        self._timeout_s = timeout_s

    async def ask(self, line: Line, _: int) -> Answer:
        """Read the meter. Raises TimeoutError, DriverTransient."""
        try:
            apdu, rows = await self._session(line)
        except (DecodeError, DlmsError) as error:
            raise DriverTransient(str(error)) from error
        kept = self._follower.kept if self._follower else None
        return Answer(self._meter, self._profile, (apdu,), rows, kept)

    async def admits(self, line: Line) -> bool:
        """Whether a meter on the line lets us in; False when it wants a password or a key.

        Raises:
            TimeoutError, DriverTransient: there is no DLMS meter.
        """
        link, client = self._new_session()
        try:
            await self._connect(line, link)
            await self._drive(line, link, client.associate())
            await self._leave(line, link, client)
        except AssociationRefused:
            return False
        except (DecodeError, DlmsError) as error:
            raise DriverTransient(str(error)) from error
        return True

    def _new_session(self) -> tuple[ClientLink, Client]:
        link = ClientLink(address(self._client), address(self._server))
        return link, Client(self._settings)

    async def _connect(self, line: Line, link: ClientLink) -> None:
        if self._hdlc:
            await self._drive_frames(line, link.connect())

    async def _leave(self, line: Line, link: ClientLink, client: Client) -> None:
        """End the session; one that broke off is ended by the next SNRM or AARQ."""
        if self._hdlc:
            await self._drive_frames(line, link.disconnect())
        else:
            await self._drive(line, link, client.release())

    async def _session(self, line: Line) -> tuple[bytes, tuple[bytes, ...]]:
        """The telegram of the registers, and those of the load profile's rows."""
        link, client = self._new_session()
        await self._connect(line, link)
        await self._drive(line, link, client.associate())
        entries = [await self._register(line, link, client, obis) for obis in self._objects]
        if not any(entries):
            raise DriverTransient("the meter has none of the objects")
        clock = await self._clock(line, link, client)
        if clock:
            entries.insert(0, axdr.structure(axdr.octets(_CLOCK_NAME.to_bytes()), clock))
        rows = await self._rows(line, link, client, clock)
        await self._leave(line, link, client)
        return notification(axdr.array(*filter(None, entries))), rows

    async def _clock(self, line: Line, link: ClientLink, client: Client) -> bytes:
        """The clock's value, encoded; empty for a meter without a clock."""
        target = Target(_CLOCK, _CLOCK_NAME, _VALUE)
        try:
            return await self._drive(line, link, client.get_encoded(target))
        except AccessRefused:
            return b""

    async def _rows(
        self, line: Line, link: ClientLink, client: Client, clock: bytes
    ) -> tuple[bytes, ...]:
        """New rows of the load profile; one that cannot be read costs the registers nothing."""
        if self._follower is None:
            return ()
        try:
            rows = await self._drive(line, link, self._follower.read(client, clock))
        except (AccessRefused, DecodeError) as error:
            if not self._unfollowed:
                _log.warning("dlms %s: its load profile is not read: %s", self._meter, error)
            self._unfollowed = True
            return ()
        self._unfollowed = False
        return rows

    async def _register(self, line: Line, link: ClientLink, client: Client, obis: Obis) -> bytes:
        """An entry of value, scaler and unit; empty when the meter has no such object."""
        name = axdr.octets(obis.to_bytes())
        try:
            value = await self._drive(
                line, link, client.get_encoded(Target(_REGISTER, obis, _VALUE))
            )
            scale = await self._drive(
                line, link, client.get_encoded(Target(_REGISTER, obis, _SCALER_UNIT))
            )
        except AccessRefused:
            return b""
        return axdr.structure(name, value, scale)

    async def _drive(self, line: Line, link: ClientLink, exchange: Exchange[_T]) -> _T:
        """Run an exchange of APDUs over the line."""
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self._round_trip(line, link, request))
        except StopIteration as stop:
            result: _T = stop.value
            return result

    async def _round_trip(self, line: Line, link: ClientLink, apdu: bytes) -> bytes:
        if self._hdlc:
            return await self._drive_frames(line, link.transfer(apdu))
        message = wrapper(apdu, source=self._client, destination=self._server)
        answer = await line.ask(
            message, wrapper_length, timeout_s=self._timeout_s, bytes_max=2**16 + _WRAPPER_BYTES
        )
        return answer[_WRAPPER_BYTES:]

    async def _drive_frames(self, line: Line, exchange: Exchange[_T]) -> _T:
        """Run an exchange of HDLC frames over the line."""
        try:
            request = next(exchange)
            while True:
                heard = await line.ask(
                    request,
                    frame_length,
                    timeout_s=self._timeout_s,
                    echo=True,
                    bytes_max=_ANSWER_BYTES_MAX,
                )
                request = exchange.send(heard[frame_start(heard) :])
        except StopIteration as stop:
            result: _T = stop.value
            return result


def frame_start(heard: bytes) -> int:
    """Where the first frame begins; -1 while there is none."""
    start = heard.find(_FLAG)
    while start >= 0 and heard[start + 1 : start + 2] == bytes((_FLAG,)):
        start += 1
    return start


def frame_length(heard: bytes) -> int | None:
    """Up to the end of the first HDLC frame (7E, A and 11 bits of length), None while not whole."""
    start = frame_start(heard)
    if start < 0 or len(heard) < start + 3:
        return None
    end = start + (int.from_bytes(heard[start + 1 : start + 3], "big") & 0x7FF) + 2
    return end if len(heard) >= end else None


def wrapper_length(heard: bytes) -> int | None:
    """Length of the wrapped APDU that `heard` begins with, None while it is not whole."""
    if len(heard) < _WRAPPER_BYTES:
        return None
    end = _WRAPPER_BYTES + int.from_bytes(heard[6:8], "big")
    return end if len(heard) >= end else None
