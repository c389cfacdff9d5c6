"""What Prometheus reads, held against Prometheus's own rules for names."""

from __future__ import annotations

import re

from api_site import OTHER, client_of
from prometheus_client.parser import text_string_to_metric_families
from seeding import METERS

UNITS = re.compile(r"_(seconds|bytes|ratio|joules|volts|total|info)$")
COUNTS = {"meters", "gateways", "quarantined", "accounts"}


def families(text):
    return {one.name: one for one in text_string_to_metric_families(text)}


async def test_metrics_count_by_operation_and_never_by_meter(api):
    await api.get("/v1/meters/M0001")
    await api.get("/v1/meters/M0002")
    await api.get("/no/such/place")
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = families(answer.text)
    requests = {
        (s.labels["operation"], s.labels["code"]): s.value
        for s in found["ohmesh_headend_http_requests"].samples
        if s.name.endswith("_total")
    }
    assert requests["get_meter", "200"] == 2
    assert ("none", "404") in requests
    assert found["ohmesh_headend_meters"].samples[0].value >= METERS
    assert "M0001" not in answer.text


async def test_names_keep_the_rules(api):
    for name, one in families((await api.get("/metrics")).text).items():
        assert re.fullmatch(r"ohmesh_[a-z][a-z0-9_]*", name)
        assert one.documentation.endswith(".")
        last = name.removeprefix("ohmesh_headend_")
        counter = one.type == "counter"
        assert counter or UNITS.search(name) or last in COUNTS or name == "ohmesh_build_info", name


async def test_metrics_are_closed_and_each_tenant_s_own(app, stranger):
    assert (await stranger.get("/metrics")).status_code == 401
    async with client_of(app, OTHER) as neighbour:
        found = families((await neighbour.get("/metrics")).text)
    assert found["ohmesh_headend_meters"].samples[0].value < METERS
