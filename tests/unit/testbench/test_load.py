from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime

import httpx
import pytest

from firmware_profiles import registry
from meter_sim.load import headend
from meter_sim.load.fleet import Burst, LoadPlan, batches, gateway_name, meter_name
from ohmesh.wire.uplink import decode_batch

END_MS = 1_767_226_500_000


def plan(**changes):
    fields = {
        "meters": 1203,
        "gateways": 7,
        "profile": registry.load("no_han"),
        "interval_s": 900,
        "burst": Burst.ALIGNED,
        "rounds": 2,
        "end_ms": END_MS,
        "epoch": 5,
    }
    return LoadPlan(**fields | changes)


@pytest.mark.parametrize("burst", list(Burst))
def test_every_meter_speaks_once_a_round_and_every_outbox_counts_without_a_gap(burst):
    spoken, numbers = Counter(), defaultdict(set)
    for record in batches(plan(burst=burst)):
        batch = decode_batch(record.payload)
        assert record.place == f"ohmesh/v1/gw/{batch.gateway}/up"
        assert batch.epoch == 5
        numbers[batch.gateway] |= set(range(batch.first_seq, batch.end_seq))
        spoken.update((row.meter, row.received_at_ms) for row in batch.rows)
    ends = (END_MS, END_MS + 900_000)
    assert spoken == Counter({(meter_name(n), end): 1 for n in range(1203) for end in ends})
    assert set(numbers) == {gateway_name(n) for n in range(7)}
    for found in numbers.values():
        assert found == set(range(len(found)))
    assert sum(map(len, numbers.values())) == plan().telegrams


def test_telegrams_are_real_ones():
    record = next(iter(batches(plan())))
    row = decode_batch(record.payload).rows[0]
    said = registry.load("no_han").decode(row.payload)
    assert said.time.timestamp() * 1000 == END_MS
    assert {r.register.channel for r in said.readings} == {"el.energy.import", "el.energy.export"}


def test_a_jittered_round_is_spread_over_its_interval_and_an_aligned_one_is_not():
    offsets = {
        burst: {r.at_us - END_MS * 1000 for r in batches(plan(burst=burst, rounds=1))}
        for burst in Burst
    }
    assert offsets[Burst.ALIGNED] == {0}
    spread = offsets[Burst.JITTERED]
    assert len(spread) == 28
    assert min(spread) == 0
    assert 850_000_000 < max(spread) < 900_000_000


def test_values_rise_from_round_to_round():
    energies = defaultdict(list)
    for record in batches(plan(meters=3, gateways=1, rounds=4)):
        for row in decode_batch(record.payload).rows:
            said = registry.load("no_han").decode(row.payload)
            energies[row.meter].append(said.readings[0].value)
    for values in energies.values():
        assert values == sorted(set(values))


@pytest.mark.parametrize(("answers", "stored"), [([503, 503, 200], 7), ([503] * 9, None)])
async def test_a_report_that_does_not_come_in_time_is_none(monkeypatch, answers, stored):
    left = iter(answers)

    def client(_):
        transport = httpx.MockTransport(lambda _: httpx.Response(next(left), json={"stored": 7}))
        return httpx.AsyncClient(transport=transport, base_url="http://headend")

    monkeypatch.setattr(headend.Api, "_client", client)
    monkeypatch.setattr(headend, "_RETRY_S", 0)
    monkeypatch.setattr(headend, "_PATIENCE_S", 60 if stored else -1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert await headend.Api("http://headend", "t").stored("el.energy.import", now, now) == stored
