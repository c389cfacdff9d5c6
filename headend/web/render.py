"""Templates: strict, escaped, with the same few helpers on every page."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from headend.api import money
from headend.security.roles import Permission
from headend.web import format as fmt
from headend.web import words
from headend.web.speech import COOKIE, LANGUAGES, catalogue, language, mark

if TYPE_CHECKING:
    from starlette.requests import Request

    from headend.api.problems import Problem

FOLDER: Final = Path(__file__).parent
NAVIGATION: Final = (
    ("/", mark("Fleet"), Permission.FLEET_READ),
    ("/map", mark("Map"), Permission.FLEET_READ),
    ("/mesh", mark("Mesh"), Permission.FLEET_READ),
    ("/reads", mark("Reads"), Permission.FLEET_READ),
    ("/outages", mark("Outages"), Permission.FLEET_READ),
    ("/accounts", mark("Prepayment"), Permission.MONEY_READ),
    ("/cutoff", mark("Cut-off"), Permission.MONEY_READ),
    ("/commands", mark("Commands"), Permission.FLEET_READ),
    ("/gateways", mark("Gateways"), Permission.FLEET_READ),
    ("/quarantine", mark("Quarantine"), Permission.FLEET_READ),
    ("/vee", mark("Validation"), Permission.FLEET_READ),
    ("/people", mark("People"), Permission.USERS),
    ("/audit", mark("Audit"), Permission.AUDIT_READ),
    ("/docs", mark("API"), Permission.FLEET_READ),
)


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
        supply=words.supply,
    )
    found.globals.update(
        quantity=fmt.quantity,
        small=fmt.small,
        small_unit=fmt.small_unit,
        span=fmt.span,
        stretch=fmt.stretch,
        plural=partial(fmt.plural, texts=texts),
        language=name,
        languages=LANGUAGES,
        supply=words.supply,
    )
    return found


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page. `now` and who is signed in are known to every template."""
    now = datetime.now(UTC)
    who = request.scope.get("state", {}).get("principal")
    name = language(request.cookies.get(COOKIE), request.headers.get("accept-language", ""))
    environment = _environment(name)
    text = environment.get_template(template).render(
        path=request.url.path,
        base=str(request.base_url).rstrip("/"),
        now=now,
        ago=partial(fmt.ago, now=now, texts=catalogue(name)),
        who=who,
        navigation=[(to, word) for to, word, needs in NAVIGATION if who and who.may(needs)],
        signed_in=bool(who and who.writes),
        **values,
    )
    return HTMLResponse(text, status, {"content-language": name, "vary": "accept-language, cookie"})


def error_page(request: Request, problem: Problem) -> Response:
    """A problem for a person: the same words as in the problem document."""
    return render(request, "error.html", status=problem.status_code, problem=problem)
