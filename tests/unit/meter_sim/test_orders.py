"""What a simulated meter does for each kind of command, and reads back."""

from __future__ import annotations

import random
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meter_sim.loadprofile import ROWS
from meter_sim.testing import START_MS, Desk
from ohmesh.mesh import MAX_PAYLOAD_BYTES
from ohmesh.model.command import CommandEvent, CommandKind, ResultStatus, outcome
from ohmesh.model.errors import BadChecksum, Malformed
from ohmesh.wire.commandbody import (
    BLOCK_BYTES,
    LOAD_PROFILE_ROWS_MAX,
    Offer,
    Period,
    TariffTable,
    decode_offer,
    decode_period,
    decode_tariff,
    decode_wanted,
)
from ohmesh.wire.firmware import sign_image
from ohmesh.wire.metercommand import BODY_MAX_BYTES, decode_result
from ohmesh.wire.sealed import OVERHEAD_BYTES, SealedKind

HOUR_MS = 3_600_000
START_S = START_MS // 1000
MAKER = bytes(range(32))
MAKER_PUBLIC = (
    Ed25519PrivateKey.from_private_bytes(MAKER)
    .public_key()
    .public_bytes(Encoding.Raw, PublicFormat.Raw)
)
OK, REFUSED, FAILED, STALE, IN_PROGRESS = (
    ResultStatus.OK,
    ResultStatus.REFUSED,
    ResultStatus.FAILED,
    ResultStatus.STALE,
    ResultStatus.IN_PROGRESS,
)


@pytest.fixture
def desk():
    return Desk.of()


def test_a_full_command_fits_one_frame_of_the_mesh():
    assert OVERHEAD_BYTES + 33 + BODY_MAX_BYTES == 140 <= MAX_PAYLOAD_BYTES


