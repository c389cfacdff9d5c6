"""Which language a page speaks, and its catalogue.

English is written in the templates; the others are Babel catalogues in `locale/`, read from
their .po files, so there is nothing to compile. CONTRIBUTING.md says how to bring them up to date.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

LANGUAGES: Final = {"en": "English", "ko": "한국어"}
COOKIE: Final = "ohmesh_language"
LOCALE: Final = Path(__file__).parent / "locale"
_TAGS_MAX: Final = 12


def mark(text: str) -> str:
    """Mark a text for the catalogues; it is translated where it is shown."""
    return text


def language(cookie: str | None, accepted: str) -> str:
    """The language of a page.

    Args:
        cookie: what the reader has chosen, if anything.
        accepted: `Accept-Language` (RFC 9110, 12.5.4).
    """
    if cookie in LANGUAGES:
        return cookie
    return negotiate_locale(_by_weight(accepted), LANGUAGES, sep="-") or "en"


def _by_weight(accepted: str) -> list[str]:
    tags = [tag.strip().partition(";q=") for tag in accepted.split(",")[:_TAGS_MAX]]
    return [tag for tag, _, weight in sorted(tags, key=lambda t: -_weight(t[2])) if tag]


def _weight(text: str) -> float:
    try:
        return float(text or 1)
    except ValueError:
        return 0.0


@cache
def catalogue(name: str) -> Translations:
    """The translations of a language of LANGUAGES."""
    file = LOCALE / name / "LC_MESSAGES" / "ohmesh.po"
    if not file.exists():
        return Translations()
    with file.open("rb") as texts:
        read = read_po(texts, locale=name, domain="ohmesh")
    compiled = BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return Translations(compiled, domain="ohmesh")
