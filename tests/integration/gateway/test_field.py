"""Field drivers against simulated meters over real pseudo-terminals and TCP, into a real outbox.

The end of each test is a count: what the outbox holds is what the meters were asked for, and each
payload decodes, by the profile at the other end of the chain, to what the meter shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections import Counter

import pytest

from firmware_profiles import registry
from gateway.config import GatewaySettings
from gateway.drivers import schedule as schedule_module
from gateway.drivers import source as source_module
from gateway.field import Field, check_field
from gateway.outbox import Outbox, OutboxSettings
from meter_sim.field.dlms import DlmsResponder
from meter_sim.field.mbus import MbusResponder
from meter_sim.field.modbus import ModbusResponder
from meter_sim.field.optical import OpticalResponder
from meter_sim.field.push import PushingMeter, profile_telegram, readout_telegram
from meter_sim.field.reports import registers_of, report_of
from meter_sim.field.server import serve_pty, serve_tcp
from meter_sim.registers import WATT_MS_PER_WH
from meter_sim.servers.process import free_port
from ohmesh.model.errors import OutboxFull

NOW_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z
WAIT_S = 30


def clock_ms():
    return NOW_MS


@pytest.fixture(autouse=True)
def _quick_return(monkeypatch):
    """A lost line is tried again within a tenth of a second."""
    monkeypatch.setattr(source_module, "_RETRY_CAP_S", 0.1)


@contextlib.asynccontextmanager
async def gateway(tmp_path, **sections):
    """An outbox with the sources of a configuration running into it."""
    settings = GatewaySettings(**sections)
    check_field(settings)
    outbox = await Outbox.open(
        OutboxSettings(tmp_path / "outbox.db", 8 * 2**20, 0), clock_ms=clock_ms
    )
    sources = Field(outbox, clock_ms=clock_ms).sources(settings)
    tasks = [asyncio.create_task(outbox.run(), name="outbox")]
    tasks += [asyncio.create_task(s.run(), name=s.intake.name) for s in sources]
    try:
        yield outbox, {s.intake.name: s.intake.counts for s in sources}
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.close()


async def until(condition):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - lines have no events of ours
                await asyncio.sleep(0.01)
    assert condition()


async def stored(outbox):
    return await outbox.batch(0, limit=100_000, max_bytes=2**30)


def values(telegram):
    """Channel -> quantity, by the profile that the telegram names."""
    decoded = registry.load(telegram.profile).decode(telegram.payload)
    return {r.register.channel: r.quantity for r in decoded.readings}


def imported_wh(meter):
    return registers_of(meter, NOW_MS).import_wms // WATT_MS_PER_WH


def reported(profile, meter):
    report = report_of(registry.load(profile), meter, NOW_MS)
    return {r.register.channel: r.quantity for r in report.readings}


@contextlib.asynccontextmanager
async def tcp(new):
    async with serve_tcp(new, 0) as port:
        yield f"tcp://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("kind", "profile"),
    [("p1", "nl_dsmr"), ("sml", "de_sml"), ("tic", "fr_linky"), ("han", "no_han")],
)
@pytest.mark.parametrize("transport", ["pty", "tcp"])
async def test_meters_that_push(tmp_path, kind, profile, transport):
    telegram = profile_telegram(registry.load(profile), "M1", clock_ms, seed=1)

    def new():
        return PushingMeter(telegram, 0.02)

    async with contextlib.AsyncExitStack() as stack:
        if transport == "pty":
            line = await stack.enter_async_context(serve_pty(new(), tmp_path / "port"))
        else:
            line = await stack.enter_async_context(tcp(new))
        section = {"name": "a", "line": str(line), "meter": "house-7", "period_s": 0}
        section["profile"] = profile
        outbox, counts = await stack.enter_async_context(gateway(tmp_path, **{kind: [section]}))
        await until(lambda: outbox.state.next_seq >= 5)
        rows = await stored(outbox)
    assert {(t.source, t.meter, t.profile) for t in rows} == {(kind, "house-7", profile)}
    assert {t.payload for t in rows} == {telegram()}
    assert values(rows[0]) == reported(profile, "M1")
    assert counts[f"{kind} a"]["damaged"] == 0


async def test_one_telegram_of_each_period_is_taken(tmp_path):
    telegram = profile_telegram(registry.load("nl_dsmr"), "M1", clock_ms, seed=1)
    async with serve_pty(PushingMeter(telegram, 0.02), tmp_path / "port") as line:
        section = {"name": "a", "line": str(line), "meter": "M1", "period_s": 3600}
        async with gateway(tmp_path, p1=[section]) as (outbox, counts):
            await until(lambda: counts["p1 a"]["passed"] >= 10)
            assert outbox.state.next_seq == 1


async def test_readouts_that_are_pushed(tmp_path):
    telegram = readout_telegram(registry.load("de_sml"), "M1", clock_ms, seed=1)
    async with serve_pty(PushingMeter(telegram, 0.02), tmp_path / "port") as line:
        section = {"name": "a", "line": str(line), "meter": "M1", "period_s": 0}
        async with gateway(tmp_path, readout=[section]) as (outbox, _):
            await until(lambda: outbox.state.next_seq >= 3)
            rows = await stored(outbox)
    assert {t.payload for t in rows} == {telegram()}
    assert values(rows[0])["el.energy.import"] == reported("de_sml", "M1")["el.energy.import"]


@pytest.mark.parametrize("echo", [False, True])
async def test_a_meter_is_signed_on_and_gives_its_readout_at_the_agreed_speed(tmp_path, echo):
    telegram = readout_telegram(registry.load("de_sml"), "M1", clock_ms, seed=1, checked=True)
    meter = OpticalResponder(telegram, device="123", echo=echo)
    async with serve_pty(meter, tmp_path / "port") as line:
        section = {"name": "a", "line": str(line), "meter": "M1", "device": "123", "period_s": 0.1}
        async with gateway(tmp_path, optical=[section]) as (outbox, counts):
            await until(lambda: outbox.state.next_seq >= 2)
            rows = await stored(outbox)
    assert {t.payload for t in rows} == {telegram()}
    assert set(meter.switched) == {9600}
    assert values(rows[0])["el.energy.import"] == reported("de_sml", "M1")["el.energy.import"]
    assert counts["optical a"]["failed"] == 0


@pytest.mark.parametrize("transport", ["rtu", "tcp", "rtu behind a device server"])
async def test_many_modbus_meters_on_one_line(tmp_path, transport):
    units = dict.fromkeys(range(1, 41), "eastron_sdm")
    units |= dict.fromkeys(range(41, 46), "schneider_iem3000") | {50: "carlo_gavazzi_em24"}
    others = ("carlo_gavazzi_em300", "abb_b", "janitza_umg96", "eastron_sdm120", "eastron_sdm72")
    units |= dict(enumerate(others, 51))
    is_tcp = transport == "tcp"
    bus = ModbusResponder(units, clock_ms=clock_ms, tcp=is_tcp)
    section = {
        "name": "bus1",
        "period_s": 3600,
        "meters": [
            {"units": "1-40", "map": "eastron_sdm"},
            {"units": "41-45", "map": "schneider_iem3000"},
            {"units": "50", "map": "carlo_gavazzi_em24"},
            *({"units": str(unit), "map": name} for unit, name in enumerate(others, 51)),
        ],
    }
    async with contextlib.AsyncExitStack() as stack:
        if transport == "rtu":
            line = await stack.enter_async_context(serve_pty(bus, tmp_path / "port"))
        else:
            line = await stack.enter_async_context(tcp(lambda: bus))
            section["framing"] = "tcp" if is_tcp else "rtu"
        section["line"] = str(line)
        outbox, counts = await stack.enter_async_context(gateway(tmp_path, modbus=[section]))
        await until(lambda: outbox.state.next_seq >= len(units))
        rows = await stored(outbox)
    assert Counter(t.meter for t in rows) == dict.fromkeys((f"bus1-{u}" for u in units), 1)
    assert counts["modbus bus1"]["failed"] == 0
    profiles = {t.meter: t.profile for t in rows}
    assert profiles["bus1-40"] == profiles["bus1-45"] == "modbus"
    assert profiles["bus1-50"] == profiles["bus1-51"] == "modbus_em24"
    for telegram in rows:
        unit = int(telegram.meter.removeprefix("bus1-"))
        shown = values(telegram)["el.energy.import"]
        truth = imported_wh(f"unit-{unit}")
        assert truth * 0.9999 <= shown <= truth, "a float32 register loses digits, never more"


async def test_a_sunspec_meter_is_found(tmp_path):
    bus = ModbusResponder({1: "sunspec_meter_int", 2: "sunspec_meter_float"}, clock_ms=clock_ms)
    meters = [
        {"units": "1", "map": "sunspec_meter_int"},
        {"units": "2", "map": "sunspec_meter_float"},
    ]
    async with serve_pty(bus, tmp_path / "port") as line:
        section = {"name": "s", "line": str(line), "meters": meters, "period_s": 3600}
        async with gateway(tmp_path, modbus=[section]) as (outbox, _):
            await until(lambda: outbox.state.next_seq >= 2)
            rows = await stored(outbox)
    for telegram in rows:
        truth = imported_wh(f"unit-{telegram.meter.removeprefix('s-')}")
        assert truth * 0.9999 <= values(telegram)["el.energy.import"] <= truth


async def test_dead_modbus_meters_do_not_slow_the_living(tmp_path):
    """Two of ten live: in the time of fifty of their turns the dead cost a bounded few."""
    dead = frozenset(range(3, 11))
    bus = ModbusResponder(
        dict.fromkeys(range(1, 11), "carlo_gavazzi_em24"), clock_ms=clock_ms, dead=dead
    )
    meters = [{"units": "1-10", "map": "carlo_gavazzi_em24"}]
    async with serve_pty(bus, tmp_path / "port") as line:
        section = {"name": "b", "line": str(line), "meters": meters}
        section |= {"period_s": 0.1, "timeout_ms": 20}
        async with gateway(tmp_path, modbus=[section]) as (outbox, counts):
            await until(lambda: outbox.state.next_seq >= 50)
            rows = await stored(outbox)
    asked = counts["modbus b"]["failed"]
    assert {t.meter for t in rows} == {"b-1", "b-2"}
    # Three turns each until they are dead, then pauses of 0.2, 0.4, 0.8 ... s: a handful more.
    assert len(dead) * schedule_module.DEAD_AFTER <= asked <= len(dead) * 10


async def test_a_line_that_hangs_half_open_is_opened_anew(tmp_path):
    """The first connection is accepted and never answered, as after a modem's silent end."""
    bus = ModbusResponder({1: "carlo_gavazzi_em24"}, clock_ms=clock_ms, tcp=True)
    deaf = ModbusResponder({}, clock_ms=clock_ms, tcp=True)
    connections = []

    def new():
        connections.append(bus if connections else deaf)
        return connections[-1]

    async with tcp(new) as line:
        meters = [{"units": "1", "map": "carlo_gavazzi_em24"}]
        section = {"name": "h", "line": line, "meters": meters, "period_s": 0.1, "timeout_ms": 10}
        async with gateway(tmp_path, modbus=[section]) as (outbox, counts):
            await until(lambda: outbox.state.next_seq >= 3)
    assert connections == [deaf, bus]
    assert counts["modbus h"]["lost"] == 1


