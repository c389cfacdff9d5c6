"""The OpenAPI 3.1 document: FastAPI's, with our answers' schemas and the ways to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.openapi.utils import get_openapi

from headend.api import (
    contract_views,
    data_views,
    enrol_views,
    outage_views,
    people_views,
    reads_views,
    vee_views,
)
from headend.api.access import SESSION_COOKIE
from headend.api.answers import PROBLEMS_ANYWHERE, problem_entry
from headend.api.fields import KEY_PATTERN
from headend.api.permissions import needed
from headend.api.problems import ProblemDocument
from headend.api.views import schemas

if TYPE_CHECKING:
    from fastapi import FastAPI

API_VERSION = "1.0.0"
_KEY = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": KEY_PATTERN},
    "description": "Your own name for this wish, 1 to 200 visible ASCII characters. For 24 hours "
    "the same key with the same request gives the same octets again; another request is refused.",
}
DESCRIPTION = """\
The head-end of an ohmesh metering system.

* **Times** are RFC 3339 in UTC. An interval is named by its END.
* **Values** are integers: `value` x 10^`scaler` in `unit`. Money is an integer of mu, 1e-5 of the
  currency unit. There are no floating-point numbers but positions in metres.
* **Lists** come in pages: `items`, and `next`, a cursor for the next page (also as `Link`).
* **Errors** are problem documents (RFC 9457); `type` is a page of this server that explains it.
* **Writes** take an `Idempotency-Key`; where it is required, it is kept with the row that was made.
  The same key with the same content gives the first answer again (optional keys: the same octets
  and status, for 24 hours) and does nothing; with other content it is refused.
* **Tokens**: `Authorization: Bearer TOKEN`, an API key or an access token. On loopback reading may
  need none (`api.open_reads`); writing always does. `x-permission` says what an operation needs.
"""


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an app's routes."""
    found = get_openapi(
        title=app.title,
        version=API_VERSION,
        openapi_version="3.1.0",
        summary="Meters, readings, mesh, commands and prepaid accounts",
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    found["paths"] = dict(sorted(found["paths"].items()))  # whatever order routes are found in
    keyed: frozenset[str] = app.state.keyed
    components = found.setdefault("components", {})
    own = components.setdefault("schemas", {})
    own.update(schemas() | schemas(people_views.KINDS, people_views.PAGED))
    own.update(schemas(vee_views.KINDS, vee_views.PAGED))
    own.update(schemas(contract_views.KINDS, contract_views.PAGED))
    own.update(schemas(reads_views.KINDS, reads_views.PAGED))
    own.update(schemas(data_views.KINDS, data_views.PAGED))
    own.update(schemas(outage_views.KINDS, outage_views.PAGED))
    own.update(schemas(enrol_views.KINDS, enrol_views.PAGED))
    own.update(
        msgspec.json.schema_components(
            (ProblemDocument,), ref_template="#/components/schemas/{name}"
        )[1]
    )
    for name in ("HTTPValidationError", "ValidationError"):
        own.pop(name, None)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
    }
    # FastAPI writes OpenAPI 3.2's itemSchema; 3.1 knows a stream as text.
    stream = found["paths"]["/v1/stream"]["get"]["responses"]["200"]
    stream["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    found["security"] = [{"token": []}, {"session": []}]
    for path in ("/healthz", "/readyz"):
        found["paths"][path]["get"]["security"] = []
    for methods in found["paths"].values():
        for operation in methods.values():
            if operation["operationId"] in keyed:
                operation.setdefault("parameters", []).append(_KEY)
                operation["responses"].setdefault(
                    "409", problem_entry("the key has another request")
                )
            operation["x-permission"] = needed(operation["operationId"])
            for status, description in PROBLEMS_ANYWHERE.items():
                operation["responses"].setdefault(str(status), problem_entry(description))
    return found
