"""Whatever bytes arrive, ingest ends in an outcome: nothing raises, nothing is lost."""

from __future__ import annotations

import contextlib
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware_profiles import registry
from headend.ingest import senml
from headend.ingest.decode import Meter, decode
from headend.ingest.effects import Gateway, Item, collect
from headend.ingest.work import sort
from headend.mqtt import Delivery
from ohmesh.model.errors import DecodeError
from ohmesh.model.telegram import Telegram, TelegramKind
from ohmesh.wire.sealed import SealedKind, seal

KEY = bytes(range(16))
NOW_US = 1_767_225_600_000_000
meters = st.sampled_from(
    [
        None,
        Meter(1, 1, "M1", "M1", "nl_dsmr", 1),
        Meter(2, 1, "M2", "M2", "no_han", 1, KEY),
        Meter(3, 1, "M3", "M3", "not_installed", 1),
        Meter(4, 1, "M4", "M4", "nl_dsmr", 1, None, "another KEK"),
    ]
)
telegrams = st.builds(
    Telegram,
    st.sampled_from(TelegramKind),
    st.sampled_from(["mesh", "direct"]),
    st.just("M2"),
    st.just(""),
    st.integers(0, 2**63 - 1),
    st.binary(max_size=400) | st.binary(max_size=60).map(lambda b: b"[" + b),
)


@settings(max_examples=500)
@given(telegrams, meters)
def test_any_telegram_has_an_outcome(telegram, meter):
    outcome = decode(telegram, meter)
    assert outcome.reason is None or outcome.reason.code
    item = Item(telegram, Gateway(1, 1, "gw1"), 1, 0, meter)
    effects = collect([(item, outcome)], set())
    assert (outcome.reason is not None) == bool(effects.held)


@settings(max_examples=300)
@given(st.sampled_from(SealedKind), st.binary(max_size=120), st.integers(0, 2**32 - 1))
def test_any_sealed_body_has_an_outcome(kind, body, counter):
    meter = Meter(2, 1, "M2", "M2", "no_han", 1, KEY)
    payload = seal(KEY, "M2", kind, counter, body)
    telegram = Telegram(TelegramKind.METER, "mesh", "M2", "", 0, payload)
    outcome = decode(telegram, meter)
    assert outcome.reason is not None or outcome.counter == counter


@given(st.dictionaries(st.text(max_size=10), st.integers() | st.text(max_size=20), max_size=4))
def test_events_are_objects_with_a_kind(detail):
    body = msgspec.json.encode(detail | {"kind": "tamper"})
    meter = Meter(2, 1, "M2", "M2", "no_han", 1, KEY)
    payload = seal(KEY, "M2", SealedKind.EVENT, 1, body)
    outcome = decode(Telegram(TelegramKind.METER, "mesh", "M2", "", 0, payload), meter)
    if b"\\u0000" in body:
        assert outcome.reason is not None
    else:
        assert outcome.event is not None
        assert outcome.event.kind == "tamper"


topic = st.sampled_from(
    [
        "",
        "ohmesh/v1/gw/gw1/up",
        "ohmesh/v1/gw/gw1/state",
        "ohmesh/v1/gw//up",
        "ohmesh/v1/meter/M1/up",
        "ohmesh/v1/meter/\0/up",
        "ohmesh/v1/meter/M1/down",
        "other",
    ]
)


@settings(max_examples=500)
@given(st.lists(st.tuples(topic, st.binary(max_size=200)), max_size=10))
@example([("ohmesh/v1/gw/gw1/state", b"[" * 4000)])
def test_any_message_is_sorted(messages):
    deliveries = [Delivery(topic, payload) for topic, payload in messages]
    work, used = sort(deliveries, 10**6)
    assert used == len(deliveries)
    states = sum(1 for d in deliveries if d.topic.endswith("/state"))
    told = len(work.batches) + len(work.direct) + len(work.refused)
    assert len(deliveries) - states <= told <= len(deliveries)


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=0, max_value=10**9)


@given(numbers, st.sampled_from(["Wh", "kWh", None]), st.integers(0, 2**31))
def test_senml_values_are_exact_to_the_registers_resolution(value, unit, second):
    spec = registry.load("nl_dsmr").spec
    record = f'[{{"n": "el.energy.import", "v": {value}, "t": {second}'
    body = (record + (f', "u": "{unit}"' if unit else "") + "}]").encode()
    ((register, time_us, mantissa),) = senml.decode(body, spec, NOW_US)
    factor = 1000 if unit == "kWh" else 1
    resolution = Decimal(10) ** register.scaler
    assert abs(mantissa * resolution - value * factor) <= resolution / 2
    assert time_us == 10**6 * second + (NOW_US if second < 2**28 else 0)


@given(
    st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(-(10**6), 10**6),
)
def test_base_values_are_added_from_their_record_on(numbers, base):
    spec = registry.load("nl_dsmr").spec
    scaler = spec.registers["el.energy.import"].scaler
    texts = [f"{Decimal(value).scaleb(-places):f}" for value, places in numbers]
    records = [f'{{"n": "import", "v": {text}, "t": {n}}}' for n, text in enumerate(texts)]
    records.insert(1, f'{{"bv": {base}, "bt": 300000000}}')
    records[0] = records[0].replace("{", '{"bn": "x/el.energy.", "bu": "Wh", ', 1)
    found = senml.decode(f"[{','.join(records)}]".encode(), spec, NOW_US)
    wanted = [Decimal(text) + (base if n else 0) for n, text in enumerate(texts)]
    assert [s.value for s in found] == [
        int(one.scaleb(-scaler).to_integral_value(ROUND_HALF_EVEN)) for one in wanted
    ]
    assert [s.time_us for s in found] == [
        10**6 * (300_000_000 + n) if n else NOW_US for n in range(len(texts))
    ]


@pytest.mark.parametrize("label", ["new_", "ne\\u0077_", "new\\u005f"])
def test_a_label_that_must_be_understood_is_seen_however_it_is_written(label):
    body = f'[{{"n": "el.energy.import", "v": 1, "{label}": 2}}]'.encode()
    with pytest.raises(DecodeError, match="must be understood"):
        senml.decode(body, registry.load("nl_dsmr").spec, NOW_US)


@settings(max_examples=500)
@given(st.binary(max_size=80) | st.text(alphabet='[]{}",:bnvtu0123456789.eE- ', max_size=80))
def test_senml_never_raises_anything_else(text):
    body = text if isinstance(text, bytes) else text.encode()
    with contextlib.suppress(DecodeError):
        senml.decode(body, registry.load("nl_dsmr").spec, NOW_US)
