"""What has to hold after every step, and at rest. A breach is an AssertionError at its step."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from itertools import islice

from headend.prepayment.supplying import supply_of
from ohmesh.model.command import CommandKind, RelayState, ResultStatus
from ohmesh.wire.metercommand import decode_command
from ohmesh.wire.sealed import unseal
from whole.store import through


class Judge:
    """Holds what really happened against what the store says."""

    def __init__(self, store):
        self.store = store
        self.truth = {}
        """(meter, channel name, UTC) -> value, of reports whose meter remembers them."""
        self.counts = Counter()
        self._hash = blake2b(digest_size=8)
        self._fences = {}
        self._executed = set()
        self._sealed = {}
        self._numbers = set()
        self._archived = self._read = 0
        self._progress = {}

    @property
    def trace(self):
        return self._hash.hexdigest()

    def note(self, *what):
        """Something happened: it goes into the hash of the run."""
        self._hash.update(repr(what).encode())
        self.counts[what[0]] += 1

    # --- each step ------------------------------------------------------------------------------

    def committed(self, changed):
        """In = stored + quarantined; every reading once, and as its meter said it."""
        if not changed & {"progress", "telegram", "reading"}:
            self.counts["commit"] += bool(changed)
            return
        progress, archive = self.store.table("progress"), self.store.table("telegram")
        numbers = sum(map(len, progress.values()))
        assert len(archive) == numbers, f"{numbers} are committed, {len(archive)} are archived"
        for gateway, epoch, seq, _ in _newest(archive, len(archive) - self._archived):
            assert seq in progress[gateway, epoch], f"{gateway}/{epoch}/{seq} is not committed"
            assert (gateway, epoch, seq) not in self._numbers, f"number {seq} is archived twice"
            self._numbers.add((gateway, epoch, seq))
        self._archived = len(archive)
        self._progress = dict(progress)
        self._compare(self.store.table("reading"))
        self.note("commit", numbers, self._read)

    def _compare(self, readings):
        names = {row["id"]: row["name"] for row in self.store.table("channel").values()}
        for meter, channel, at in _newest(readings, len(readings) - self._read):
            said = self.truth.get((meter, names[channel], at))
            value, _ = readings[meter, channel, at]
            assert said == value, f"meter {meter} never said {names[channel]} = {value} at {at}"
        self._read = len(readings)

    def restored(self):
        """The store went back: what is committed is looked at from the beginning."""
        self._numbers.clear()
        self._archived = self._read = 0
        self._progress = dict(self.store.table("progress"))

    def acknowledged(self, gateway_id, ack):
        """Nothing is acknowledged that is not committed."""
        got = self._progress.get((gateway_id, ack.epoch), frozenset())
        assert ack.through <= through(got), f"{ack} was sent before its commit"
        self.note("ack", gateway_id, ack.epoch, ack.through)

    def ordered(self, meter, payload):
        """A command leaves: no nonce twice, and no cut that is not decided and due now."""
        opened = unseal(meter.config.key, meter.config.address, payload)
        before = self._sealed.setdefault((meter.number, opened.counter), payload)
        assert before == payload, f"counter {opened.counter} seals two messages to {meter.number}"
        command = decode_command(opened.body)
        if command.kind is CommandKind.RELAY_OFF:
            account = meter.number
            wallet_mu = self.store.table("wallet")[account]
            assert wallet_mu <= 0, f"a cut leaves for account {account} with {wallet_mu}"
            supply = supply_of(self.store.table("supply")[account]["kept"])
            rows = self.store.table("command")
            row = next(r for r in rows.values() if r["id"].bytes == command.id)
            assert row["decision_seq"] == supply.decision_seq, "a cut leaves that was withdrawn"
        self.note("order", meter.number, command.kind.name, command.sequence)
        return command.kind

    def executed(self, meter, command, before, after):
        """A meter remembers a command: never twice, and none that is older than the last."""
        if after.id in self._executed or after.status is not ResultStatus.OK:
            return
        assert not before, f"meter {meter} executed {command.id.hex()} twice"
        self._executed.add(after.id)
        if command.kind in (CommandKind.RELAY_OFF, CommandKind.RELAY_ON):
            last = self._fences.get(meter, -1)
            assert command.sequence > last, (
                f"meter {meter} executed {command.sequence} after {last}"
            )
            self._fences[meter] = command.sequence
        self.note("execute", meter, command.kind.name, command.sequence)

    # --- at rest --------------------------------------------------------------------------------

    def faults_at_rest(self, meters):
        """What is still wrong; a healed system comes to none."""
        faults = self._missing() + self._in_the_dark(meters)
        open_commands = [
            row for row in self.store.table("command").values() if row["resolved_at"] is None
        ]
        if open_commands:
            faults.append(f"{len(open_commands)} commands have not ended")
        if self.store.table("quarantine"):
            faults.append(f"quarantine holds {len(self.store.table('quarantine'))}")
        return faults

    def missing(self, meters=None):
        """What meters said and the store has not."""
        names = {row["id"]: row["name"] for row in self.store.table("channel").values()}
        stored = {(m, names[ch], at) for m, ch, at in self.store.table("reading")}
        missing = self.truth.keys() - stored
        return {one for one in missing if meters is None or one[0] in meters}

    def _missing(self):
        missing = self.missing()
        return [f"{len(missing)} readings are lost, the first {min(missing)}"] if missing else []

    def _in_the_dark(self, meters):
        faults = []
        for meter in meters:
            credit_mu = self.store.table("wallet")[meter.number]
            dark = meter.relay is not RelayState.CONNECTED
            if dark and credit_mu > 0:
                faults.append(f"account {meter.number} has {credit_mu} and is dark")
        return faults


def _newest(table, count):
    """The keys that were added last, in their order; a walk over all at each step is quadratic."""
    return reversed(list(islice(reversed(table), count)))