class TestLoadProfile:
    KIND = CommandKind.LOAD_PROFILE_READ

    def ask(self, desk, period, **more):
        octets = desk.sealed(self.KIND, body=period.encode(), **more)
        messages = desk.meter.execute(octets, desk.meter.at_ms, 0)
        *rows, last = [desk.open(message) for message in messages]
        assert all(row.kind is SealedKind.REPORT for row in rows)
        return [row.body for row in rows], decode_result(last.body)

    def test_past_intervals_come_again_as_they_were_reported(self, desk):
        reported = [desk.open(m).body for m in desk.meter.advance(START_MS + 6 * HOUR_MS)]
        rows, result = self.ask(desk, Period(START_S + 3600, START_S + 3 * 3600))
        assert rows == reported[4:12]
        assert (result.status, result.proof) == (OK, (8).to_bytes(2, "big"))
        assert desk.meter.reports == 24, "nothing new was said"

    def test_they_outlive_a_reboot_and_come_once(self, desk):
        reported = [desk.open(m).body for m in desk.meter.advance(START_MS + HOUR_MS)]
        desk.reboot()
        ident, period = secrets.token_bytes(16), Period(START_S, START_S + 3600)
        first, again = (self.ask(desk, period, ident=ident) for _ in range(2))
        assert first[0] == reported
        assert again == ([], first[1])

    def test_what_is_not_there_is_counted_as_nothing(self, desk):
        desk.meter.advance(START_MS + HOUR_MS)
        rows, result = self.ask(desk, Period(START_S + 2700, START_S + 7200))
        assert len(rows) == 1
        assert result.proof == b"\0\1"

    def test_the_ring_forgets_the_oldest(self, desk):
        step_ms = desk.meter.config.interval_s * 1000
        desk.meter.advance(START_MS + (ROWS + 1) * step_ms)
        rows, _ = self.ask(desk, Period(START_S, START_S + 2 * step_ms // 1000))
        assert len(rows) == 1

    def test_too_long_a_period_is_refused(self, desk):
        end_s = START_S + 900 * (LOAD_PROFILE_ROWS_MAX + 1)
        assert self.ask(desk, Period(START_S, end_s))[1].status is REFUSED


class TestClock:
    KIND = CommandKind.CLOCK_SET

    def test_a_clock_that_is_ahead_stamps_ahead_until_it_is_set(self):
        desk = Desk.of(drift_ms=70_000)
        (first,) = desk.meter.advance(START_MS + 900_000 - 70_000)
        assert first.readings[0].time.timestamp() == START_S + 900
        now_s = START_S + 1000
        octets = desk.sealed(self.KIND, argument=now_s)
        result = desk.answer(octets, now_ms=now_s * 1000, clock_s=now_s)
        assert (result.status, result.at_s) == (OK, now_s)
        assert desk.meter.next_end_ms == START_MS + 1_800_000

    def test_an_interval_is_never_closed_twice(self):
        desk = Desk.of(drift_ms=20 * 60_000)
        before = desk.meter.advance(START_MS + HOUR_MS)
        now_s = START_S + 3600
        desk.answer(desk.sealed(self.KIND, argument=now_s), now_ms=now_s * 1000, clock_s=now_s)
        after = desk.meter.advance(START_MS + 3 * HOUR_MS)
        times = [m.readings[0].time for m in (*before, *after)]
        assert times == sorted(set(times))

    def test_no_energy_is_lost_or_made(self):
        steady, moved = Desk.of(), Desk.of()
        octets = moved.sealed(self.KIND, argument=START_S + 2000)
        moved.answer(octets, now_ms=START_MS + 450_000, clock_s=START_S + 450)
        wh = [
            d.meter.advance(START_MS + 30 * 60_000)[-1].readings[0].value for d in (steady, moved)
        ]
        assert abs(wh[0] - wh[1]) < 600, "the clock moved 26 min; the counter did not jump"

    @pytest.mark.parametrize("argument", [0, -5, 2**40])
    def test_nonsense_is_refused(self, desk, argument):
        assert desk.answer(desk.sealed(self.KIND, argument=argument)).status is REFUSED

    def test_an_older_setting_meets_the_fence(self, desk):
        late = desk.sealed(self.KIND, sequence=1, argument=START_S)
        desk.answer(desk.sealed(self.KIND, sequence=2, argument=START_S))
        assert desk.answer(late).status is STALE


class TestTariff:
    KIND = CommandKind.TARIFF_SET
    TABLE = TariffTable(7, ((0, 1), (360, 2), (1320, 1)))

    def test_the_table_is_read_back_and_counts_by_the_hour(self, desk):
        octets = desk.sealed(self.KIND, body=self.TABLE.encode())
        result = desk.answer(octets)
        assert outcome(self.KIND, result, self.TABLE.encode()) is CommandEvent.SUCCEED
        assert outcome(self.KIND, result, b"other") is CommandEvent.FAIL
        desk.reboot()
        desk.meter.advance(START_MS + 24 * HOUR_MS)
        household = desk.meter.config.household
        day = range(START_MS // 900_000, START_MS // 900_000 + 96)
        wms = [household.net_w(slot) * 900_000 for slot in day]
        expected = (sum(wms[:24]) + sum(wms[88:]), sum(wms[24:88]))
        assert desk.meter.rates_wh[:2] == tuple(e // 3_600_000 for e in expected)

    @pytest.mark.parametrize(
        "body", [b"", b"\0\0\0\1", b"\0\0\0\1\0\1\1", b"\0\0\0\1\0\0\x09", bytes(5)]
    )
    def test_a_bad_table_changes_nothing(self, desk, body):
        with pytest.raises(Malformed):
            decode_tariff(body)
        assert desk.answer(desk.sealed(self.KIND, body=body)).status is REFUSED


class TestKeyChange:
    KIND = CommandKind.KEY_CHANGE

    def test_the_result_comes_under_the_new_key_and_the_old_one_serves_until_then(self, desk):
        new = secrets.token_bytes(16)
        waiting = desk.meter.advance(START_MS + HOUR_MS)
        order = desk.sealed(self.KIND, body=new)
        lost = desk.meter.execute(order, START_MS + HOUR_MS, 0)
        for message in waiting:
            desk.open(message)  # under the old key, as it was when it was sealed
        repeated = desk.meter.execute(order, START_MS + HOUR_MS, 0)
        desk.key = new
        assert decode_result(desk.open(lost[-1]).body).status is OK
        assert decode_result(desk.open(repeated[-1]).body).status is OK
        desk.reboot()
        assert desk.answer(desk.sealed(CommandKind.RELAY_READ), now_ms=START_MS + HOUR_MS)
        with pytest.raises(BadChecksum):
            desk.meter.execute(order, START_MS + HOUR_MS, 0)

    @pytest.mark.parametrize("body", [b"", bytes(15), bytes(17)])
    def test_another_length_is_refused(self, desk, body):
        assert desk.answer(desk.sealed(self.KIND, body=body)).status is REFUSED


class TestFirmware:
    KIND = CommandKind.FIRMWARE

    @pytest.fixture
    def desk(self):
        return Desk.of(maker_key=MAKER_PUBLIC)

    def transfer(self, desk, image, version, *, lose=0.0, sequence=1, seed=1):
        """Offer an image and send what is wanted until the meter says how it ended."""
        luck, ident = random.Random(seed), secrets.token_bytes(16)
        body = Offer.of(version, image).encode()
        asks = 0
        while True:
            asks += 1
            octets = desk.sealed(self.KIND, sequence=sequence, ident=ident, body=body)
            result = desk.answer(octets)
            if result.status is not IN_PROGRESS:
                return result, asks
            for number in decode_wanted(result.proof)[:16]:
                if luck.random() < lose:
                    continue
                block = image[number * BLOCK_BYTES :][:BLOCK_BYTES]
                block_octets = desk.sealed(
                    CommandKind.FIRMWARE_BLOCK, ident=ident, argument=number, body=block
                )
                assert len(block_octets) <= MAX_PAYLOAD_BYTES
                assert desk.meter.execute(block_octets, START_MS, 0) == []
            if luck.random() < 0.3:
                desk.reboot()

    def test_an_image_arrives_over_loss_and_reboots_and_runs(self, desk):
        image = sign_image(MAKER, 5, random.Random(2).randbytes(20_000))
        result, asks = self.transfer(desk, image, 5, lose=0.3)
        assert outcome(self.KIND, result, Offer.of(5, image).encode()) is CommandEvent.SUCCEED
        assert desk.meter.firmware_version == 5
        blocks = -(-len(image) // BLOCK_BYTES)
        assert asks < 3 * blocks / 16 + 5, "a reboot costs no block that had arrived"

    def test_the_same_image_again_is_done_at_once(self, desk):
        image = sign_image(MAKER, 5, bytes(range(1, 200)))
        self.transfer(desk, image, 5)
        assert self.transfer(desk, image, 5, sequence=2)[1] == 1

    @pytest.mark.parametrize("fault", ["forged", "altered", "crashes", "misnamed"])
    def test_a_bad_image_never_runs_and_the_meter_goes_on_with_the_good_one(self, desk, fault):
        good = sign_image(MAKER, 5, b"good program")
        self.transfer(desk, good, 5)
        image = {
            "forged": sign_image(bytes(32), 6, b"evil program"),
            "altered": sign_image(MAKER, 6, b"next program").replace(b"next", b"nest"),
            "crashes": sign_image(MAKER, 6, b"\0next program"),
            "misnamed": sign_image(MAKER, 7, b"next program"),
        }[fault]
        result, _ = self.transfer(desk, image, 6, sequence=2)
        assert result.status is FAILED
        assert decode_offer(result.proof).version == 5
        desk.reboot()
        assert desk.meter.firmware_version == 5
        better = sign_image(MAKER, 6, b"next program")
        assert self.transfer(desk, better, 6, sequence=3)[0].status is OK

    def test_blocks_that_do_not_make_the_image_are_thrown_away(self, desk):
        image = sign_image(MAKER, 5, b"p" * 300)
        ident, body = secrets.token_bytes(16), Offer.of(5, image).encode()
        desk.answer(desk.sealed(self.KIND, ident=ident, body=body))
        for number in range(Offer.of(5, image).blocks):
            size = len(image[number * BLOCK_BYTES :][:BLOCK_BYTES])
            desk.meter.execute(
                desk.sealed(
                    CommandKind.FIRMWARE_BLOCK, ident=ident, argument=number, body=b"x" * size
                ),
                START_MS,
                0,
            )
        again = desk.sealed(self.KIND, ident=ident, body=body)
        assert desk.answer(again).status is FAILED
        assert self.transfer(desk, image, 5, sequence=2)[0].status is OK

    def test_an_older_version_and_an_older_offer_are_refused(self, desk):
        new, old = (sign_image(MAKER, v, b"program") for v in (5, 4))
        self.transfer(desk, new, 5, sequence=7)
        assert self.transfer(desk, old, 4, sequence=8)[0].status is REFUSED
        assert self.transfer(desk, sign_image(MAKER, 6, b"q"), 6, sequence=6)[0].status is STALE

    def test_a_meter_without_a_maker_takes_none(self):
        desk = Desk.of()
        octets = desk.sealed(self.KIND, body=Offer.of(1, b"x" * 100).encode())
        assert desk.answer(octets).status is ResultStatus.UNSUPPORTED


@pytest.mark.parametrize("octets", [b"", bytes(10), bytes(11)])
def test_a_period_that_is_none(octets):
    with pytest.raises(Malformed):
        decode_period(octets)


def test_every_wanted_block_is_named_in_the_end():
    from ohmesh.wire.commandbody import encode_wanted  # noqa: PLC0415 - beside its inverse

    missing = [3, 4, 130, 131, 1000]
    assert decode_wanted(encode_wanted(missing)) == [3, 4, 130]
    assert decode_wanted(b"") == []
