"""The way up through a real broker, with a head-end that is not always kind."""

from __future__ import annotations

import asyncio
import signal

import pytest

from ohmesh.wire.uplink import encode_ack


async def test_a_telegram_arrives_soon_and_its_row_is_freed_by_the_head_end_alone(
    head_end, gateway_process, bench, wait_until
):
    head_end.acknowledging = False
    gateway = gateway_process()
    client = await bench(gateway)
    assert await wait_until(lambda: head_end.states)
    assert head_end.states[-1]["state"] == "online"
    answer = await client.put()
    assert answer == {"ok": True, "epoch": answer["epoch"], "seq": 0}
    assert await wait_until(lambda: head_end.batches)
    await asyncio.sleep(0.5)
    assert gateway.stop() == 0
    assert await wait_until(lambda: head_end.states[-1]["state"] == "offline")
    assert head_end.states[-1]["backlog"] == 1, "the broker's acknowledgement frees nothing"
    head_end.acknowledging = True
    head_end.batches.clear()
    gateway.start()
    assert await wait_until(lambda: head_end.batches)
    await asyncio.sleep(0.3)
    gateway.stop()
    assert await wait_until(lambda: head_end.states[-1]["backlog"] == 0)
    assert head_end.payloads() == [b"B-1"]


async def test_what_nobody_acknowledges_is_sent_again(head_end, gateway_process, bench, wait_until):
    head_end.acknowledging = False
    client = await bench(gateway_process())
    await client.put()
    assert await wait_until(lambda: head_end.batches)
    head_end.acknowledging = True
    assert await wait_until(lambda: len(head_end.batches) >= 2, 15)
    count = len(head_end.batches)
    await asyncio.sleep(4)
    assert len(head_end.batches) == count


async def test_late_doubled_and_invented_acknowledgements_change_nothing(
    head_end, gateway_process, bench, wait_until
):
    head_end.acknowledging = False
    gateway = gateway_process()
    client = await bench(gateway)
    for _ in range(10):
        epoch = (await client.put())["epoch"]
    assert await wait_until(lambda: len(head_end.rows) == 10)
    for octets in (
        encode_ack(epoch, 6),
        encode_ack(epoch, 6),
        encode_ack(epoch, 2),
        encode_ack(epoch, 11),
        encode_ack(epoch, 2**63 - 1),
        encode_ack(epoch + 1, 10),
        b"",
        b"garbage",
        b"\x01\x01\x00\x00",
        b"\x00" * 100_000,
    ):
        await head_end.say("ack", octets)
    await asyncio.sleep(0.5)
    gateway.stop()
    assert await wait_until(lambda: head_end.states[-1]["state"] == "offline")
    assert head_end.states[-1]["backlog"] == 4
    messages = [line["message"] for line in gateway.lines()]
    assert sum("not an acknowledgement" in m for m in messages) == 4
    assert sum("ignored" in m for m in messages) == 2


async def test_a_broker_that_dies_and_forgets_costs_nothing(
    head_end, gateway_process, bench, broker, wait_until
):
    client = await bench(gateway_process())
    for turn in range(5):
        for _ in range(40):
            assert (await client.put())["ok"]
        broker.stop()
        for _ in range(40):
            assert (await client.put())["ok"], "the outbox does not need the broker"
        if turn % 2:
            head_end.acknowledging = not head_end.acknowledging
        broker.start()
    head_end.acknowledging = True
    assert await wait_until(lambda: sorted(head_end.payloads()) == sorted(client.sent))
    assert head_end.conflicts == []


async def test_a_will_tells_of_a_gateway_that_vanished(
    head_end, gateway_process, bench, wait_until
):
    gateway = gateway_process()
    await bench(gateway)
    assert await wait_until(lambda: head_end.states)
    gateway.kill()
    assert await wait_until(lambda: head_end.states[-1]["state"] == "offline")


async def test_a_backlog_drains_in_full_batches(
    head_end, gateway_process, bench, broker, wait_until
):
    broker.stop()
    gateway = gateway_process(UPLINK__BATCH_TELEGRAMS="50")
    clients = await asyncio.gather(*(bench(gateway, f"B{n}") for n in range(8)))

    async def fill(client):
        for _ in range(100):
            await client.put()

    await asyncio.gather(*(fill(client) for client in clients))
    broker.start()
    assert await wait_until(lambda: len(head_end.rows) == 800)
    taken = {place: payload for client in clients for place, payload in client.taken.items()}
    assert {place: row.payload for place, row in head_end.rows.items()} == taken
    assert max(len(batch.rows) for batch in head_end.batches) == 50
    assert len(head_end.batches) <= 3 * 800 / 50


