from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace

import apsw
import pytest

from gateway import outbox_start, sqlite
from gateway.outbox_start import inspect_outbox, open_outbox
from gateway.sqlite import BusyError, DamagedError, settings_faults
from ohmesh.model.errors import ConfigError, OutboxFull, SchemaMismatch, StoreError

MIB = 1024 * 1024


def rows(file, first=0, limit=100_000):
    return file.batch(first, limit=limit, max_bytes=2**40)


def test_numbers_are_consecutive_and_rows_come_back_as_they_went_in(opened, telegrams):
    file = opened()
    assert file.append([telegrams(1, 2), telegrams(3)]) == [range(2), range(2, 3)]
    assert file.append([telegrams(4)]) == [range(3, 4)]
    assert rows(file) == telegrams(1, 2, 3, 4)
    assert rows(file, 2) == telegrams(3, 4)


def test_a_refused_transaction_leaves_nothing_and_takes_no_number(opened, telegram, telegrams):
    file = opened()
    with pytest.raises(StoreError):
        file.append([telegrams(1), [replace(telegram(2), received_at_ms="now")]])
    assert file.append([telegrams(3)]) == [range(1)]
    assert rows(file) == telegrams(3)


def test_everything_is_there_after_opening_anew(opened, telegrams):
    file = opened()
    file.append([telegrams(1, 2, 3)])
    file.acknowledge(file.state.epoch, 2, now_ms=0)
    before = file.state
    file.close()
    again = opened()
    assert again.state == before
    assert again.state.acked_through == 2
    assert again.append([telegrams(4)]) == [range(3, 4)]


def test_two_files_have_two_epochs(tmp_path):
    with (
        contextlib.closing(open_outbox(tmp_path / "a", max_bytes=MIB)) as a,
        contextlib.closing(open_outbox(tmp_path / "b", max_bytes=MIB)) as b,
    ):
        assert a.state.epoch != b.state.epoch
        assert 0 < a.state.epoch < 2**63


def test_a_batch_is_bounded_by_rows_and_by_bytes_but_never_empty(opened, telegram):
    file = opened()
    file.append([[telegram(n, size=100) for n in range(10)]])
    assert len(rows(file, 0, limit=3)) == 3
    assert len(file.batch(0, limit=10, max_bytes=250)) == 2
    assert len(file.batch(0, limit=10, max_bytes=1)) == 1
    assert file.batch(10, limit=10, max_bytes=1000) == []


def test_acknowledged_rows_are_kept_for_their_time_and_then_freed(opened, telegrams):
    file = opened()
    file.append([telegrams(1, 2, 3, 4)])
    file.acknowledge(file.state.epoch, 2, now_ms=10 * 60_000)
    file.acknowledge(file.state.epoch, 3, now_ms=20 * 60_000)
    assert file.free(acknowledged_before_ms=10 * 60_000) == 0
    assert file.free(acknowledged_before_ms=11 * 60_000) == 2
    assert rows(file, 2) == telegrams(3, 4)
    assert file.free(acknowledged_before_ms=10**12) == 1
    assert file.state.first_seq == 3
    assert file.free(acknowledged_before_ms=10**12) == 0, "an unacknowledged row is never freed"


def test_numbers_go_on_when_every_row_was_freed(opened, telegrams):
    file = opened()
    file.append([telegrams(1, 2)])
    file.acknowledge(file.state.epoch, 2, now_ms=0)
    file.free(acknowledged_before_ms=10**12)
    file.close()
    again = opened()
    assert again.state.next_seq == 2
    assert again.state.acked_through == 2
    assert again.append([telegrams(3)]) == [range(2, 3)]


