"""Every page speaks every language: nothing is left out, nothing is left over."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from headend.api import problems
from headend.security.roles import Role
from headend.vee.model import Check
from headend.web import speech, words
from ohmesh.model.command import CommandKind, CommandState, RelayState
from ohmesh.model.errors import DecodeErrorKind

ROOT = Path(__file__).parents[3]
OTHERS = [name for name in speech.LANGUAGES if name != "en"]
PLACE = re.compile(r"%\((\w+)\)s")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """What templates and code hold, by the command that CONTRIBUTING.md names."""
    out = tmp_path_factory.mktemp("texts") / "ohmesh.pot"
    extract = [sys.executable, "-m", "babel.messages.frontend", "-q", "extract"]
    extract += ["-F", "headend/web/locale/babel.cfg", "-k", "plural:2,3", "-k", "mark"]
    subprocess.run([*extract, "-o", out, "headend/web"], cwd=ROOT, check=True, timeout=60)
    with out.open("rb") as file:
        return {message.id: message for message in read_po(file) if message.id}


def catalogue(name):
    with (speech.LOCALE / name / "LC_MESSAGES" / "ohmesh.po").open("rb") as file:
        return {message.id: message for message in read_po(file, locale=name) if message.id}


@pytest.mark.parametrize("name", OTHERS)
def test_a_catalogue_holds_what_the_pages_say_and_no_more(texts, name):
    assert len(texts) > 150
    held = catalogue(name)
    assert sorted(map(str, texts.keys() - held.keys())) == [], "not in the catalogue"
    assert sorted(map(str, held.keys() - texts.keys())) == [], "said nowhere"


@pytest.mark.parametrize("name", OTHERS)
def test_every_text_is_translated_with_the_same_places(name):
    for text, message in catalogue(name).items():
        assert not message.fuzzy, text
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        meant = text if isinstance(text, tuple) else (text,)
        for one in said:
            assert one, text
            assert set(PLACE.findall(one)) == set(PLACE.findall(meant[-1])), text


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        (None, "", "en"),
        (None, "ko", "ko"),
        (None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, "en;q=0.3, ko;q=0.7", "ko"),
        (None, "xx, *;q=0.1", "en"),
        (None, "ko;q=nonsense, en", "en"),
        (None, ",;q=;,\x00" * 500, "en"),
        ("en", "ko", "en"),
        ("ko", "", "ko"),
        ("../../etc", "", "en"),
    ],
)
def test_the_language_is_the_readers(cookie, accepted, expected):
    assert speech.language(cookie, accepted) == expected


def test_what_pages_say_of_problems_is_what_problems_say():
    """The catalogues' list of problem texts is that of the API, word by word."""
    said = {text for kind in problems.KINDS.values() for text in (kind.title, kind.remedy)}
    assert set(words.PROBLEMS) == said


@pytest.mark.parametrize(
    "codes",
    [
        [state.value for state in CommandState],
        [kind.name.lower() for kind in CommandKind if kind is not CommandKind.FIRMWARE_BLOCK],
        [state.name.lower() for state in RelayState],
        [role.value for role in Role],
        [check.name.lower() for check in Check],
        [f"decode:{kind.value}" for kind in DecodeErrorKind],
    ],
)
def test_every_state_and_kind_has_a_word_in_every_language(codes):
    for code in codes:
        for name in OTHERS:
            assert words.word(code, speech.catalogue(name)) not in {code, code.replace("_", " ")}


def test_a_code_nobody_knows_is_shown_without_its_underscores():
    texts = speech.catalogue("en")
    assert words.word("phase_failure.l1", texts) == "phase failure: l1"
    assert words.word("supply.weekend", texts) == "supply: weekend"
