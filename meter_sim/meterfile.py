"""Many meters made known at once: lines of a file for the head-end's import."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

_LINES = 5000
_TIMEOUT_S = 300.0


async def import_meters(
    http: httpx.AsyncClient,
    rows: Sequence[Mapping[str, object]],
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Register meters; those that are there already, the same, are no error.

    Args:
        http: of the head-end's API, with a token.
        rows: fields of `POST /v1/meters` by name, `transformer` and `feeder`; all rows alike.
        told: gets how many are done, now and then.

    Raises:
        ConfigError: the head-end refuses one of them; the others of its part are stored.
        httpx.HTTPError: it does not answer, or refuses all.
    """
    for start in range(0, len(rows), _LINES):
        part = rows[start : start + _LINES]
        answer = await http.post(
            "/v1/imports/meters",
            content=_lines(part),
            headers={"Content-Type": "text/csv"},
            timeout=_TIMEOUT_S,
        )
        answer.raise_for_status()
        for fault in answer.json()["faults"]:
            refused = part[fault["line"] - 2]  # the heading is line 1
            raise ConfigError(f"the head-end refuses {refused['meter']}: {fault['detail']}")
        told(start + len(part))


def _lines(rows: Sequence[Mapping[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
