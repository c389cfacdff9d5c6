"""schemathesis over the whole document: no failure of the server, no answer it does not name."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest
import schemathesis
import uvicorn
from api_site import TOKEN, running
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from headend.api import openapi

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
ENDLESS = {"/v1/stream"}
EXAMPLES, EXAMPLES_SOAK = 4, 5000


@contextmanager
def serving(site):
    """The API on a port, in a thread. Yields: its address and its document."""
    ready, box = threading.Event(), {}

    async def main():
        async with running(site, requests_per_s=1_000_000) as app:
            box["document"] = openapi.document(app)
            config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
            server = box["server"] = uvicorn.Server(config)
            task = asyncio.create_task(server.serve())
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.02)
            box["port"] = server.servers[0].sockets[0].getsockname()[1]
            ready.set()
            await task

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="contract")
    thread.start()
    try:
        assert ready.wait(120)
        yield f"http://127.0.0.1:{box['port']}", box["document"]
    finally:
        box["server"].should_exit = True
        thread.join(20)


def hold(site, examples):
    """Every operation, `examples` times, with data that fits and data that does not."""
    tried, failures = [], []
    with serving(site) as (url, document):
        schema = schemathesis.openapi.from_dict(document)
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path not in ENDLESS:
                tried.append(operation.label)
                try:
                    hold_one(operation, url, examples)
                except (FailureGroup, ExceptionGroup) as error:
                    failures += [f"{operation.label}: {e}" for e in error.exceptions]
    assert failures == [], "\n\n".join(failures)
    return tried


def hold_one(operation, url, examples):
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])
    strangers = [ignored_auth] * EXAMPLES  # afterwards a stranger has had its share: 429

    @given(cases)
    @settings(
        max_examples=examples,
        database=None,
        derandomize=examples == EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        checks = [*CHECKS, strangers.pop()] if strangers else CHECKS
        case.call_and_validate(base_url=url, headers=headers, checks=checks, timeout=30)

    one()


def test_every_operation_keeps_the_document(site):
    assert len(hold(site, EXAMPLES)) >= 30


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_operation_keeps_the_document_for_long(site):
    assert len(hold(site, EXAMPLES_SOAK)) >= 30
