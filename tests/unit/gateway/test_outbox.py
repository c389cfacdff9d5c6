from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import apsw
import pytest

from gateway import outbox as outbox_module
from gateway.outbox import Outbox, OutboxSettings
from ohmesh.model.errors import ModelError, OutboxFull, StoreError
from ohmesh.model.telegram import TelegramKind

MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def running(path, *, max_bytes=8 * MIB, keep_ms=0, clock_ms=lambda: 10**12):
    settings = OutboxSettings(path=path, max_bytes=max_bytes, keep_ms=keep_ms)
    outbox = await Outbox.open(settings, clock_ms=clock_ms)
    task = asyncio.create_task(outbox.run(), name="outbox")
    try:
        yield outbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await outbox.close()


async def lose_row(outbox, row):
    """In the file's own thread: SQLite refuses a connection that another thread is using."""
    sql = "DELETE FROM telegram WHERE row = ?"
    await outbox._in_file(lambda file: file._connection.execute(sql, (row,)))


async def all_rows(outbox, first=0):
    return await outbox.batch(first, limit=100_000, max_bytes=2**40)


async def test_an_append_returns_when_the_rows_are_committed(path, telegrams):
    async with running(path) as outbox:
        epoch, seqs = await outbox.append(telegrams(1, 2))
        assert (epoch, seqs) == (outbox.state.epoch, range(2))
        assert await all_rows(outbox) == telegrams(1, 2)
    async with running(path) as outbox:
        assert outbox.state.epoch == epoch
        assert await all_rows(outbox) == telegrams(1, 2)


async def test_concurrent_appends_share_commits_and_keep_each_their_numbers(path, telegrams):
    async with running(path) as outbox:
        commits = 0

        def count():
            nonlocal commits
            commits += 1

        outbox.on_commit = count
        results = await asyncio.gather(*(outbox.append(telegrams(n)) for n in range(500)))
        assert commits < 20
        stored = await all_rows(outbox)
        for n, (_, seqs) in enumerate(results):
            assert stored[seqs.start] == telegrams(n)[0]
        assert sorted(seqs.start for _, seqs in results) == list(range(500))


async def test_too_many_waiting_telegrams_are_refused(path, telegrams, monkeypatch):
    monkeypatch.setattr(outbox_module, "_WAITING_MAX", 5)
    async with running(path) as outbox:
        results = await asyncio.gather(
            *(outbox.append(telegrams(n)) for n in range(8)), return_exceptions=True
        )
        assert [isinstance(r, OutboxFull) for r in results] == [False] * 5 + [True] * 3
        assert len(await all_rows(outbox)) == 5


async def test_a_refusal_hits_only_who_does_not_fit(path, telegram):
    async with running(path, max_bytes=MIB // 4) as outbox:
        results = await asyncio.gather(
            outbox.append([telegram(1, size=60_000)] * 3),
            outbox.append([telegram(2, size=60_000)] * 3),
            outbox.append([telegram(3)]),
            return_exceptions=True,
        )
        assert [isinstance(r, OutboxFull) for r in results] == [False, True, False]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("meter", "a/b"),
        ("profile", "x" * 65),
        ("source", "\ud800"),
        ("received_at_ms", -1),
        ("received_at_ms", 2**63),
        ("payload", bytes(64 * 1024 + 1)),
    ],
)
async def test_what_could_not_travel_does_not_enter(path, telegram, field, value):
    async with running(path) as outbox:
        with pytest.raises(ModelError):
            await outbox.append([telegram(1), replace(telegram(2), **{field: value})])
        assert outbox.state.next_seq == 0


async def test_only_sound_acknowledgements_count(path, telegrams):
    async with running(path) as outbox:
        epoch, _ = await outbox.append(telegrams(*range(10)))
        assert not outbox.acknowledge(epoch + 1, 5), "another epoch"
        assert not outbox.acknowledge(epoch, 11), "a number that was never sent"
        assert not outbox.acknowledge(epoch, 0), "nothing"
        assert outbox.acknowledge(epoch, 5)
        assert not outbox.acknowledge(epoch, 5), "twice"
        assert not outbox.acknowledge(epoch, 3), "late"
        assert outbox.acknowledge(epoch, 10)
        assert outbox.state.backlog == 0


async def test_progress_survives_an_orderly_end(path, telegrams):
    async with running(path) as outbox:
        epoch, _ = await outbox.append(telegrams(*range(10)))
        outbox.acknowledge(epoch, 7)
    async with running(path) as outbox:
        assert outbox.state.acked_through == 7


async def test_a_disk_error_refuses_the_append_and_the_next_one_opens_anew(
    path, telegrams, monkeypatch
):
    async with running(path) as outbox:
        await outbox.append(telegrams(1))

        def fail(*_):
            raise StoreError("the disk is gone")

        failed = outbox._file
        monkeypatch.setattr(type(failed), "append", fail)
        with pytest.raises(StoreError, match="the disk is gone"):
            await outbox.append(telegrams(2))
        monkeypatch.undo()
        assert outbox._file is not failed, "a file that failed is not used again"
        _, seqs = await outbox.append(telegrams(3))
        assert seqs == range(1, 2)
        assert await all_rows(outbox) == telegrams(1, 3)