async def test_mbus_meters_by_primary_and_secondary_address(tmp_path):
    profile = registry.load("eu_mbus")
    ids = {number: f"{number:08d}" for number in range(1, 7)}
    bus = MbusResponder(profile, ids, clock_ms=clock_ms)
    async with serve_pty(bus, tmp_path / "port") as line:
        section = {"name": "c", "line": str(line), "meters": ["1-4", "00000005", "00000006"]}
        section |= {"period_s": 3600, "timeout_ms": 500}
        async with gateway(tmp_path, mbus=[section]) as (outbox, counts):
            await until(lambda: outbox.state.next_seq >= 6)
            rows = await stored(outbox)
    assert counts["mbus c"]["failed"] == 0
    expected = {f"c-{n}": f"{n:08d}" for n in range(1, 5)}
    expected |= {"c-00000005": "00000005", "c-00000006": "00000006"}
    assert {t.meter for t in rows} == expected.keys()
    for telegram in rows:
        meter = expected[telegram.meter]
        assert values(telegram) == reported("eu_mbus", meter)
        assert profile.decode(telegram.payload).device["id"].endswith(meter)


@pytest.mark.parametrize("hdlc", [True, False])
async def test_a_dlms_meter_is_asked(tmp_path, hdlc):
    profile = registry.load("kr_dlms")

    def new():
        return DlmsResponder(profile, "M1", clock_ms=clock_ms, password="12345678", hdlc=hdlc)

    objects = ["1-0:1.8.0", "1-0:2.8.0", "1-0:1.7.0", "1-0:99.99.9"]
    async with contextlib.AsyncExitStack() as stack:
        if hdlc:
            line = await stack.enter_async_context(serve_pty(new(), tmp_path / "port"))
        else:
            line = await stack.enter_async_context(tcp(new))
        section = {"name": "d", "line": str(line), "meter": "M1", "password": "12345678"}
        section |= {"objects": objects, "period_s": 0.1}
        outbox, counts = await stack.enter_async_context(gateway(tmp_path, dlms=[section]))
        await until(lambda: outbox.state.next_seq >= 2)
        rows = await stored(outbox)
    assert counts["dlms d"]["failed"] == 0
    found = values(rows[0])
    assert found.keys() == {"el.energy.import", "el.energy.export", "el.power.import"}
    assert reported("kr_dlms", "M1").items() <= found.items()
    assert profile.decode(rows[0].payload).time.timestamp() * 1000 == NOW_MS


