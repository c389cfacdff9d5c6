"""DL/T 698.45 APDUs that carry values: answers to GET, and reports.

    85 01  GetResponseNormal        PIID, OAD, result
    85 02  GetResponseNormalList    PIID, n, n x (OAD, result)
    85 03  GetResponseRecord        PIID, one record
    85 04  GetResponseRecordList    PIID, n, n x record
    88 01  ReportNotificationList   PIID, n, n x (OAD, result)
    88 02  ReportNotificationRecordList
    05 01  GetRequestNormal         PIID, OAD
    05 02  GetRequestNormalList     PIID, n, n x OAD
    90 00  SecurityResponse         an APDU in plain text

    result = 00 DAR | 01 data                 OAD = OI 2, attribute 1, element index 1
    record = OAD, n, n x column, (00 DAR | 01 m, m x (n x data))
    column = 00 OAD | 01 OAD, k, k x OAD

Source: DL/T 698.45-2017, clauses 6.3 and 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_profiles.codecs.cursor import Cursor, malformed, unsupported
from firmware_profiles.codecs.dlt698.data import Budget, read

if TYPE_CHECKING:
    from firmware_profiles.codecs.dlt698.data import Data

_OTHER_SERVICES = frozenset({*range(0x01, 0x0A), 0x10, *range(0x81, 0x8A), 0x6E, 0xEE})
"""Link, connect, release, get, set, action, report, proxy, errors; from client and server."""
_GET_REQUEST, _GET_RESPONSE, _REPORT, _SECURITY = 0x05, 0x85, 0x88, 0x90


@dataclass(frozen=True, slots=True)
class Oad:
    """Which attribute of which object: OI, attribute 1..31, element index, 0 for all."""

    oi: int
    attribute: int
    index: int

    def __str__(self) -> str:
        return f"{self.oi:04X}{self.attribute:02X}{self.index:02X}"


@dataclass(frozen=True, slots=True)
class Result:
    """One attribute of an answer.

    Attributes:
        oad: what was asked.
        data: the value; None when refused, or asked only.
        error: the meter's reason (DAR) for having no value, None when it has one.
        row: of a record, counted from 0; None outside of records.
    """

    oad: Oad
    data: Data = None
    error: int | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an APDU carries; `request` when a client asks."""

    results: tuple[Result, ...]
    request: bool = False


def decode(apdu: bytes) -> Answer | None:
    """Decode an APDU with values.

    Returns:
        The values, or None for a service that reads nothing: connect, set, action ...

    Raises:
        DecodeError: whatever the bytes; UNSUPPORTED for encrypted APDUs and unknown services.
    """
    cursor = Cursor(apdu)
    service = cursor.u8()
    if service == _SECURITY:
        return decode(_plain(cursor))
    choice = cursor.u8()
    if cursor.remaining:
        cursor.skip(1)
    if service == _GET_REQUEST and choice in (1, 2):
        count = 1 if choice == 1 else cursor.short_length()
        return Answer(tuple([Result(oad(cursor)) for _ in range(count)]), request=True)
    budget = Budget()
    if (service, choice) == (_GET_RESPONSE, 1):
        return Answer((_result(cursor, budget),))
    if service in (_GET_RESPONSE, _REPORT) and choice in (1, 2, 3, 4):
        return Answer(_results(cursor, budget, service, choice))
    if service in _OTHER_SERVICES:
        return None
    raise unsupported(f"the service {service:02X} {choice:02X}")


def oad(cursor: Cursor) -> Oad:
    """The next OAD; the high three bits of the attribute are features of it."""
    oi, attribute, index = cursor.unsigned(2), cursor.u8(), cursor.u8()
    return Oad(oi, attribute & 0x1F, index)


def _plain(cursor: Cursor) -> bytes:
    """The APDU inside a security response that is not encrypted."""
    if cursor.u8() != 0:
        raise unsupported("an encrypted APDU", cursor.offset - 1)
    apdu = cursor.take(cursor.short_length())
    if apdu[:1] == bytes((_SECURITY,)):
        raise malformed("a security response in another", cursor.offset)
    return apdu


def _results(cursor: Cursor, budget: Budget, service: int, choice: int) -> tuple[Result, ...]:
    single_record = (service, choice) == (_GET_RESPONSE, 3)
    records = choice >= 3 or (service, choice) == (_REPORT, 2)
    count = 1 if single_record else cursor.short_length()
    budget.spend(count, cursor)
    if not records:
        return tuple([_result(cursor, budget) for _ in range(count)])
    return tuple([result for _ in range(count) for result in _record(cursor, budget)])


def _result(cursor: Cursor, budget: Budget) -> Result:
    what = oad(cursor)
    choice = cursor.u8()
    if choice == 0:
        return Result(what, error=cursor.u8())
    if choice != 1:
        raise malformed(f"a result of kind {choice}", cursor.offset - 1)
    return Result(what, read(cursor, budget))


def _record(cursor: Cursor, budget: Budget) -> list[Result]:
    what = oad(cursor)
    columns: list[Oad] = []
    count = cursor.short_length()
    budget.spend(count, cursor)
    for _ in range(count):
        columns += _column(cursor, budget)
    choice = cursor.u8()
    if choice == 0:
        return [Result(what, error=cursor.u8())]
    if choice != 1:
        raise malformed(f"a record of kind {choice}", cursor.offset - 1)
    rows = cursor.short_length()
    budget.spend(rows * max(len(columns), 1), cursor)
    return [
        Result(column, read(cursor, budget), row=row) for row in range(rows) for column in columns
    ]


def _column(cursor: Cursor, budget: Budget) -> list[Oad]:
    """The attributes of a column: itself, or those that it holds of each."""
    kind = cursor.u8()
    own = oad(cursor)
    if kind == 0:
        return [own]
    if kind != 1:
        raise malformed(f"a column of kind {kind}", cursor.offset - 5)
    count = cursor.short_length()
    budget.spend(count, cursor)
    return [oad(cursor) for _ in range(count)]
