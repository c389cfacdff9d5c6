"""Meters with their own modem: telegrams or SenML on their own topic."""

from __future__ import annotations

import json
from random import Random

import pytest

from headend.ingest.work import sort
from headend.ingest.writer import Writer
from headend.mqtt import Delivery, MqttClient
from meter_sim.servers.mosquitto import Mosquitto
from ohmesh.wire.sealed import SealedKind, seal

NOW_MS = 1_767_225_600_000


@pytest.fixture
def publish(store):
    """What ingest does with messages on meters' topics."""
    connection = store.connect("ingest")
    writer = Writer(store.keystore)

    def run(*messages):
        deliveries = [Delivery(f"ohmesh/v1/meter/{meter}/up", body) for meter, body in messages]
        return writer.store(connection, sort(deliveries, 10**6)[0], now_ms=NOW_MS)

    return run


def pack(*records):
    return json.dumps(records).encode()


def test_a_telegram_of_the_profile_enters_like_any_other(store, publish, kit):
    store.meter("D1", key=None)
    stored = publish(("D1", kit.report(3, meter="D1")), ("D1", kit.report(4, meter="D1")))
    assert (stored.telegrams, stored.readings, stored.acks) == (2, 2, [])
    assert store.counts() == {"readings": 2, "telegrams": 2, "held": 0}
    assert store.rows("select distinct gateway_id from bulk.telegram") == [{"gateway_id": 0}]


def test_senml_is_read_exactly(store, publish):
    store.meter("D1", key=None)
    body = pack(
        {"bn": "urn:dev:ow:10e2073a01080063/", "bt": 1767225600, "n": "el.energy.import"}
        | {"u": "kWh", "v": 1234.567},
        {"n": "1-0:1.8.0", "u": "Wh", "v": 1234568, "t": 900},
    )
    assert publish(("D1", body)).readings == 2
    rows = store.rows(
        "select extract(epoch from ts)::bigint as at, r.value * power(10::numeric, scaler) as wh,"
        " r.status from bulk.reading r join ohmesh.channel c on c.id = r.channel order by ts"
    )
    assert [(row["at"], int(row["wh"]), row["status"]) for row in rows] == [
        (1767225600, 1234567, 0),
        (1767226500, 1234568, 0),
    ]


def test_a_repeated_message_stores_no_reading_twice(store, publish, kit):
    store.meter("D1", key=None)
    for _ in range(3):
        publish(("D1", kit.report(3, meter="D1")))
    assert store.counts()["readings"] == 1


def test_a_meter_with_a_key_must_seal(store, publish, kit):
    store.meter("D1")
    plain = pack({"n": "el.energy.import", "v": 1})
    assert publish(("D1", plain)).held == 1
    assert publish(("D1", seal(kit.KEY, "D1", SealedKind.REPORT, 1, plain))).readings == 1
    assert publish(("D1", seal(kit.KEY, "D1", SealedKind.REPORT, 1, plain))).repeated == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"[" * 50_000,
        b"[]",
        b"[1]",
        pack({"n": "el.energy.import"}),
        pack({"n": "el.energy.import", "v": "1"}),
        pack({"n": "el.energy.import", "v": True}),
        pack({"n": "el.energy.import", "u": "V", "v": 1}),
        pack({"n": "somebody.elses", "v": 1}),
        pack({"n": "el.energy.import", "v": 1, "new_": 2}),
        pack({"bver": 11, "n": "el.energy.import", "v": 1}),
        pack({"n": "el.energy.import", "v": 1, "t": 10**20}),
        b'[{"n": "el.energy.import", "v": 1e9999999}]',
        b'[{"n": "el.energy.import", "v": 1e25}]',
        b'[{"n": "el.energy.import", "v": NaN}]',
        b'[{"n": 1, "v": 1}]',
    ],
)
def test_bad_senml_is_held_with_a_reason(store, publish, body):
    store.meter("D1", key=None)
    good = pack({"n": "el.energy.import", "v": 5})
    stored = publish(("D1", body), ("D1", good))
    assert (stored.held, stored.readings) == (1, 1)
    assert store.value("select reason from bulk.telegram_quarantine").startswith("decode:")


@pytest.mark.mosquitto
@pytest.mark.parametrize(
    ("count", "limit_s"),
    [
        (2000, 60),
        pytest.param(600_000, 1800, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_one_message_in_ten_is_garbage_and_harms_only_itself(
    store, kit, tmp_path, until, count, limit_s
):
    """Over a real broker: what is stored and what is held are together what was sent."""
    meters = [f"D{n}" for n in range(40)]
    for meter in meters:
        store.meter(meter, key=None)
    random = Random(7)
    garbage = [
        lambda: random.randbytes(random.randrange(1, 200)),
        lambda: b"[" * random.randrange(1, 3000),
        lambda: b'[{"n":"el.energy.import","v":%d}]' % 10 ** random.randrange(20, 30),
        lambda: b'[{"n":"el.energy.import","v":1,"must_":1}]',
        lambda: b'[{"bn":"x/","n":"no.such","v":1}]',
        lambda: b"\xa7/",  # to the meter's own decoder a telegram in which nothing stands
    ]
    bodies = [
        random.choice(garbage)()
        if number % 10 == 0
        else pack({"n": "el.energy.import", "v": number, "t": 1767225600 + number})
        for number in range(count)
    ]
    with (
        Mosquitto(tmp_path, queued_max=0) as broker,
        kit.running_ingest(store, broker.url),
    ):
        sender = MqttClient(broker.url, client_id="modems")
        sender.start()
        assert sender.wait_connected(10)
        for number, body in enumerate(bodies):
            topic = f"ohmesh/v1/meter/{meters[number % len(meters)]}/up"
            until(lambda: sender.publish(topic, body, qos=1), limit_s)  # noqa: B023 - called at once
        until(lambda: store.counts()["telegrams"] == count, limit_s)
        sender.stop()
    assert store.counts() == {"readings": count * 9 // 10, "telegrams": count, "held": count // 10}
    values = store.rows(
        "select extract(epoch from ts)::bigint - 1767225600 as number,"
        " (value * power(10::numeric, scaler))::bigint as wh"
        " from bulk.reading r join ohmesh.channel c on c.id = r.channel"
    )
    assert {(row["number"], row["wh"]) for row in values} == {
        (number, number) for number in range(count) if number % 10
    }