def following_meter(clock_ms, *, hdlc=False):
    profile = registry.load("kr_dlms")
    return DlmsResponder(profile, "M1", clock_ms=clock_ms, password="12345678", hdlc=hdlc)


def following(line, *, hours):
    section = {"name": "d", "line": str(line), "meter": "M1", "password": "12345678"}
    profile = {"load_profile": "1-0:99.1.0", "load_profile_hours": hours}
    return section | profile | {"period_s": 0.1}


async def test_rows_of_dark_hours_are_fetched_when_the_line_is_back(tmp_path):
    """Six hours without a line: each interval of them once, from the meter's load profile."""
    profile, now = registry.load("kr_dlms"), [NOW_MS]
    meter = following_meter(lambda: now[0])
    port = free_port()
    section = following(f"tcp://127.0.0.1:{port}", hours=2)
    async with gateway(tmp_path, dlms=[section]) as (outbox, counts):
        for hours in (0, 6):
            now[0] += hours * 3_600_000
            async with serve_tcp(lambda: meter, port):
                turns = counts["dlms d"]["taken"]
                await until(lambda: counts["dlms d"]["taken"] >= turns + 12)  # noqa: B023 - awaited
        rows = [profile.decode(t.payload) for t in await stored(outbox)]
    ends = Counter(r.time.timestamp() * 1000 for r in rows)
    quarters = [NOW_MS + q * 900_000 for q in range(-7, 25)]
    assert [end for end in sorted(ends) if end not in {NOW_MS, now[0]}] == [
        q for q in quarters if q not in {NOW_MS, now[0]}
    ]
    assert all(ends[q] == 1 for q in quarters if q not in {NOW_MS, now[0]}), "each once"
    for decoded in rows:
        at_ms = int(decoded.time.timestamp() * 1000)
        shown = {r.register.channel: r.quantity for r in decoded.readings}
        truth = registers_of("M1", at_ms).import_wms // WATT_MS_PER_WH
        assert shown["el.energy.import"] == truth


