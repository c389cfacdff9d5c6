"""Types of what callers send: narrow, so that nothing odd gets past the door."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from fastapi import Header, Path
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

YEAR_MIN, YEAR_MAX = 1900, 2999
FIRST_INSTANT = datetime(YEAR_MIN, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime(YEAR_MAX, 12, 31, tzinfo=UTC)
INTEGER_MAX = 2**53
"""Integers up to here are exact in every JSON reader."""
_ID = r"^[A-Za-z0-9_-]{1,64}$"
KEY_PATTERN = r"^[!-~]{1,200}$"
"""Of an Idempotency-Key."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")

_PLUS_LOST = re.compile(r":\d\d(\.\d+)? \d\d:?\d\d$")


def _as_text(value: Any) -> Any:
    if isinstance(value, str) and not _INSTANT.match(value):
        raise ValueError("write an RFC 3339 time with a zone, such as 2026-01-31T00:00:00Z")
    if isinstance(value, str) and _PLUS_LOST.search(value):
        raise ValueError("in an address, write the + of the zone as %2B")
    if isinstance(value, (int, float)):
        raise ValueError("write the time as RFC 3339 text, not as a number")  # noqa: TRY004 - pydantic turns ValueError alone into an answer
    return value


def _in_range(value: datetime) -> datetime:
    if not YEAR_MIN <= value.year <= YEAR_MAX:
        raise ValueError(f"the year must be between {YEAR_MIN} and {YEAR_MAX}")
    return value.astimezone(UTC)


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("no time zone of the IANA database, such as Europe/Amsterdam")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


Instant = Annotated[AwareDatetime, BeforeValidator(_as_text), AfterValidator(_in_range)]
Id = Annotated[str, StringConstraints(pattern=_ID)]
"""A meter, gateway, account or tariff id: 1 to 64 of A-Z a-z 0-9 _ -"""
Channel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:*&-]{1,80}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,80}$")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
Integer = Annotated[int, Field(strict=True, ge=-INTEGER_MAX, le=INTEGER_MAX)]
Positive = Annotated[int, Field(strict=True, gt=0, le=INTEGER_MAX)]
Zone = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$"),
    AfterValidator(_known_zone),
]
"""A name of the IANA time zone database."""
Metres = Annotated[
    float,
    Field(ge=-1e7, le=1e7, allow_inf_nan=False),
    AfterValidator(lambda metres: round(metres, 3)),
]
"""To the millimetre; the store's `real` would refuse 1e-300."""


def is_id(text: str) -> bool:
    """Whether a text can be an id at all; PostgreSQL could not even look for some that cannot."""
    return re.fullmatch(_ID, text) is not None and not text.endswith("\n")


PathId = Annotated[str, Path(max_length=200, description="1 to 64 of A-Z a-z 0-9 _ -")]
IdempotencyKey = Annotated[
    str,
    Header(
        pattern=KEY_PATTERN,
        description="Your own name for this wish, 1 to 200 visible ASCII characters. The same key "
        "with the same content gives the first answer again; with other content it is refused.",
    ),
]


class Body(BaseModel):
    """The base of all request bodies: no unknown field passes unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(BaseModel):
    """The query of every list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page_size: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=512)] | None = None
    format: Literal["json", "csv", "xlsx"] | None = None
    """Of lists that can be files; `Accept` says it too."""

    def scope(self, name: str, **more: object) -> dict[str, object]:
        """What a cursor of this list is valid for: the list's name and its filters."""
        return {
            "list": name,
            **more,
            **self.model_dump(mode="json", exclude={"page_size", "cursor", "format"}),
        }


class PeriodQuery(PageQuery):
    """A period, half-open: from `from`, before `to`."""

    since: Annotated[Instant, Field(alias="from")] = FIRST_INSTANT
    until: Annotated[Instant, Field(alias="to")] = LAST_INSTANT
