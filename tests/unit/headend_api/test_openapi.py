"""The committed OpenAPI document is the code's, and holds together."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from headend.api.export.lists import OFFERED as FILES
from headend.api.routes.exports import OFFERED

DOCS = Path(__file__).parents[3] / "docs"


def _text() -> str:
    spec = importlib.util.spec_from_file_location("write_openapi", DOCS / "write_openapi.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.text()


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(_text())


def _operations(document):
    return [
        (path, method, one)
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    ]


def test_the_committed_document_is_current():
    committed = (DOCS / "openapi.json").read_text(encoding="utf-8")
    assert committed == _text(), "run: .venv/bin/python docs/write_openapi.py"


def test_every_reference_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    found = set(references(document))
    assert len(found) > 20
    for reference in found:
        here = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


def test_operations_have_names_of_their_own_and_words(document):
    names = [one["operationId"] for _, _, one in _operations(document)]
    assert len(set(names)) == len(names)
    for path, method, one in _operations(document):
        assert one.get("description"), (path, method)
        assert one.get("tags"), (path, method)


def test_every_operation_says_which_problems_it_ends_in(document):
    for path, method, one in _operations(document):
        if not path.startswith("/v1/"):
            continue
        assert {"401", "422"} <= set(one["responses"]), (path, method)
        for status, answer in one["responses"].items():
            if status in {"204", "304"}:
                continue
            kinds = list(answer["content"])
            if int(status) >= 400:
                assert kinds == ["application/problem+json"], (path, status)
            elif path == "/v1/readings":
                assert kinds == [one.value for one in OFFERED]
            elif path.startswith("/v1/greenbutton/"):
                assert kinds == ["application/atom+xml"], (path, status)
            elif path != "/v1/stream":
                files = [one.value for one in FILES if one.value in kinds]
                assert sorted(kinds) == sorted({"application/json", *files}), (path, status)
                assert answer["content"]["application/json"]["schema"], (path, status)


def test_money_and_values_are_integers(document):
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        for field, kind in schema.get("properties", {}).items():
            if field.endswith("_mu") or field in {"value", "scaler"}:
                kinds = {k.get("type") for k in kind.get("anyOf", [kind])}
                assert kinds <= {"integer", "null"}, (name, field)