@pytest.mark.parametrize("hdlc", [True, False])
async def test_rows_that_the_outbox_refuses_are_not_skipped(tmp_path, monkeypatch, hdlc):
    meter = following_meter(clock_ms, hdlc=hdlc)
    append = Outbox.append
    full = [True]

    async def refusing(self, telegrams):
        if full[0]:
            raise OutboxFull("at its bound")
        return await append(self, telegrams)

    monkeypatch.setattr(Outbox, "append", refusing)
    port = serve_pty(meter, tmp_path / "port") if hdlc else tcp(lambda: meter)
    async with port as line, contextlib.AsyncExitStack() as stack:
        section = following(line, hours=3)
        outbox, counts = await stack.enter_async_context(gateway(tmp_path, dlms=[section]))
        await until(lambda: counts["dlms d"]["refused"] >= 30)
        full[0] = False
        await until(lambda: counts["dlms d"]["taken"] >= 15)
        rows = await stored(outbox)
    times = Counter(registry.load("kr_dlms").decode(t.payload).time for t in rows)
    assert len(times) == 12, "eleven quarters and now"
    assert sorted(times.values())[-2] == 1


async def test_a_meter_without_the_load_profile_is_read_all_the_same(tmp_path, caplog):
    meter = following_meter(clock_ms)
    async with tcp(lambda: meter) as line, contextlib.AsyncExitStack() as stack:
        section = following(line, hours=1) | {"load_profile": "1-0:99.77.0"}
        _, counts = await stack.enter_async_context(gateway(tmp_path, dlms=[section]))
        await until(lambda: counts["dlms d"]["taken"] >= 3)
        assert counts["dlms d"]["failed"] == 0
    assert sum("load profile is not read" in r.getMessage() for r in caplog.records) == 1


