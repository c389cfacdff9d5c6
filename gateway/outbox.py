"""The gateway's memory: it has a telegram before its source lets go, and until the head-end has it.

Theory of operation. A telegram gets the next number of the outbox and is on disk, synced, before
`append` returns; only then may its source forget it (the mesh acknowledges, the bench port
answers). Numbers start at 0 in each epoch and have no gaps; an epoch is a random number, new with
each file and each boot of the machine (`gateway.outbox_file` says why). The head-end acknowledges
with the end of the contiguous range that it has committed, and nothing else frees a row: not the
broker's acknowledgement, not the end of a connection. Acknowledged rows are kept `keep_ms` longer,
so that a head-end restored from a back-up can ask again, but not at the expense of new ones: at
the bound on bytes the oldest kept rows go first, and when there are none the append is refused
(`OutboxFull`) and the source keeps its telegram.

One thread does all file work, in order. Appends that arrive while a commit is under way share the
next one: one sync for all of them (group commit), without a waiting time of its own. Progress of
the head-end is noted on disk every few seconds and at the end, not at each acknowledgement: after
a crash a few telegrams travel twice, which changes nothing, and the card is spared.

After an error of the disk every append of that transaction is refused, the file is closed and
opened anew at the next need. A row that was refused may come back then; its source sends it again
under a number of its own and the head-end sees the same reading twice, which is harmless. If the
file is damaged it is salvaged into a new epoch (`gateway.outbox_start`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeVar

from gateway.admission import check_telegram
from gateway.outbox_file import OutboxFile, OutboxState
from gateway.outbox_start import open_outbox
from gateway.outbox_summary import OutboxSummary, summarise, write_summary
from gateway.urgency import is_urgent
from ohmesh.model.errors import OutboxFull, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ohmesh.model.telegram import Telegram

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_WAITING_MAX = 10_000
"""Telegrams that may wait for a commit; more are refused, as when the outbox is full."""
_GROUP_MAX = 2000
"""Telegrams in one transaction, so that the first of them does not wait long."""
_URGENT_MAX = 10_000
"""Urgent numbers remembered; later ones go in their turn."""
_HOUSEKEEPING_S = 10.0
_STATUS_TURNS = 10
"""Word for `ohmesh gateway outbox` is left so many times as often as house is kept."""
_ALARM_FILL = 0.8
_STOPPED = "the outbox has stopped; the source keeps its telegrams until the gateway runs again"


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Where the outbox is and what bounds it.

    Attributes:
        path: the file; its folder exists.
        max_bytes: bound on the file.
        keep_ms: how long an acknowledged telegram is kept.
        boot: identity of this boot of the machine.
    """

    path: Path
    max_bytes: int
    keep_ms: int
    boot: str = ""


@dataclass(slots=True)
class _Waiting:
    telegrams: Sequence[Telegram]
    done: asyncio.Future[tuple[int, range]]


