"""The outbox's file against a list: appends, acknowledgements, freeing, restarts, kills."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.outbox_start import open_outbox
from ohmesh.model.errors import OutboxFull
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind

MAX_BYTES = 256 * 1024
MINUTE_MS = 60_000

telegrams = st.builds(
    Telegram,
    kind=st.sampled_from(TelegramKind),
    source=st.sampled_from(["mesh", "bench", ""]),
    meter=st.from_regex(r"\A[A-Za-z0-9_-]{0,64}\Z").map(Address),
    profile=st.sampled_from(["", "nl_dsmr"]),
    received_at_ms=st.integers(0, 2**63 - 1),
    payload=st.one_of(st.binary(max_size=300), st.integers(0, 30_000).map(bytes)),
)
groups = st.lists(st.lists(telegrams, min_size=1, max_size=5), min_size=1, max_size=4)


class OutboxMachine(RuleBasedStateMachine):
    """`truth[n]` is telegram n for ever; the file may forget acknowledged ones only."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ohmesh-outbox-"))
        self.path = self.folder / "outbox.db"
        self.truth = []
        self.boot = "I"
        self.base = 0
        self.acked = 0
        self.acked_on_disk = 0
        self.now_ms = 0

    @initialize()
    def start(self):
        self.file = open_outbox(self.path, max_bytes=MAX_BYTES, boot=self.boot)
        self.epoch = self.file.state.epoch

    @rule(groups=groups)
    def append(self, groups):
        for group, result in zip(groups, self.file.append(groups), strict=True):
            if isinstance(result, OutboxFull):
                state = self.file.state
                need = sum(len(t.payload) for t in group)
                assert state.first_seq == state.acked_through or need > MAX_BYTES // 2
            else:
                first = len(self.truth) - self.base
                assert result == range(first, first + len(group))
                self.truth += group

    @rule(data=st.data())
    def acknowledge(self, data):
        through = data.draw(st.integers(self.acked, len(self.truth)))
        self.file.acknowledge(self.epoch, through - self.base, now_ms=self.now_ms)
        self.acked = self.acked_on_disk = through

    @rule(minutes=st.integers(-100, 1000))
    def time_passes(self, minutes):
        self.now_ms = max(0, self.now_ms + minutes * MINUTE_MS)

    @rule(keep_ms=st.integers(0, 100 * MINUTE_MS))
    def free(self, keep_ms):
        self.file.free(acknowledged_before_ms=self.now_ms - keep_ms)

    @rule()
    def restart(self):
        self.file.close()
        self.start_again()

    @rule()
    def reboot(self):
        """A new epoch: what is unacknowledged counts from 0, what is kept counts below."""
        self.file.close()
        self.boot += "I"
        epoch = self.epoch
        self.start_again()
        self.epoch = self.file.state.epoch
        assert self.epoch != epoch

    @rule(epoch=st.integers(1, 2**63 - 1), through=st.integers(0, 2**63 - 1))
    def acknowledge_something_else(self, epoch, through):
        self.file.acknowledge(epoch, through, now_ms=self.now_ms)
        self.file.acknowledge(self.epoch, len(self.truth) + 1 + through, now_ms=self.now_ms)

    @rule()
    def kill(self):
        """What another process would find were this one killed now: the files as they are."""
        copy = self.folder / "copy"
        copy.mkdir()
        for name in ("outbox.db", "outbox.db-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, copy / name)
        self.file.close()
        for name in ("outbox.db", "outbox.db-wal"):
            (self.folder / name).unlink(missing_ok=True)
            if (copy / name).exists():
                (copy / name).rename(self.folder / name)
        copy.rmdir()
        self.start_again()

    def start_again(self):
        self.file = open_outbox(self.path, max_bytes=MAX_BYTES, boot=self.boot)
        if self.file.state.epoch != self.epoch:
            self.base = self.acked_on_disk
        self.acked = self.file.state.acked_through + self.base
        assert self.acked == self.acked_on_disk

    @invariant()
    def nothing_is_lost_changed_or_renumbered(self):
        state = self.file.state
        assert state.epoch == self.epoch
        assert state.next_seq == len(self.truth) - self.base
        assert state.acked_through == self.acked - self.base
        assert state.first_seq <= state.acked_through
        kept = self.file.batch(state.first_seq, limit=10_000, max_bytes=2**40)
        assert kept == self.truth[state.first_seq + self.base :]

    @invariant()
    def the_bound_holds(self):
        assert self.file.state.used_bytes <= MAX_BYTES

    def teardown(self):
        self.file.close()
        shutil.rmtree(self.folder)


OutboxMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, derandomize=False
)
TestOutbox = OutboxMachine.TestCase
