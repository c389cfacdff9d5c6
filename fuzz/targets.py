"""What is fuzzed: functions of bytes that end in a value or in the one error they promise.

A target gets any bytes. It returns when the codec gave a value or its own error, and lets anything
else through: that is a finding.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from firmware_profiles.api import Keys
from firmware_profiles.codecs import axdr, dlt645, echonet, gbcs, hdlc, iec62056_21, tic
from firmware_profiles.codecs.cursor import Cursor
from firmware_profiles.codecs.dlms import acse, apdu_wire, push, transport
from firmware_profiles.codecs.dlms.client import Client, ClientSettings, run
from firmware_profiles.codecs.dlms.dialects import dialect_of
from firmware_profiles.codecs.dlms.errors import DlmsError
from firmware_profiles.codecs.dlms.link import ClientLink, ServerLink, address
from firmware_profiles.codecs.dlms.objects.measure import data
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from firmware_profiles.codecs.dlt698 import data as data698
from firmware_profiles.codecs.dlt698 import link as link698
from firmware_profiles.codecs.dlt698 import read as read698
from firmware_profiles.codecs.mbus.records import read_records, write_records
from firmware_profiles.codecs.mbus.telegram import read_wired
from firmware_profiles.codecs.modbus import frame as modbus
from firmware_profiles.codecs.p1.readings import readings_of
from firmware_profiles.codecs.p1.telegram import parse_p1
from firmware_profiles.codecs.sml import messages as sml
from firmware_profiles.codecs.sml import tree as sml_tree
from firmware_profiles.codecs.wmbus.telegram import read_radio
from ohmesh.model.errors import DecodeError
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_profiles.api import Profile

KEYS = Keys(bytes(16), bytes(16))
"""Nobody's keys: they open the examples that were sealed with zeros."""
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Amsterdam")
PROFILES = (
    "at_dlms",
    "be_emucs",
    "ch_dlms",
    "cn_645",
    "de_sml",
    "eu_mbus",
    "fr_linky",
    "gb_smets",
    "in_is15959",
    "jp_broute",
    "kr_dlms",
    "lu_smarty",
    "modbus",
    "modbus_em24",
    "nl_dsmr",
    "no_han",
    "se_h1",
    "za_gh_sts",
)


@cache
def _profile(name: str) -> Profile:
    module = importlib.import_module(f"firmware_profiles.{name}.profile")
    found: Profile = module.profile()
    return found


def _decode_profile(name: str) -> Callable[[bytes], None]:
    def decode(octets: bytes) -> None:
        for verify in (True, False):
            with suppress(DecodeError):
                _profile(name).decode(octets, keys=KEYS, verify=verify)

    return decode


def _either(decode: Callable[..., object]) -> Callable[[bytes], None]:
    """A decoder with checks and without."""

    def both(octets: bytes) -> None:
        for verify in (True, False):
            with suppress(DecodeError):
                decode(octets, verify=verify)

    return both


def _plain(decode: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def once(octets: bytes) -> None:
        with suppress(DecodeError):
            decode(octets)

    return once


def _p1(octets: bytes) -> None:
    with suppress(DecodeError):
        readings_of(parse_p1(octets, verify=False), ZONE)


def _sml(octets: bytes) -> None:
    with suppress(DecodeError):
        for message in sml.decode(octets, verify=False):
            with suppress(DecodeError):
                sml.list_response(message)


def _records(octets: bytes) -> None:
    """What is read as records is written as the same octets, fillers apart."""
    with suppress(DecodeError):
        write_records(read_records(octets))


def _push(octets: bytes) -> None:
    with suppress(DecodeError):
        push.decode_push(octets, ZONE, dialect_of)


def _unwrap(octets: bytes) -> None:
    for verify in (True, False):
        with suppress(DecodeError):
            transport.unwrap(octets, KEYS, verify=verify)


def _data698(octets: bytes) -> None:
    with suppress(DecodeError):
        data698.read(Cursor(octets), data698.Budget())


def _server() -> Server:
    settings = ServerSettings(
        password=b"12345678",
        keys=KEYS,
        title=b"OHM\0\0\0\0\2",
        challenge=lambda: b"server challenge",
    )
    note = data(Obis.parse("0-0:96.13.0"), axdr.octets(b""), writable=True, public=True)
    return Server([note], settings)


def _server_apdus(octets: bytes) -> None:
    """A meter answers whatever it is sent; the first octet splits the rest into two APDUs."""
    meter = _server()
    cut = octets[0] if octets else 0
    for apdu in (octets[1 : 1 + cut], octets[1 + cut :]):
        meter.receive(apdu, NOW)


def _server_link(octets: bytes) -> None:
    meter = _server()
    far = ServerLink(address(1), lambda apdu: meter.receive(apdu, NOW), meter.disconnected)
    with suppress(DecodeError, DlmsError):
        far.receive(octets)


def _client(octets: bytes) -> None:
    """A client against a meter that answers garbage."""
    with suppress(DecodeError, DlmsError):
        run(Client(ClientSettings()).associate(), lambda _apdu: octets)


def _client_link(octets: bytes) -> None:
    with suppress(DecodeError, DlmsError):
        run(ClientLink(address(1), address(1)).connect(), lambda _frame: octets)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "axdr": _plain(axdr.decode),
    "dlms_acse": _plain(acse.parse_aarq),
    "dlms_acse_answer": _plain(acse.parse_aare),
    "dlms_client": _client,
    "dlms_client_link": _client_link,
    "dlms_push": _push,
    "dlms_request": _plain(apdu_wire.parse_request),
    "dlms_response": _plain(apdu_wire.parse_response),
    "dlms_server": _server_apdus,
    "dlms_server_link": _server_link,
    "dlms_transport": _unwrap,
    "dlt645": _either(dlt645.decode),
    "dlt698_data": _data698,
    "dlt698_link": _either(link698.decode),
    "dlt698_read": _plain(read698.decode),
    "echonet": _plain(echonet.decode),
    "gbcs": _plain(gbcs.decode),
    "hdlc": _either(hdlc.parse_frames),
    "iec62056_21": _either(iec62056_21.decode),
    "mbus": _either(read_wired),
    "mbus_records": _records,
    "modbus": _either(modbus.decode),
    "p1": _p1,
    "sml": _sml,
    "sml_tree": _plain(lambda octets: sml_tree.parse(octets, 0)),
    "tic": _either(tic.decode),
    "wmbus": _either(read_radio),
    **{f"profile_{name}": _decode_profile(name) for name in PROFILES},
}
"""Name -> target."""