@pytest.mark.parametrize(
    ("kills", "pause_s"),
    [
        (20, 0.01),
        pytest.param(500, 0.01, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
        pytest.param(60, 0.15, marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
async def test_kill_9_at_any_moment_loses_nothing_and_doubles_no_number(
    head_end, gateway_process, bench, wait_until, kills, pause_s
):
    gateway = gateway_process()
    clients = await asyncio.gather(*(bench(gateway, f"B{n}") for n in range(4)))
    stopping = False

    async def load(client):
        while not stopping:
            try:
                await client.put()
            except (ConnectionError, asyncio.IncompleteReadError):
                client.close()
                await client.connect()

    tasks = [asyncio.create_task(load(client), name=client.name) for client in clients]
    for turn in range(kills):
        before = sum(len(client.taken) for client in clients)
        assert await wait_until(
            lambda before=before: sum(len(c.taken) for c in clients) > before + 20
        )
        await asyncio.sleep(pause_s * (turn % 7))
        gateway.kill()
        gateway.start()
    stopping = True
    await asyncio.gather(*tasks)
    taken = {place: payload for client in clients for place, payload in client.taken.items()}
    assert len(taken) > 20 * kills
    assert len({epoch for epoch, _ in taken}) == 1, "a kill is no reason for a new epoch"
    assert await wait_until(lambda: taken.keys() <= head_end.rows.keys())
    assert {place: head_end.rows[place].payload for place in taken} == taken
    assert head_end.conflicts == []
    sent = set().union(*(client.sent for client in clients))
    assert set(head_end.payloads()) <= sent
    assert gateway.stop() == 0


async def test_sigterm_ends_it_within_five_seconds_even_without_a_broker(
    gateway_process, bench, broker
):
    gateway = gateway_process()
    client = await bench(gateway)
    await client.put()
    broker.stop()
    assert gateway.stop() == 0
    assert "stopped" in [line["message"] for line in gateway.lines()]


async def test_sigterm_ends_it_in_order_while_the_broker_hangs(gateway_process, bench, broker):
    gateway = gateway_process()
    client = await bench(gateway)
    await client.put()
    broker._process.send_signal(signal.SIGSTOP)
    try:
        await client.put()
        assert gateway.stop() == 0
    finally:
        broker._process.send_signal(signal.SIGCONT)


async def test_the_bench_port_answers_whatever_comes(gateway_process, bench):
    gateway = gateway_process()
    client = await bench(gateway)
    for line in (b"garbage", b"{}", b"\xff\xfe", b"", b'{"meter": 1}', b"[" * 5000):
        answer = await client.ask(line)
        assert answer["ok"] is False
        assert answer["error"]
    assert (await client.put())["ok"]
    assert (await client.ask(b"x" * 400_000))["error"].startswith("a line over")
    again = await bench(gateway, "C")
    assert (await again.put())["seq"] == 1


async def test_lines_that_arrive_together_are_answered_one_by_one(gateway_process, bench):
    client = await bench(gateway_process(OUTBOX__MAX_BYTES=str(2**17)))
    good, large = (
        b'{"meter": "M", "profile": "", "payload_hex": "%s"}' % (b"00" * size)
        for size in (10, 20_000)
    )
    answers = await client.ask_all([good, b"garbage", good, *[large] * 8, good])
    assert [a["ok"] for a in answers[:3]] == [True, False, True]
    assert [a["seq"] for a in answers if a["ok"]] == list(range(sum(a["ok"] for a in answers)))
    refused = [a["error"] for a in answers[3:] if not a["ok"]]
    assert refused
    assert all("bound" in error for error in refused)
    assert answers[3]["ok"], "those that still fit are taken"


async def test_a_full_outbox_refuses_and_recovers(head_end, gateway_process, bench):
    head_end.acknowledging = False
    gateway = gateway_process(OUTBOX__MAX_BYTES=str(2**17))
    client = await bench(gateway)
    line = b'{"meter": "M", "profile": "", "payload_hex": "%s"}' % (b"00" * 20_000)
    answers = [await client.ask(line) for _ in range(8)]
    assert [a["ok"] for a in answers] == [True] * 5 + [False] * 3
    assert "bound" in answers[-1]["error"]
    head_end.acknowledging = True
    for _ in range(150):
        await asyncio.sleep(0.2)
        if (await client.ask(line))["ok"]:
            return
    pytest.fail("it never took a telegram again")


async def test_a_second_gateway_on_the_same_outbox_refuses_to_start(gateway_process, bench):
    first = gateway_process()
    await bench(first)
    second = gateway_process(BENCH__ENABLED="false")
    assert second.process.wait(120) == 1
    assert "open in another program" in second.log.read_text()
