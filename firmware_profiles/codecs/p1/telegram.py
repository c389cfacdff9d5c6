r"""P1 syntax: bytes <-> identification and lines of groups.

    /ISk5\2MT382-1000 CR LF
    CR LF                                   left out by some
    1-0:1.8.1(001581.123*kWh) CR LF         OBIS and one or more groups
    0-1:24.3.0(161107190000)...(m3) CR LF   groups may go on in the next line (DSMR 2.2, 3.0)
    (00001.001) CR LF
    !6796 CR LF                             CRC-16/ARC over "/" to "!"; none in DSMR 2.2 and 3.0

Source: DSMR P1 companion standard 5.0.2, chapter 6; IEC 62056-21, chapter 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firmware_profiles.codecs.crc import crc16_arc
from firmware_profiles.codecs.cursor import bad_checksum, malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

BYTES_MAX = 64 * 1024
_CRC_DIGITS_MAX = 4
_VERSION_LINES = ("1-3:0.2.8", "0-0:96.1.4")
"""A telegram with one of these follows a standard that has a CRC."""
_CLOCK_LINE = "0-0:1.0.0"


class P1Line(NamedTuple):
    """One object of a telegram (a tuple, because there are thirty in each).

    Attributes:
        obis: the text before the first bracket, as sent.
        body: the text between the first and the last bracket: `a` or `a)(b`.
        folded: the same of a second line that belongs to this object, empty for none.
    """

    obis: str
    body: str
    folded: str = ""

    @property
    def groups(self) -> list[str]:
        """The texts between the brackets of the object's own line."""
        return self.body.split(")(")

    @property
    def text(self) -> str:
        """The content as one text, without brackets when it is one group."""
        whole = f"{self.body})({self.folded}" if self.folded else self.body
        return f"({whole})" if ")(" in whole else whole

    def __str__(self) -> str:
        fold = f"\r\n({self.folded})" if self.folded else ""
        return f"{self.obis}({self.body}){fold}"


@dataclass(frozen=True, slots=True)
class P1Telegram:
    """A telegram, checked.

    Attributes:
        identification: first line without "/".
        lines: the objects in their order.
        blank: whether an empty line follows the identification.
        crc: the check as sent, None when the telegram has none.
    """

    identification: str
    lines: tuple[P1Line, ...]
    blank: bool = True
    crc: int | None = None

    def to_bytes(self) -> bytes:
        """The bytes of the telegram, with a fresh CRC unless `crc` is None."""
        head = f"/{self.identification}\r\n" + ("\r\n" if self.blank else "")
        text = head + "".join(f"{line}\r\n" for line in self.lines) + "!"
        body = text.encode("latin-1")
        return body + (b"\r\n" if self.crc is None else b"%04X\r\n" % crc16_arc(body))


def parse_p1(payload: bytes, *, verify: bool = True) -> P1Telegram:
    """Read one P1 telegram.

    Args:
        payload: bytes from "/" to the CRC; what stands before the first "/" is passed over.
        verify: False accepts a CRC that fails or is missing.

    Raises:
        DecodeError: TRUNCATED without an end, CHECKSUM, MALFORMED lines, BUDGET above 64 KiB.
    """
    if len(payload) > BYTES_MAX:
        raise DecodeError(DecodeErrorKind.BUDGET, f"a P1 telegram above {BYTES_MAX} bytes")
    start = payload.find(b"/")
    if start < 0:
        raise malformed("no P1 telegram: no '/'")
    end = payload.find(b"!", start)
    crc = None if end < 0 else _check(payload, start, end, verify=verify)
    body = payload[start + 1 : end if end >= 0 else len(payload)]
    identification, blank, lines = _split(body.decode("latin-1"), start)
    if not lines and end < 0:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "no object and no '!'", offset=len(payload))
    if crc is None and verify:
        _refuse_if_cut({line.obis for line in lines}, ended=end >= 0, offset=len(payload))
    return P1Telegram(identification, lines, blank, crc)


def _check(payload: bytes, start: int, end: int, *, verify: bool) -> int | None:
    """The CRC after "!", None when there is none. Raises DecodeError when it does not fit."""
    text = payload[end + 1 :].strip()
    if not text:
        return None
    try:
        sent = int(text, 16) if len(text) <= _CRC_DIGITS_MAX and text.isalnum() else -1
    except ValueError:
        sent = -1
    if sent < 0:
        raise malformed("what follows '!' is no CRC of up to four hex digits", end + 1)
    if verify and sent != (due := crc16_arc(payload[start : end + 1])):
        raise bad_checksum(f"CRC is {sent:04X}, {due:04X} would be right", end + 1)
    return sent


def _refuse_if_cut(names: set[str], *, ended: bool, offset: int) -> None:
    """Only DSMR 2.2 and 3.0, which have neither version nor clock, may come without a CRC."""
    if not names.isdisjoint(_VERSION_LINES):
        raise bad_checksum("no CRC, and this version of the standard has one", offset)
    if not ended and _CLOCK_LINE in names:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "no '!' at the end", offset=offset)


def _split(body: str, offset: int) -> tuple[str, bool, tuple[P1Line, ...]]:
    """Identification, whether a blank line follows it, and the objects."""
    rows = body.replace("\r\n", "\n").split("\n")
    if rows[-1].strip():
        raise DecodeError(
            DecodeErrorKind.TRUNCATED, "the last line has no end", offset=offset + len(body)
        )
    lines: list[P1Line] = []
    for row in rows[1:-1]:
        obis, _, rest = row.partition("(")
        if obis and rest.endswith(")"):
            lines.append(P1Line(obis, rest[:-1]))
        elif row.strip():
            _fold(lines, row, offset)
    return rows[0], len(rows) > 2 and not rows[1].strip(), tuple(lines)


def _fold(lines: list[P1Line], row: str, offset: int) -> None:
    """Add a line of groups alone to the object before it."""
    if not row.startswith("(") or not row.endswith(")"):
        raise malformed(f"the line {row[:40]!r} is no object", offset)
    if not lines or lines[-1].folded:
        raise malformed("a line of groups without an object", offset)
    lines[-1] = lines[-1]._replace(folded=row[1:-1])