async def test_damage_found_while_running_starts_a_new_epoch(path, telegrams):
    async with running(path) as outbox:
        epoch, _ = await outbox.append(telegrams(*range(5)))
        outbox.acknowledge(epoch, 2)
        await outbox._note_progress()
        await lose_row(outbox, 3)
        with pytest.raises(StoreError, match="telegram 3 is missing or altered"):
            await all_rows(outbox, 2)
        new_epoch, seqs = await outbox.append(telegrams(9))
        assert new_epoch != epoch
        assert outbox.state.acked_through == 0
        assert await all_rows(outbox) == telegrams(2, 4, 9)
        assert seqs == range(2, 3)
        assert not outbox.acknowledge(epoch, 3), "of the old epoch"


async def test_nobody_waits_for_an_outbox_whose_work_ended(path, telegrams, monkeypatch):
    outbox = await Outbox.open(OutboxSettings(path, 8 * MIB, 0), clock_ms=lambda: 10**12)

    def fault(*_):
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(type(outbox._file), "append", fault)
    task = asyncio.create_task(outbox.run(), name="outbox")
    with pytest.raises(StoreError, match="the outbox has stopped"):
        await outbox.append(telegrams(1))
    with pytest.raises(ExceptionGroup):
        await task
    with pytest.raises(StoreError, match="the outbox has stopped"):
        await outbox.append(telegrams(2))
    await outbox.close()


async def test_one_group_does_not_exceed_the_bound_of_urgent_numbers(path, telegram, monkeypatch):
    monkeypatch.setattr(outbox_module, "_URGENT_MAX", 3)
    urgent = [replace(telegram(n), payload=b"\x12 result %d" % n) for n in range(5)]
    async with running(path) as outbox:
        await outbox.append(urgent)
        await outbox.append(urgent)
        assert list(outbox.urgent) == [0, 1, 2]


async def test_kept_rows_are_freed_after_their_time(path, telegrams):
    now_ms = 10**12
    async with running(path, keep_ms=3_600_000, clock_ms=lambda: now_ms) as outbox:
        epoch, _ = await outbox.append(telegrams(*range(5)))
        outbox.acknowledge(epoch, 3)
        await outbox._note_progress()
        await outbox._free_kept()
        assert outbox.state.first_seq == 0
        now_ms += 3_600_000 + 60_000
        await outbox._free_kept()
        assert outbox.state.first_seq == 3
        assert outbox.state.backlog == 2


async def test_an_outbox_that_cannot_be_opened_leaves_no_thread(path):
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE precious(x)")
    with pytest.raises(StoreError):
        await Outbox.open(OutboxSettings(path, MIB, 0), clock_ms=lambda: 0)


async def test_the_alarm_sounds_once_and_ends_once(path, telegram, caplog):
    caplog.set_level("INFO")
    async with running(path, max_bytes=MIB // 4) as outbox:
        for n in range(4):
            epoch, _ = await outbox.append([telegram(n, size=50_000)])
        await outbox.append([telegram(5)])
        assert [r.levelname for r in caplog.records if "fill" in r.message] == ["ERROR"]
        outbox.acknowledge(epoch, 4)
        await outbox.append([telegram(6)])
        assert [r.levelname for r in caplog.records if "fill" in r.message] == ["ERROR", "INFO"]


async def test_urgent_numbers_are_known_until_they_are_acknowledged_and_after_a_restart(
    path, telegram
):
    urgent = [replace(telegram(n), payload=b"\x12 result %d" % n) for n in (1, 2)]
    delivery = replace(telegram(3), kind=TelegramKind.DELIVERY, payload=b"report")
    async with running(path) as outbox:
        epoch, _ = await outbox.append([telegram(0), *urgent, telegram(4), delivery])
        assert list(outbox.urgent) == [1, 2, 4]
        outbox.acknowledge(epoch, 2)
        assert list(outbox.urgent) == [2, 4]
    async with running(path) as outbox:
        assert list(outbox.urgent) == [2, 4]
        await outbox.append([telegram(5), urgent[0]])
        assert list(outbox.urgent) == [2, 4, 6]


async def test_progress_of_an_old_epoch_is_not_noted_in_a_salvaged_file(path, telegrams):
    async with running(path) as outbox:
        epoch, _ = await outbox.append(telegrams(*range(6)))
        await lose_row(outbox, 3)
        with pytest.raises(StoreError):
            await all_rows(outbox)
        assert outbox.acknowledge(epoch, 5), "the salvage has not happened yet"
        await outbox._note_progress()
        assert outbox.state.acked_through == 0
        assert await all_rows(outbox) == telegrams(0, 1, 2, 4, 5)
        outbox.acknowledge(outbox.state.epoch, 2)
    async with running(path) as outbox:
        assert outbox.state.acked_through == 2, "the progress of the new one is"
