"""Time for the pure engines: a clock that never steps back and an alarm for the next deadline."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Clock:
    """Microseconds since 1970 as of the start, counted on by the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    @property
    def now_us(self) -> int:
        """Microseconds."""
        return (time.monotonic_ns() + self._offset_ns) // 1000

    @property
    def now_ms(self) -> int:
        """Milliseconds."""
        return self.now_us // 1000


class Alarm:
    """Rings at the deadline of an engine, which may move with every event.

    Args:
        clock: the time.
        due_us: when the engine wants to be called, None for never.
        ring: calls it.
    """

    def __init__(
        self, clock: Clock, due_us: Callable[[], int | None], ring: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._due_us = due_us
        self._ring = ring
        self._moved = asyncio.Event()
        self._waiting_for_us: int | None = None

    def check(self) -> None:
        """The deadline may have moved; an earlier one is noticed at once."""
        due_us = self._due_us()
        waiting_for_us = self._waiting_for_us
        if due_us is not None and (waiting_for_us is None or due_us < waiting_for_us):
            self._moved.set()

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            self._moved.clear()
            self._waiting_for_us = due_us = self._due_us()
            wait_s = None if due_us is None else (due_us - self._clock.now_us) / 1e6
            if wait_s is None or wait_s > 0:
                try:
                    async with asyncio.timeout(wait_s):
                        await self._moved.wait()
                except TimeoutError:
                    pass
                else:
                    continue
            self._ring()
            await asyncio.sleep(0)


async def until_told(program: Coroutine[None, None, None]) -> None:
    """Run a program until it ends, or SIGINT or SIGTERM ends it in good order.

    An error of ours in one of its tasks comes out as it is, to be told in one line.
    """
    task = asyncio.create_task(program, name="program")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as group:
        ours = group.subgroup(OhmeshError)
        raise _leaf(ours) if ours else group from None


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
