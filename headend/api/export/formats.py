"""Which form an answer takes: `?format=` for people with a browser, `Accept` for programs.

Source: RFC 9110, 12.5.1 (Accept). A caller that names nothing we write gets JSON.
"""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from headend.api.problems import REFUSED, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

Word: TypeAlias = Literal["json", "csv", "xlsx", "parquet", "arrow"]
_RANGES_MAX = 20


class Format(Enum):
    """A form, with its media type."""

    JSON = "application/json"
    CSV = "text/csv"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    PARQUET = "application/vnd.apache.parquet"
    ARROW = "application/vnd.apache.arrow.stream"

    @property
    def suffix(self) -> str:
        """Of a file's name."""
        return self.name.lower()


def negotiate(word: str | None, accept: str, offered: Sequence[Format]) -> Format:
    """The form of an answer.

    Args:
        word: `?format=`, checked already; it outweighs the header.
        accept: the header.
        offered: what this route writes, its default first.
    """
    if word is not None:
        return Format[word.upper()]
    weighed = sorted(map(_weighed, accept.split(",")[:_RANGES_MAX]), key=lambda pair: -pair[0])
    wanted = [media_type for weight, media_type in weighed if weight > 0]
    by_type = {one.value: one for one in offered}
    return next((by_type[one] for one in wanted if one in by_type), offered[0])


def need_columns() -> None:
    """Raises Problem(refused): Parquet and Arrow are an extra, and it is not installed."""
    if find_spec("pyarrow") is None:
        raise Problem(
            REFUSED,
            "this head-end was installed without Parquet and Arrow: use CSV, or install the extra,"
            " pip install 'ohmesh[headend]'",
            code="columns_not_installed",
        )


def _weighed(media_range: str) -> tuple[float, str]:
    media_type, *parameters = (part.strip().lower() for part in media_range.split(";"))
    weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return float(weight), media_type
    except ValueError:
        return 0.0, media_type