def test_at_the_bound_a_group_is_refused_whole_and_the_next_that_fits_is_taken(opened, telegram):
    file = opened(max_bytes=MIB // 4)
    big = [telegram(n, size=60_000) for n in range(3)]
    results = file.append([big, big, [telegram(9)]])
    assert results[0] == range(3)
    assert isinstance(results[1], OutboxFull)
    assert results[2] == range(3, 4)
    assert file.state.used_bytes <= MIB // 4


def test_kept_rows_make_room_for_new_ones_but_waiting_rows_do_not(opened, telegram):
    file = opened(max_bytes=MIB // 4)
    for n in range(4):
        assert file.append([[telegram(n, size=60_000)]]) == [range(n, n + 1)]
    assert isinstance(file.append([[telegram(4, size=60_000)]])[0], OutboxFull)
    file.acknowledge(file.state.epoch, 2, now_ms=0)
    assert file.append([[telegram(4, size=60_000)]]) == [range(4, 5)]
    assert rows(file, 2) == [telegram(n, size=60_000) for n in (2, 3, 4)]


def test_the_file_does_not_outgrow_its_bound_over_many_turns(opened, path, telegram):
    file = opened(max_bytes=MIB // 2)
    for n in range(0, 4000, 20):
        seqs = file.append([[telegram(i, size=900) for i in range(n, n + 20)]])[0]
        file.acknowledge(file.state.epoch, seqs.stop, now_ms=n * 1000)
    file.close()
    assert path.stat().st_size <= MIB // 2


@pytest.mark.parametrize(
    ("breakage", "library", "fault"),
    [
        ({"journal_mode": "delete"}, "", "journal_mode"),
        ({"synchronous": "normal"}, "", "synchronous"),
        ({"locking_mode": "normal"}, "", "locking_mode"),
        ({"locking_mode": "normal"}, "3.40.1", "before 3.51.3"),
    ],
)
def test_each_unsafe_setting_has_its_own_line(opened, breakage, library, fault):
    file = opened()
    assert settings_faults(file._connection) == []
    for name, value in breakage.items():
        file._connection.pragma(name, value)
    assert any(fault in line for line in settings_faults(file._connection, library=library))


def test_a_read_only_database_is_unsafe(opened, path):
    opened().close()
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    with contextlib.closing(connection):
        assert "the database is read-only" in settings_faults(connection)


def test_unsafe_settings_refuse_the_start(path, monkeypatch):
    monkeypatch.setattr(sqlite, "_SYNCHRONOUS_FULL", 3)
    with pytest.raises(ConfigError, match="synchronous is not FULL"):
        open_outbox(path, max_bytes=MIB)


def test_one_connection_only(opened, path):
    opened()
    with pytest.raises(BusyError, match="open in another program"):
        open_outbox(path, max_bytes=MIB)


def test_another_programs_database_is_left_alone(path):
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE precious(x)")
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="not an outbox"):
        open_outbox(path, max_bytes=MIB)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("SELECT count(*) FROM precious").get == 0
    assert len(path.read_bytes()) == len(before)


def test_another_schema_version_is_left_alone(opened, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(outbox_start, "SCHEMA_VERSION", 99)
        opened().close()
    with pytest.raises(SchemaMismatch, match="schema 99"):
        open_outbox(path, max_bytes=MIB)


@pytest.mark.parametrize(
    "alteration",
    [
        "PRAGMA user_version = 513",
        "PRAGMA application_id = 7",
        "UPDATE outbox SET epoch = epoch + 1",
        "UPDATE outbox SET first_row = 7",
        "DELETE FROM outbox",
        "UPDATE telegram SET meter = 'M9' WHERE row = 150",
        "UPDATE telegram SET payload = x'00' WHERE row = 150",
        "DELETE FROM telegram WHERE row > 50",
        "ALTER TABLE telegram RENAME TO telegran",
        "PRAGMA application_id = 7; ALTER TABLE telegram RENAME TO telegran",
        "ALTER TABLE outbox RENAME COLUMN base TO bare",
    ],
)
def test_an_alteration_of_any_part_is_damage_and_the_gateway_goes_on(
    opened, path, telegram, alteration, telegrams
):
    epoch = filled(opened, telegram, 300)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute(alteration)
    file = opened(8 * MIB)
    assert file.state.epoch != epoch
    assert path.with_name("outbox.db.damaged-1").exists()
    assert file.append([telegrams(1)])[0].start == file.state.backlog - 1
    found = rows(file)[:-1]
    assert all(t == telegram(t.received_at_ms - 1_000_000, size=200) for t in found)


def test_an_altered_acknowledgement_does_not_count(opened, path, telegram):
    filled(opened, telegram, 300)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE ack_mark SET through_row = 116")
    assert opened(8 * MIB).state.acked_through == 0


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(StoreError, match="check the folder"):
        open_outbox(tmp_path / "absent" / "outbox.db", max_bytes=MIB)


def filled(opened, telegram, count=2000):
    file = opened(8 * MIB)
    file.append([[telegram(n, size=200) for n in range(count)]])
    file.acknowledge(file.state.epoch, 100, now_ms=0)
    epoch = file.state.epoch
    file.close()
    return epoch


def overwrite(path, offset, octets=b"\xff" * 4096):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(octets)


def test_a_damaged_page_costs_its_rows_and_nothing_else(opened, path, telegram):
    epoch = filled(opened, telegram)
    overwrite(path, 60 * 4096)
    file = opened(8 * MIB)
    assert file.state.epoch != epoch
    assert file.state.acked_through == 0
    found = rows(file)
    assert [t for t in found if t.received_at_ms < 1_000_100] == [], "acknowledged rows stay out"
    assert 1850 <= len(found) < 1900
    assert sorted(found, key=lambda t: t.received_at_ms) == found
    assert all(t == telegram(t.received_at_ms - 1_000_000, size=200) for t in found)
    assert path.with_name("outbox.db.damaged-1").exists()


def test_a_file_without_a_readable_byte_gives_way_to_an_empty_one(opened, path, telegrams):
    path.write_bytes(os.urandom(50_000))
    file = opened()
    assert rows(file) == []
    assert file.append([telegrams(1)]) == [range(1)]
    assert path.with_name("outbox.db.damaged-1").stat().st_size == 50_000


def test_any_octet_of_the_head_may_be_altered(opened, path, telegrams):
    """SQLite takes some for a format of the future, some for one to read only."""
    with contextlib.closing(opened()) as file:
        file.append([telegrams(3)])
    good = path.read_bytes()
    for at in range(100):
        for left_behind in path.parent.glob("outbox.db*"):
            left_behind.unlink()
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with contextlib.closing(opened()) as file:
            assert file.append([telegrams(1)])[0].start == file.state.backlog - 1


def test_a_file_without_tables_is_nobodys_whatever_its_head_says(opened, path, telegrams):
    """A power cut before the schema, then an altered octet."""
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.pragma("user_version", 67108864)
    assert opened().append([telegrams(1)]) == [range(1)]


def test_each_damage_is_kept_under_its_own_name(opened, path):
    for number in (1, 2, 3):
        path.write_bytes(b"not a database" * 1000)
        opened().close()
        assert path.with_name(f"outbox.db.damaged-{number}").exists()


def test_a_hole_in_the_numbers_is_damage(opened, path, telegram):
    filled(opened, telegram, 300)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("DELETE FROM telegram WHERE row = 150")
    file = opened(8 * MIB)
    assert len(rows(file)) == 300 - 100 - 1


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("cut_before", ["_set_aside", "_put_in_place"])
def test_a_power_cut_during_salvage_loses_nothing_more(
    opened, path, telegram, monkeypatch, cut_before
):
    filled(opened, telegram)
    overwrite(path, 60 * 4096)

    def cut(*_):
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(outbox_start, cut_before, cut)
        with pytest.raises(PowerCutError):
            opened()
    assert 1850 <= len(rows(opened(8 * MIB))) < 1900


def test_a_log_left_by_a_damaged_file_is_not_replayed_into_the_new_one(opened, path, telegram):
    filled(opened, telegram)
    file = opened(8 * MIB)
    file.append([[telegram(5000 + n) for n in range(50)]])
    log = path.with_name("outbox.db-wal")
    stale = path.with_name("stale")
    shutil.copy(log, stale)
    file.close()
    overwrite(path, 60 * 4096)
    opened(8 * MIB).close()
    shutil.move(path, path.with_name("outbox.db.salvaged"))
    shutil.move(stale, log)
    again = opened(8 * MIB)
    assert again._connection.execute("PRAGMA quick_check").get == "ok"
    assert 1900 <= len(rows(again)) < 1950


def test_looking_does_not_mend(opened, path, telegram):
    filled(opened, telegram)
    overwrite(path, 60 * 4096)
    with pytest.raises(DamagedError):
        inspect_outbox(path, max_bytes=MIB)
    assert not path.with_name("outbox.db.damaged-1").exists()


def test_a_boot_begins_an_epoch_and_a_restart_does_not(path, telegrams):
    def visit(boot, *numbers):
        with contextlib.closing(open_outbox(path, max_bytes=MIB, boot=boot)) as file:
            if numbers:
                file.append([telegrams(*numbers)])
            return file.state, rows(file), rows(file, file.state.first_seq)

    first, _, _ = visit("one", 1, 2, 3)
    assert visit("one")[0] == first
    with contextlib.closing(open_outbox(path, max_bytes=MIB, boot="one")) as file:
        file.acknowledge(first.epoch, 1, now_ms=0)
    second, waiting, kept = visit("two", 4)
    assert second.epoch != first.epoch
    assert (second.first_seq, second.acked_through, second.next_seq) == (-1, 0, 3)
    assert waiting == telegrams(2, 3, 4)
    assert kept == telegrams(1, 2, 3, 4)
    with contextlib.closing(open_outbox(path, max_bytes=MIB, boot="two")) as file:
        file.acknowledge(first.epoch, 3, now_ms=0)
        assert file.state.acked_through == 0, "the word on an old epoch is void"
        file.acknowledge(second.epoch, 3, now_ms=0)
        assert file.free(acknowledged_before_ms=10**12) == 4
    third, waiting, _ = visit("three", 5)
    assert (third.first_seq, third.next_seq) == (0, 1)
    assert waiting == telegrams(5)


def test_what_is_wanted_again_gets_numbers_of_a_new_epoch(opened, telegrams):
    file = opened()
    file.append([telegrams(*range(1, 11))])
    before = file.state.epoch
    file.acknowledge(before, 8, now_ms=60_000)
    assert file.begin_again(5, now_ms=120_000) == 3
    assert file.state.epoch != before
    assert (file.state.acked_through, file.state.next_seq, file.state.first_seq) == (0, 5, -5)
    assert rows(file) == telegrams(6, 7, 8, 9, 10)
    file.close()
    file = opened()
    assert (file.state.acked_through, file.state.next_seq) == (0, 5)
    file.acknowledge(file.state.epoch, 5, now_ms=180_000)
    assert file.state.backlog == 0


def test_all_that_is_kept_is_wanted_again_across_epochs(opened, telegrams):
    file = opened()
    file.append([telegrams(1, 2, 3)])
    file.acknowledge(file.state.epoch, 3, now_ms=60_000)
    assert file.begin_epoch("another boot")
    file.append([telegrams(4, 5)])
    file.acknowledge(file.state.epoch, 1, now_ms=60_000)
    assert file.begin_again(None, now_ms=120_000) == 4
    assert rows(file) == telegrams(1, 2, 3, 4, 5)
    assert file.state.backlog == 5


def test_what_is_freed_already_is_left_out_of_what_goes_again(opened, telegrams):
    file = opened()
    file.append([telegrams(*range(1, 11))])
    file.acknowledge(file.state.epoch, 4, now_ms=60_000)
    file.free(acknowledged_before_ms=600_000)
    file.acknowledge(file.state.epoch, 8, now_ms=700_000)
    assert file.begin_again(1, now_ms=700_000) == 4
    assert rows(file) == telegrams(5, 6, 7, 8, 9, 10)
    assert file.state.first_seq == 0


def test_what_was_never_acknowledged_waits_anyway(opened, telegrams):
    file = opened()
    file.append([telegrams(1, 2, 3)])
    before = file.state
    assert file.begin_again(0, now_ms=0) == 0
    assert file.begin_again(None, now_ms=0) == 0
    assert file.state == before
