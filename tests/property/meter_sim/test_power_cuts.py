"""Anything in any order, and power lost at any moment: each TID once, a lawful switch."""

from __future__ import annotations

import secrets
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from meter_sim.meter import Meter
from meter_sim.testing import START_MS, Desk
from ohmesh.model.command import CommandKind, RelayState, ResultStatus
from ohmesh.model.relay import CONTROL_MODES
from ohmesh.tokens import sts
from ohmesh.tokens.acceptance import STORE_SIZE, Verdict
from ohmesh.tokens.misty1 import Misty1
from ohmesh.tokens.sts import TokenKind

KEY = bytes(range(50, 66))
CIPHER = Misty1(KEY)
UNITS = 7
TIDS = st.integers(5000, 5000 + STORE_SIZE + 20)


class PowerCuts(RuleBasedStateMachine):
    """A meter, what it has written, and a model of the tokens in what it has written."""

    @initialize(mode=st.sampled_from(list(CONTROL_MODES)), stuck=st.booleans())
    def begin(self, mode, stuck):
        self.mode = mode
        self.desk = Desk.of(decoder_key=KEY, control_mode=mode)
        self.desk.meter.contactor.stuck = stuck
        self.sequences, self.orders = count(1), []
        self.used, self.fence = set(), 0
        self.write()

    def write(self):
        """The meter's state and what its messages told are durable together."""
        self.kept = (self.desk.meter.snapshot(), set(self.used), self.fence)

    @rule(tid=TIDS, remote=st.booleans(), written=st.booleans())
    def token(self, tid, remote, written):
        digits = sts.encode(sts.make(TokenKind.ELECTRICITY, UNITS, tid=tid, rnd=1), CIPHER)
        if remote:
            octets = self.desk.sealed(CommandKind.TOKEN_ENTER, body=digits.encode())
            taken = self.answer(octets).status is ResultStatus.OK
        else:
            taken = self.desk.meter.key_in(digits, START_MS).verdict is Verdict.ACCEPT
        assert not (taken and tid in self.used), "a TID is taken once"
        if taken:
            self.used.add(tid)
        if written:
            self.write()

    @rule(
        kind=st.sampled_from([CommandKind.RELAY_ON, CommandKind.RELAY_OFF]), written=st.booleans()
    )
    def order(self, kind, written):
        sequence = next(self.sequences)
        octets = self.desk.sealed(kind, sequence=sequence, ident=secrets.token_bytes(16))
        self.orders.append((sequence, octets))
        self.carry_out(sequence, octets)
        if written:
            self.write()

    @rule(which=st.integers(0, 100), written=st.booleans())
    def late(self, which, written):
        """An order of before comes once more."""
        if self.orders:
            self.carry_out(*self.orders[which % len(self.orders)])
            if written:
                self.write()

    def carry_out(self, sequence, octets):
        before = self.desk.meter.relay
        self.answer(octets)
        if sequence <= self.fence:
            assert self.desk.meter.relay is before, "what is late moves nothing"
        self.fence = max(self.fence, sequence)

    def answer(self, octets):
        self.desk.seen_counters.clear()  # what was not written never left
        return self.desk.answer(octets)

    @rule()
    def press(self):
        before = self.desk.meter.relay
        after = self.desk.meter.press(START_MS)
        assert before is not RelayState.DISCONNECTED or after is before

    @rule()
    def power_cut(self):
        snapshot, used, self.fence = self.kept
        self.used = set(used)
        old = self.desk.meter
        self.desk.meter = Meter(
            old.config, START_MS, snapshot, flash=old.flash, contactor=old.contactor
        )

    @invariant()
    def credit_is_what_the_used_tokens_brought(self):
        if hasattr(self, "desk"):
            assert self.desk.meter.credit == UNITS * len(self.used)

    @invariant()
    def the_switch_is_lawful(self):
        if not hasattr(self, "desk"):
            return
        meter = self.desk.meter
        assert (meter.relay is RelayState.CONNECTED) == meter.contactor.closed
        if self.mode == 0:
            assert meter.contactor.closed
        if self.mode in {2, 4} and not meter.contactor.stuck:
            assert meter.relay is not RelayState.READY_FOR_RECONNECTION


PowerCuts.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestPowerCuts = PowerCuts.TestCase