async def test_a_port_that_comes_back_under_another_name_is_found(tmp_path, caplog):
    caplog.set_level("INFO")
    telegram = profile_telegram(registry.load("nl_dsmr"), "M1", clock_ms, seed=1)
    section = {"name": "a", "line": str(tmp_path / "usb-*"), "meter": "M1", "period_s": 0}
    async with gateway(tmp_path, p1=[section]) as (outbox, counts):
        for name in ("usb-1", "usb-2", "usb-3"):
            before = outbox.state.next_seq
            async with serve_pty(PushingMeter(telegram, 0.02), tmp_path / name):
                await until(lambda: outbox.state.next_seq > before)  # noqa: B023 - awaited here
            lost = counts["p1 a"]["lost"]
            await until(lambda: counts["p1 a"]["lost"] > lost)  # noqa: B023 - awaited here
        rows = await stored(outbox)
    assert {t.payload for t in rows} == {telegram()}
    said = [record.getMessage() for record in caplog.records if record.name.endswith("source")]
    assert [sum(word in line for line in said) for word in ("is open", "is gone", "is back")] == [
        1,
        3,
        2,
    ], "a line in the log for each change, and no more"


class Garbage:
    """Says nonsense without end, in small and large pieces."""

    period_s = 0.001

    def __init__(self):
        self.said = 0

    def receive(self, *_):
        return self.speak()

    def speak(self):
        self.said += 1
        return os.urandom(1 + self.said % 900)


async def test_garbage_silence_and_a_trickle_stop_nobody(tmp_path):
    telegram = profile_telegram(registry.load("nl_dsmr"), "M1", clock_ms, seed=1)
    silent, other_end = os.openpty()
    tty.setraw(other_end)
    bus = ModbusResponder({1: "carlo_gavazzi_em24"}, clock_ms=clock_ms)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.close, silent)
        stack.callback(os.close, other_end)
        lines = {}
        for name, meter in (
            ("noise", Garbage()),
            ("noisy", Garbage()),
            ("good", PushingMeter(telegram, 0.02)),
            ("bus", bus),
        ):
            lines[name] = str(await stack.enter_async_context(serve_pty(meter, tmp_path / name)))
        flood = await stack.enter_async_context(tcp(Garbage))
        quick = {"period_s": 0.1, "timeout_ms": 50}
        modbus_meters = [{"units": "1", "map": "carlo_gavazzi_em24"}]
        outbox, counts = await stack.enter_async_context(
            gateway(
                tmp_path,
                p1=[
                    {"name": "good", "line": lines["good"], "meter": "M1", "period_s": 0},
                    {"name": "noise", "line": lines["noise"], "meter": "M2", "period_s": 0},
                    {"name": "silent", "line": os.ttyname(other_end), "meter": "M3"},
                    {"name": "absent", "line": str(tmp_path / "nothing"), "meter": "M4"},
                ],
                sml=[{"name": "flood", "line": flood, "meter": "M5", "period_s": 0}],
                modbus=[
                    {"name": "noisy", "line": lines["noisy"], "meters": modbus_meters} | quick,
                    {"name": "bus", "line": lines["bus"], "meters": modbus_meters} | quick,
                ],
            )
        )
        await until(
            lambda: (
                counts["p1 good"]["taken"] >= 20
                and counts["modbus bus"]["taken"] >= 10
                and counts["modbus noisy"]["failed"] >= 3
                and counts["p1 absent"]["lost"] >= 3
            )
        )
        rows = await stored(outbox)
    assert {t.meter for t in rows} == {"M1", "bus-1"}
    assert not any(count["fault"] for count in counts.values())


async def test_what_the_outbox_refuses_is_counted_and_the_source_goes_on(tmp_path, monkeypatch):
    telegram = profile_telegram(registry.load("nl_dsmr"), "M1", clock_ms, seed=1)
    async with serve_pty(PushingMeter(telegram, 0.01), tmp_path / "port") as line:
        section = {"name": "a", "line": str(line), "meter": "M1", "period_s": 0}
        async with gateway(tmp_path, p1=[section]) as (outbox, counts):
            monkeypatch.setattr(outbox, "_waiting_telegrams", 10_000)
            await until(lambda: counts["p1 a"]["refused"] >= 3)
            outbox._waiting_telegrams = 0
            await until(lambda: counts["p1 a"]["taken"] >= 3)
            await until(lambda: outbox.state.next_seq - counts["p1 a"]["taken"] in {0, 1})
