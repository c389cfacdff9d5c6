"""Templates: strict, escaped, with the same few helpers on every page."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from headend.api import money
from headend.web import format as fmt
from headend.web import navigation, sentences, words
from headend.web.speech import COOKIE, LANGUAGES, catalogue, language

if TYPE_CHECKING:
    from starlette.requests import Request

    from headend.api.problems import Problem

FOLDER: Final = Path(__file__).parent
BEARER: Final = ' -H "Authorization: Bearer $(cat api-token)"'


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with its content, so a browser may keep it."""
    octets = (FOLDER / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(octets).hexdigest()[:12]}"


def icon(name: str) -> Markup:
    """A symbol of `static/icons.svg`, for the eye only."""
    use = Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>')
    return use.format(asset("icons.svg"), name)


@cache
def _environment(name: str) -> Environment:
    """The templates in a language."""
    texts = catalogue(name)
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    found.install_gettext_translations(texts, newstyle=True)  # type: ignore[attr-defined]  # by the extension
    found.filters.update(
        number=fmt.number,
        percent=fmt.percent,
        when=fmt.when,
        money=money.format_mu,
        price=money.format_price,
        reason=lambda name: texts.gettext(words.reason(name)),
        word=lambda name: words.word(name, texts),
        said=lambda text: sentences.said(text, texts),
        supply=words.supply,
    )
    found.globals.update(
        quantity=fmt.quantity,
        small=fmt.small,
        small_unit=fmt.small_unit,
        span=partial(fmt.span, texts=texts),
        seconds=lambda count: fmt.span(timedelta(seconds=count), texts),
        asset=asset,
        icon=icon,
        stretch=fmt.stretch,
        plural=partial(fmt.plural, texts=texts),
        language=name,
        languages=LANGUAGES,
        supply=words.supply,
        bearer=BEARER,
    )
    return found


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page. `now`, who is signed in, and what `reader`s put into a call are known to each."""
    now = datetime.now(UTC)
    who = request.scope.get("state", {}).get("principal")
    nobody = request.app.state.services.access.nobody
    name = language(request.cookies.get(COOKIE), request.headers.get("accept-language", ""))
    environment = _environment(name)
    text = environment.get_template(template).render(
        path=request.url.path,
        base=str(request.base_url).rstrip("/"),
        now=now,
        ago=partial(fmt.ago, now=now, texts=catalogue(name)),
        who=who,
        menu=navigation.menu(who),
        here=navigation.here(request.url.path),
        signed_in=who is not None and who is not nobody,
        reader="" if nobody else BEARER,
        **values,
    )
    return HTMLResponse(text, status, {"content-language": name, "vary": "accept-language, cookie"})


def error_page(request: Request, problem: Problem) -> Response:
    """A problem for a person: what the problem document says, in the page's language."""
    return render(request, "error.html", status=problem.status_code, problem=problem)
