"""Commands under duplication, reordering, expiry and reboot: executed at most once, fenced."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from meter_sim.testing import START_MS, Desk
from ohmesh.model.command import CommandKind, RelayState, ResultStatus
from ohmesh.model.errors import WireError

_KINDS = st.sampled_from([CommandKind.RELAY_OFF, CommandKind.RELAY_ON, CommandKind.READ_NOW])
_WANTED = {
    CommandKind.RELAY_OFF: RelayState.DISCONNECTED,
    CommandKind.RELAY_ON: RelayState.CONNECTED,
}


class MeterUnderCommands(RuleBasedStateMachine):
    """The network keeps every sealed command and delivers it whenever it likes."""

    commands = Bundle("commands")

    def __init__(self):
        super().__init__()
        self.desk = Desk.of(interval_s=3600)
        self.clock_s = 10_000
        self.now_ms = START_MS
        self.sequence = 0
        self.executed = {}
        self.first_results = {}
        self.fence = 0
        self.relay = RelayState.CONNECTED
        self.readings = 0

    @rule(target=commands, kind=_KINDS, patience_s=st.integers(0, 500))
    def issue(self, kind, patience_s):
        self.sequence += 1
        deadline_s = self.clock_s + patience_s
        octets = self.desk.sealed(kind, sequence=self.sequence, not_after_s=deadline_s)
        return multiple((self.sequence, kind, deadline_s, octets))

    @rule(command=commands)
    def deliver(self, command):
        sequence, kind, deadline_s, octets = command
        messages = self.desk.meter.execute(octets, self.now_ms, self.clock_s)
        self.readings += sum(len(message.readings) for message in messages)
        opened = [self.desk.open(message) for message in messages]
        result = opened[-1].body
        if sequence in self.first_results:
            assert result == self.first_results[sequence]
            return
        self.first_results[sequence] = result
        status = ResultStatus(result[16])
        if self.clock_s > deadline_s:
            assert status is ResultStatus.EXPIRED
        elif kind in _WANTED and sequence < self.fence:
            assert status is ResultStatus.STALE
        else:
            assert status is ResultStatus.OK
            if kind in _WANTED:
                self.fence, self.relay = sequence, _WANTED[kind]
        assert RelayState(result[17]) is self.relay

    @rule(command=commands, place=st.integers(0, 45), flip=st.integers(1, 255))
    def damage(self, command, place, flip):
        octets = bytearray(command[3])
        octets[place] ^= flip
        before = self.desk.meter.snapshot()
        with pytest.raises(WireError):
            self.desk.meter.execute(bytes(octets), self.now_ms, self.clock_s)
        assert self.desk.meter.snapshot() == before

    @rule(seconds=st.integers(1, 4000))
    def wait(self, seconds):
        self.clock_s += seconds
        self.now_ms += seconds * 600_000

    @rule()
    def report(self):
        for message in self.desk.meter.advance(self.now_ms):
            self.readings += len(message.readings)
            self.desk.open(message)

    @rule()
    def reboot(self):
        self.desk.reboot()

    @invariant()
    def the_relay_is_where_the_newest_executed_command_put_it(self):
        assert self.desk.meter.relay is self.relay

    @invariant()
    def the_meter_counts_what_it_reported(self):
        assert self.desk.meter.readings == self.readings


TestMeterUnderCommands = MeterUnderCommands.TestCase
TestMeterUnderCommands.settings = settings(max_examples=40, stateful_step_count=30)
