"""TIC, the customer output of French meters: historic and standard mode (Enedis-NOI-CPT_54E).

    frame = STX group* ETX          group = LF label SEP [time SEP] data SEP check CR

Historic mode separates with a space, standard mode with a tab. The check is the low six bits of a
sum of characters, plus 20H: in historic mode over label..data, in standard mode over
label..separator before the check. Each group is checked alone, so a damaged group is left out and
named, and only a frame without one good group is refused. Labels may repeat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from firmware_profiles.codecs.cursor import bad_checksum, malformed
from ohmesh.model.errors import DecodeError, DecodeErrorKind

BYTES_MAX = 65536
GROUPS_MAX = 1024
_STX, _ETX, _EOT = b"\x02", b"\x03", b"\x04"
_UNREADABLE = "?"
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
_GROUP = re.compile(
    rb"\n(?P<body>(?P<label>[!-~]{1,16})(?P<sep>[ \t])"
    rb"(?:(?P<time>[A-Za-z ]\d{12})\t)?(?P<data>[\t -~]{0,256}?))(?P=sep)(?P<check>[ -_])\r"
)


class Mode(Enum):
    """The two modes, by their separator."""

    HISTORIC = b" "
    STANDARD = b"\t"


class Group(NamedTuple):
    """One group; a tuple, because a frame has dozens.

    Attributes:
        label: `EAST`, `SMAXSN-1` ...
        data: the text, blanks kept.
        time: `E200426181830`, None for a group without a stamp.
        offset: byte position in the telegram.
    """

    label: str
    data: str
    time: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: the good groups, and the labels (or `?`) of those left out as damaged."""

    mode: Mode
    groups: tuple[Group, ...]
    rejected: tuple[str, ...] = ()


def check(octets: bytes) -> int:
    """The check character of the octets that it covers."""
    return (sum(octets) & 0x3F) + 0x20


def decode(telegram: bytes, *, verify: bool = True) -> Frame:
    """Decode one frame; bytes before STX and after ETX are noise of the line, parity is ignored.

    Args:
        telegram: the bytes.
        verify: False keeps the groups whose check fails, if they can be read.

    Raises:
        DecodeError: whatever the bytes.
    """
    octets = _between_marks(telegram)
    start = octets.find(_STX) + 1
    groups: list[Group] = []
    rejected: list[str] = []
    separator = _STX
    position = octets.find(b"\n", start)
    while position >= 0:
        if len(groups) + len(rejected) >= GROUPS_MAX:
            raise DecodeError(DecodeErrorKind.BUDGET, f"over {GROUPS_MAX} groups", offset=position)
        match = _GROUP.match(octets, position)
        if match is None:
            rejected.append(_UNREADABLE)
        elif verify and not _check_fits(match):
            rejected.append(match["label"].decode("ascii"))
        else:
            separator = match["sep"]
            groups.append(_group(match))
        position = octets.find(b"\n", match.end() if match else position + 1)
    if not groups:
        raise bad_checksum("no group with a good check", start)
    return Frame(Mode(separator), tuple(groups), tuple(rejected))


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, the inverse of `decode` for frames without rejected groups."""
    return _STX + b"".join(_encode_group(group, frame.mode) for group in frame.groups) + _ETX


def _between_marks(telegram: bytes) -> bytes:
    """The telegram up to its ETX, in seven bits."""
    if len(telegram) > BYTES_MAX:
        raise DecodeError(DecodeErrorKind.BUDGET, f"more than {BYTES_MAX} bytes", offset=BYTES_MAX)
    octets = telegram.translate(_SEVEN_BITS)
    start = octets.find(_STX)
    if start < 0:
        raise malformed("no start of frame")
    end = octets.find(_ETX, start)
    if end < 0:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "no end of frame", offset=len(octets))
    interrupted = octets.find(_EOT, start, end)
    if interrupted >= 0:
        raise DecodeError(DecodeErrorKind.TRUNCATED, "broken off by EOT", offset=interrupted)
    return octets[:end]


def _group(match: re.Match[bytes]) -> Group:
    label, data = match["label"].decode("ascii"), match["data"].decode("ascii")
    time = match["time"]
    return Group(label, data, time.decode("ascii") if time else None, match.start())


def _check_fits(match: re.Match[bytes]) -> bool:
    """Mode 1 leaves out the last separator, mode 2 takes it in.

    A meter in historic mode may separate with tabs and keep mode 1.
    """
    body, given = match["body"], match["check"][0]
    if match["sep"] == b" ":
        return check(body) == given
    return check(body + b"\t") == given or check(body) == given


def _encode_group(group: Group, mode: Mode) -> bytes:
    separator = mode.value
    parts = [group.label, group.data] if group.time is None else [group.label, group.time]
    body = separator.join(part.encode("ascii") for part in parts)
    if group.time is not None:
        body += separator + group.data.encode("ascii")
    covered = body + separator if mode is Mode.STANDARD else body
    return b"\n" + body + separator + bytes((check(covered),)) + b"\r"