class Outbox:
    """The rows, shared by all sources and the uplink of one program."""

    def __init__(
        self,
        settings: OutboxSettings,
        *,
        clock_ms: Callable[[], int],
        stamped: Callable[[Telegram], Telegram] = lambda telegram: telegram,
    ) -> None:
        """Use `open`.

        Args:
            settings: where and how much.
            clock_ms: UTC milliseconds since 1970.
            stamped: gives a telegram as it is kept (`gateway.boot_clock`).
        """
        self._settings = settings
        self._clock_ms = clock_ms
        self._stamped = stamped
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._file: OutboxFile | None = None
        self._state = OutboxState(0, 0, 0, 0, 0, settings.max_bytes)
        self._acked_through = 0
        self._acked_on_disk = 0
        self._waiting: list[_Waiting] = []
        self._waiting_telegrams = 0
        self._work = asyncio.Event()
        self._stopped = False
        self._alarmed = False
        self._urgent: list[int] = []
        self._urgent_found: list[int] = []
        self.thinned = 0
        """Telegrams that sources left out since the start, because the outbox fills."""
        self.summary: OutboxSummary | None = None
        """As last told to `ohmesh gateway outbox`."""
        self.on_commit: Callable[[], None] = lambda: None
        """Called after each commit of new telegrams."""
        self.on_taken: Callable[[Sequence[Telegram]], None] = lambda _: None
        """Told the telegrams that were committed."""

    @classmethod
    async def open(
        cls,
        settings: OutboxSettings,
        *,
        clock_ms: Callable[[], int],
        stamped: Callable[[Telegram], Telegram] = lambda telegram: telegram,
    ) -> Self:
        """Open the file; see `gateway.outbox_start.open_outbox` for the errors."""
        outbox = cls(settings, clock_ms=clock_ms, stamped=stamped)
        try:
            await outbox._in_file(lambda _: None)
        except BaseException:
            outbox._thread.shutdown()
            raise
        return outbox

    @property
    def state(self) -> OutboxState:
        """Where it stands; `next_seq` counts committed telegrams only."""
        return replace(self._state, acked_through=self._acked_through)

    @property
    def urgent(self) -> Sequence[int]:
        """Unacknowledged numbers that go ahead of a backlog, ascending, at most 10 000."""
        return self._urgent

    async def append(self, telegrams: Sequence[Telegram]) -> tuple[int, range]:
        """Commit telegrams, all or none.

        Returns:
            The epoch and their numbers, once they are safe from a power cut.

        Raises:
            OutboxFull: at its bound, or too many wait; the source keeps them.
            StoreError: the disk refused; the source keeps them.
            ModelError: a telegram that could not travel.
        """
        for telegram in telegrams:
            check_telegram(telegram)
        if self._stopped:
            raise StoreError(_STOPPED)
        if self._waiting_telegrams + len(telegrams) > _WAITING_MAX:
            raise OutboxFull(f"{self._waiting_telegrams} telegrams wait for the disk already")
        kept = [self._stamped(telegram) for telegram in telegrams]
        waiting = _Waiting(kept, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_telegrams += len(telegrams)
        self._work.set()
        return await waiting.done

    async def batch(self, from_seq: int, *, limit: int, max_bytes: int) -> list[Telegram]:
        """Committed telegrams from a number on; at least one if there is any. Raises StoreError."""
        return await self._in_file(
            lambda file: file.batch(from_seq, limit=limit, max_bytes=max_bytes)
        )

    def acknowledge(self, epoch: int, through: int) -> bool:
        """Take the head-end's word; True when it is news.

        Another epoch, an old number and a number that was never sent change nothing.
        """
        if epoch != self._state.epoch or through <= self._acked_through:
            return False
        if through > self._state.next_seq:
            _log.warning(
                "the head-end acknowledges number %d; the newest is %d: ignored",
                through - 1,
                self._state.next_seq - 1,
            )
            return False
        self._acked_through = through
        del self._urgent[: bisect_left(self._urgent, through)]
        return True

    async def send_again(self, epoch: int, from_seq: int | None) -> int:
        """What was acknowledged is wanted once more, in a new epoch; how many rows that are.

        Args:
            epoch: the one that was acknowledged; a request about another one is an old request.
            from_seq: the first number wanted; None: all rows that are kept.

        Raises: StoreError.
        """
        await self._note_progress()
        now_ms = self._clock_ms()

        def begin(file: OutboxFile) -> int:
            if file.state.epoch != epoch:
                return 0
            again = file.begin_again(from_seq, now_ms=now_ms)
            self._urgent_found = file.urgent(_URGENT_MAX)
            return again

        return await self._in_file(begin)

    async def touch(self) -> None:
        """Do nothing in the file's thread: it returns unless the disk hangs. Raises StoreError."""
        await self._in_file(lambda _: None)

    async def run(self) -> None:
        """Commit and keep house until cancelled; at its end nobody waits for a commit any more."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._commit_for_ever(), name="outbox-commit")
                tasks.create_task(self._keep_house_for_ever(), name="outbox-housekeeping")
        finally:
            self._stopped = True
            _refuse(self._waiting, StoreError(_STOPPED))
            self._waiting, self._waiting_telegrams = [], 0

    async def close(self) -> None:
        """Note the head-end's progress and close; call it after `run` ended."""
        with contextlib.suppress(StoreError):
            await self._note_progress()
        if self._file is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown()

    async def _commit_for_ever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._commit_group()

    async def _commit_group(self) -> None:
        """One transaction for what waits; a refusal reaches the source, never this task."""
        group = self._take_group()
        try:
            results = await self._in_file(lambda file: file.append([w.telegrams for w in group]))
        except StoreError as error:
            _log.error("%s", error)
            _refuse(group, error)
            return
        except BaseException:
            _refuse(group, StoreError(_STOPPED))
            raise
        for waiting, result in zip(group, results, strict=True):
            _resolve(waiting, self._state.epoch, result)
            if isinstance(result, range):
                self._note_urgent(waiting.telegrams, result)
                self.on_taken(waiting.telegrams)
        self._watch_fill()
        self.on_commit()

    def _note_urgent(self, telegrams: Sequence[Telegram], numbers: range) -> None:
        numbered = zip(numbers, telegrams, strict=True)
        urgent = (seq for seq, telegram in numbered if is_urgent(telegram))
        self._urgent += itertools.islice(urgent, _URGENT_MAX - len(self._urgent))

    def _take_group(self) -> list[_Waiting]:
        taken, telegrams = 0, 0
        for waiting in self._waiting:
            if taken and telegrams + len(waiting.telegrams) > _GROUP_MAX:
                break
            taken += 1
            telegrams += len(waiting.telegrams)
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._waiting_telegrams -= telegrams
        return group

    async def _keep_house_for_ever(self) -> None:
        for turn in itertools.count():
            try:
                if turn % _STATUS_TURNS == 0:
                    await self._note_progress()
                    await self._free_kept()
                await self._tell_status()
            except StoreError as error:
                _log.error("%s", error)
            await asyncio.sleep(_HOUSEKEEPING_S / _STATUS_TURNS)

    async def _note_progress(self) -> None:
        through, epoch = self._acked_through, self._state.epoch
        if through > self._acked_on_disk:
            now_ms = self._clock_ms()
            await self._in_file(lambda file: file.acknowledge(epoch, through, now_ms=now_ms))
            if epoch == self._state.epoch:
                self._acked_on_disk = through

    async def _free_kept(self) -> None:
        before_ms = self._clock_ms() - self._settings.keep_ms
        await self._in_file(lambda file: file.free(acknowledged_before_ms=before_ms))

    async def _tell_status(self) -> None:
        """Leave word for `ohmesh gateway outbox`; nothing depends on it."""
        span = await self._in_file(lambda file: file.span())
        self.summary = summarise(self.state, span, self._clock_ms(), thinned=self.thinned)
        with contextlib.suppress(OSError):
            write_summary(self._settings.path, self.summary)

    async def _in_file(self, work: Callable[[OutboxFile], _T]) -> _T:
        """Do work in the file's thread, then take over its state."""

        def job() -> tuple[_T, OutboxState]:
            file = self._file or self._open()
            try:
                return work(file), file.state
            except StoreError:
                file.close()
                self._file = None
                raise

        result, state = await asyncio.get_running_loop().run_in_executor(self._thread, job)
        self._take_over(state)
        return result

    def _open(self) -> OutboxFile:
        """Open the file, for the first time or after an error; runs in the file's thread."""
        settings = self._settings
        file = open_outbox(settings.path, max_bytes=settings.max_bytes, boot=settings.boot)
        self._urgent_found = file.urgent(_URGENT_MAX)
        self._file = file
        return file

    def _take_over(self, state: OutboxState) -> None:
        if state.epoch != self._state.epoch:
            self._acked_through = self._acked_on_disk = state.acked_through
            self._urgent = self._urgent_found
        self._state = state

    def _watch_fill(self) -> None:
        """One line when it gets dangerous, one when it is over."""
        fill = self.state.fill
        if (fill >= _ALARM_FILL) != self._alarmed:
            self._alarmed = not self._alarmed
            level = logging.ERROR if self._alarmed else logging.INFO
            _log.log(level, "unacknowledged telegrams fill %d %% of the outbox", int(fill * 100))


def _resolve(waiting: _Waiting, epoch: int, result: range | OutboxFull) -> None:
    if waiting.done.done():
        return
    if isinstance(result, OutboxFull):
        waiting.done.set_exception(result)
    else:
        waiting.done.set_result((epoch, result))


def _refuse(group: list[_Waiting], error: StoreError) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(StoreError(str(error)))
