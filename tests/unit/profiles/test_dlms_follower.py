"""Following a load profile: ranges, rows without a time, clocks that go back, any bytes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_profiles import registry
from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.acse import Mechanism
from firmware_profiles.codecs.dlms.client import Client, ClientSettings, run
from firmware_profiles.codecs.dlms.clock import date_time_bytes
from firmware_profiles.codecs.dlms.device import LOAD_PROFILE, build_device
from firmware_profiles.codecs.dlms.follower import Follower, encoded_rows, parse_columns, shifted
from firmware_profiles.codecs.dlms.server import Server, ServerSettings
from ohmesh.model.errors import DecodeError

SPEC = registry.load("kr_dlms").spec
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
QUARTER = timedelta(seconds=SPEC.interval_s)


class Meter:
    """A simulated meter with a row for each interval since `begin`, and a follower of them."""

    def __init__(self, begin):
        self.device = build_device(
            SPEC, meter="M1", zone=UTC, value=lambda _, now: now.hour, counter=lambda: 0
        )
        self.server = Server(self.device.objects, ServerSettings(password=b"12345678"))
        self.captured = begin
        self.follower = Follower(LOAD_PROFILE, history_s=3600)

    def times(self, now, *, clock=None, keep=True):
        """What the follower is given at a time, as times of rows."""
        while self.captured + QUARTER <= now:
            self.captured += QUARTER
            self.device.profile.capture(self.captured)
        client = Client(ClientSettings(Mechanism.LOW, b"12345678"))

        def ask(apdu):
            return self.server.receive(apdu, now)

        run(client.associate(), ask)
        stamp = axdr.octets(date_time_bytes(clock or now, UTC))
        rows = run(self.follower.read(client, stamp), ask)
        if keep:
            self.follower.kept()
        return [registry.load("kr_dlms").decode(row).time for row in rows]


@pytest.fixture
def meter():
    return Meter(NOON - timedelta(days=9))


def quarters(first, last):
    return [first + n * QUARTER for n in range((last - first) // QUARTER + 1)]


def test_it_begins_so_far_back_and_gives_each_row_once(meter):
    assert meter.times(NOON) == quarters(NOON - timedelta(minutes=45), NOON)
    assert meter.times(NOON) == []
    later = NOON + timedelta(minutes=31)
    assert meter.times(later) == quarters(NOON + QUARTER, NOON + 2 * QUARTER)


def test_what_is_not_kept_is_given_again(meter):
    first = meter.times(NOON, keep=False)
    assert meter.times(NOON + QUARTER, keep=False) == [*first, NOON + QUARTER]
    assert meter.times(NOON + QUARTER) == [*first, NOON + QUARTER]
    assert meter.times(NOON + QUARTER) == []


def test_a_week_comes_by_days(meter):
    meter.times(NOON)
    later = NOON + timedelta(days=7, minutes=1)
    found = [meter.times(later) for _ in range(9)]
    assert [len(rows) for rows in found] == [96] * 7 + [0, 0]
    assert [time for rows in found for time in rows] == quarters(
        NOON + QUARTER, NOON + timedelta(days=7)
    )


def test_a_clock_that_was_ahead_does_not_stop_it(meter):
    meter.times(NOON)
    assert meter.times(NOON, clock=NOON + timedelta(days=400)) == []
    for _ in range(3):
        meter.times(NOON, clock=NOON + timedelta(days=400))
    assert meter.times(NOON) == quarters(NOON - timedelta(minutes=45), NOON)


def test_a_row_without_a_time_is_a_period_after_the_row_before(meter):
    whole = meter.times(NOON, keep=False)
    rows = meter.device.profile._rows
    asked = range(len(rows) - 5, len(rows))
    for index in asked[1:]:
        rows[index] = rows[index]._replace(columns=(axdr.null(), *rows[index].columns[1:]))
    assert meter.times(NOON) == whole


def test_a_date_time_moves_on_its_own_clock():
    summer = date_time_bytes(datetime(2026, 2, 28, 23, 30, tzinfo=UTC), UTC)[:9] + b"\xff\x88\x80"
    moved = shifted(summer, 3600)
    assert moved == bytes.fromhex("07ea030107001e0000ff8880")
    assert shifted(moved, -3600) == summer
    for wrong in (b"", b"\xff" * 12, summer[:7]):
        with pytest.raises(DecodeError):
            shifted(wrong, 60)


@given(
    st.binary(max_size=60) | st.binary(max_size=40).map(lambda b: b"\x01\x02\x02\x02" + b),
    st.integers(1, 4),
)
def test_any_bytes_are_rows_or_a_decode_error(octets, width):
    try:
        rows = list(encoded_rows(octets, width))
    except DecodeError:
        return
    for row in rows:
        assert len(row) == width
        for column in row:
            axdr.decode_whole(column)


@pytest.mark.parametrize("value", [5, ((1, 2),), ((3, b"short!!", 2, 0),), (5,)])
def test_columns_that_are_none_are_refused(value):
    with pytest.raises(DecodeError):
        parse_columns(value)


@pytest.mark.parametrize("clock", [axdr.octets(b"short"), axdr.null(), axdr.uint8(7)])
def test_rows_whose_time_nobody_can_tell_are_refused(meter, clock):
    meter.times(NOON, keep=False)
    rows = meter.device.profile._rows
    for index, row in enumerate(rows):
        rows[index] = row._replace(columns=(clock, *row.columns[1:]))
    with pytest.raises(DecodeError, match="a row whose time is not told"):
        meter.times(NOON)
