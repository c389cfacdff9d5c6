"""The gate of the API's document: what breaks clients is named, what adds is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from headend.api.compat import breaking

COMMITTED = json.loads((Path(__file__).parents[3] / "docs/openapi.json").read_text())
METERS = ("paths", "/v1/meters")


@pytest.fixture
def newer():
    return copy.deepcopy(COMMITTED)


def test_the_same_breaks_nothing(newer):
    assert breaking(COMMITTED, newer) == []


def test_additions_break_nothing(newer):
    schemas = newer["components"]["schemas"]
    newer["paths"]["/v1/more"] = {"get": {"responses": {}}}
    schemas["Meter"]["properties"]["colour"] = {"type": "string"}
    schemas["RegisterMeter"]["properties"]["colour"] = {"type": "string"}
    newer["paths"]["/v1/meters"]["get"]["parameters"].append(
        {"in": "query", "name": "colour", "schema": {"type": "string"}}
    )
    assert breaking(COMMITTED, newer) == []


def drop_path(d):
    del d["paths"]["/v1/meters"]


def drop_method(d):
    del d["paths"]["/v1/meters"]["post"]


def drop_parameter(d):
    p = d["paths"]["/v1/meters"]["get"]["parameters"]
    p[:] = [one for one in p if one["name"] != "prefix"]


def demand_parameter(d):
    next(p for p in d["paths"]["/v1/meters"]["get"]["parameters"] if p["name"] == "prefix")[
        "required"
    ] = True


def drop_field(d):
    del d["components"]["schemas"]["Meter"]["properties"]["address"]


def loosen_field(d):
    d["components"]["schemas"]["Meter"]["required"].remove("address")


def null_field(d):
    d["components"]["schemas"]["Meter"]["properties"]["address"] = {
        "anyOf": [{"type": "string"}, {"type": "null"}]
    }


def retype_field(d):
    d["components"]["schemas"]["Meter"]["properties"]["interval_s"] = {"type": "string"}


def demand_field(d):
    d["components"]["schemas"]["RegisterMeter"]["required"].append("node")


def narrow_field(d):
    d["components"]["schemas"]["RegisterMeter"]["properties"]["interval_s"]["minimum"] = 300


def drop_body_field(d):
    del d["components"]["schemas"]["RegisterMeter"]["properties"]["node"]


def drop_format(d):
    del d["paths"]["/v1/meters"]["get"]["responses"]["200"]["content"]["text/csv"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_path, "GET /v1/meters: gone"),
        (drop_method, "POST /v1/meters: gone"),
        (drop_parameter, "parameter prefix is gone"),
        (demand_parameter, "parameter prefix is required now"),
        (drop_field, "/address: gone"),
        (loosen_field, "/address: comes no more for certain"),
        (null_field, "/address: may be null now"),
        (retype_field, "/interval_s: may be string now"),
        (demand_field, "/node: required now"),
        (narrow_field, "/interval_s: minimum is 300 now"),
        (drop_body_field, "/node: gone"),
        (drop_format, "gives no text/csv any more"),
    ],
)
def test_what_breaks_is_named(newer, change, words):
    change(newer)
    found = breaking(COMMITTED, newer)
    assert any(words in line for line in found), found
