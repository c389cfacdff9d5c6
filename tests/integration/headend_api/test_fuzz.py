"""Whatever is sent to any operation: an answer that the document knows, and never a failure."""

from __future__ import annotations

import json
from urllib.parse import quote

from api_site import client_of, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeding import HOSTILE

from headend.api import openapi

_odd = st.sampled_from(
    ["", "0", "-1", "1e309", "NaN", "null", "%00", HOSTILE, "2026-03-01T00:00:00Z", "A-1", "M0001"]
)
_text = st.one_of(_odd, st.text(max_size=30))
_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False),
        _text,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_text, inner, max_size=3)),
    max_leaves=6,
)


def _plain(text: str) -> str:
    """What a client library can put into a URL: no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


@given(data=st.data())
@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_no_question_makes_it_fail(site, data):
    async with running(site) as app, client_of(app) as client:
        document = openapi.document(app)
        schemas = document["components"]["schemas"]
        path, method = data.draw(
            st.sampled_from(
                [
                    (path, method)
                    for path, methods in document["paths"].items()
                    for method in methods
                    if path != "/v1/stream"
                ]
            )
        )
        operation = document["paths"][path][method]
        url, query, headers = path, [], {}
        for parameter in operation.get("parameters", ()):
            value = _plain(data.draw(_text))
            if parameter["in"] == "path":
                url = url.replace("{" + parameter["name"] + "}", quote(value, safe="") or "x")
            elif parameter["in"] == "query" and data.draw(st.booleans()):
                query.append((parameter["name"], value))
            elif parameter["in"] == "header":
                headers[parameter["name"]] = value.encode("ascii", "ignore").decode().strip() or "k"
        content = None
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            fields = list(schemas[reference.rsplit("/", 1)[1]]["properties"])
            body = {name: data.draw(_json) for name in data.draw(st.sets(st.sampled_from(fields)))}
            content = json.dumps(body)
            headers["Content-Type"] = "application/json"
        headers = {name: "".join(c for c in v if c.isprintable()) for name, v in headers.items()}
        answer = await client.request(method, url, params=query, content=content, headers=headers)
        assert answer.status_code < 500, (method, url, query, content, answer.text)
        assert str(answer.status_code) in {*operation["responses"], "405", "400"}, answer.text
        kind = answer.headers["content-type"]
        assert kind.startswith("application/problem+json" if answer.is_error else "application/")
