"""The third-party files of the pages are what their README says, and nothing else is loaded."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import headend.web

WEB = Path(headend.web.__file__).parent
VENDOR = WEB / "static" / "vendor"


def test_every_file_is_the_one_in_the_table():
    table = (VENDOR / "README.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| ") and "SHA" not in line
    ]
    listed = {row[3]: row[5] for row in rows}
    code = {f.name for f in VENDOR.iterdir() if f.suffix in {".js", ".mjs", ".css", ".json"}}
    assert set(listed) == code
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_every_library_has_its_licence():
    code = (f for f in VENDOR.iterdir() if f.suffix in {".js", ".mjs", ".json"})
    libraries = {f.name.split("-")[0] for f in code}
    assert {f.name.split("-")[0] for f in VENDOR.glob("*LICENSE*")} == libraries


def test_templates_have_no_inline_script_or_style_and_call_nobody():
    for file in (WEB / "templates").glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), file.name
        assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", text), file.name
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), file.name
        assert "|safe" not in text, file.name
