"""ETags: a caller that has the newest answer is told so, and a change on an older one is refused.

Source: RFC 9110, 8.8.3 (ETag), 13.1.1 (If-Match), 13.1.2 (If-None-Match).
"""

from __future__ import annotations

import hashlib
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from fastapi import Header
from starlette.responses import Response

from headend.api.problems import CHANGED_MEANWHILE, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Route: TypeAlias = Callable[..., Awaitable[Response]]

_DIGEST_BYTES: Final = 12
_TAGS_MAX: Final = 20
IfMatch = Annotated[
    str | None,
    Header(
        max_length=500,
        description="The ETag that the change is meant for; if it has another by now, 412.",
    ),
]


def etag(content: object) -> str:
    """The ETag of what JSON can say."""
    digest = hashlib.blake2b(msgspec.json.encode(content), digest_size=_DIGEST_BYTES)
    return f'"{digest.hexdigest()}"'


def demand_match(wanted: str | None, tag: str) -> None:
    """Raises Problem(changed-meanwhile) unless If-Match, when there is one, names the tag."""
    if wanted is not None and not _names(wanted, tag):
        raise Problem(CHANGED_MEANWHILE, f"the ETag is {tag} now")


def _names(header: str, tag: str) -> bool:
    return tag in (one.strip() for one in header.split(",")[:_TAGS_MAX]) or header.strip() == "*"


def tagged(response: Response, tag: str) -> Response:
    """The answer with its ETag."""
    response.headers["ETag"] = tag
    return response


def closed_periods(route: Route) -> Route:
    """Let a caller keep the answer for a period that is over, and ask only whether it still holds.

    The route takes `request`, `parts` and `query` with `period_to`. Late readings and edits change
    the answer and with it the ETag.
    """

    @wraps(route)
    async def asked(**arguments: Any) -> Response:
        response = await route(**arguments)
        end = arguments["query"].period_to
        if end is None or end > arguments["parts"].now() or not response_body(response):
            return response
        tag = f'"{hashlib.blake2b(response.body, digest_size=_DIGEST_BYTES).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if _names(arguments["request"].headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        response.headers.update(headers)
        return response

    return asked


def response_body(response: Response) -> bytes:
    """The octets of an answer; none when it is streamed."""
    return bytes(getattr(response, "body", b""))
