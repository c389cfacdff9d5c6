"""Pull the plug at any write, sync or truncation: no committed telegram is lost or changed."""

from __future__ import annotations

import importlib.util
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from gateway.admission import check_telegram
from gateway.outbox_start import open_outbox
from ohmesh.model.errors import StoreError
from ohmesh.model.ids import Address
from ohmesh.model.telegram import Telegram, TelegramKind


def _fault_disk():
    path = Path(__file__).with_name("fault_disk.py")
    spec = importlib.util.spec_from_file_location("fault_disk", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fault_disk = _fault_disk()
MAX_BYTES = 1 << 20
CUTS = 2000
LIFETIMES = 4


@dataclass
class Truth:
    """What was promised: rows acknowledged to their source, by number."""

    committed: list[Telegram] = field(default_factory=list)
    acked: int = 0
    lost: int = 0
    corrupt: int = 0
    cuts: int = 0


def telegram(rng):
    payload = rng.randbytes(rng.randrange(10, 600))
    return Telegram(TelegramKind.METER, "mesh", Address("M1"), "", rng.randrange(2**40), payload)


def work(file, truth, rng):
    """Appends, acknowledgements and freeing until the power goes."""
    for _ in range(rng.randrange(3, 12)):
        groups = [[telegram(rng) for _ in range(rng.randrange(1, 4))] for _ in range(2)]
        for seqs, group in zip(file.append(groups), groups, strict=True):
            assert seqs.start == len(truth.committed)
            truth.committed += group
        if rng.random() < 0.3:
            through = rng.randrange(truth.acked, len(truth.committed) + 1)
            file.acknowledge(file.state.epoch, through, now_ms=truth.cuts * 60_000)
            truth.acked = through
        if rng.random() < 0.2:
            file.free(acknowledged_before_ms=truth.cuts * 60_000)


def live(folder, truth, rng, *, operations, weaken=lambda _: None):
    """One life of the gateway on a disk that is cut after some operations."""
    disk = fault_disk.Disk("ohmesh-cut", rng, operations=operations)
    disk.load(folder)
    path = folder / "outbox.db"
    file = None
    try:
        file = open_outbox(path, max_bytes=MAX_BYTES, vfs="ohmesh-cut")
        weaken(file._connection)
        if rng.random() < 0.5:
            file._connection.pragma("wal_autocheckpoint", 4)
        work(file, truth, rng)
    except (StoreError, apsw.Error, fault_disk.CutError):
        truth.cuts += 1
    if file is not None:
        file.close()
    disk.survive(folder)
    disk.unregister()
    return disk.done


def check(folder, truth):
    """After the reboot: all that was promised is there, in its place, unchanged."""
    before = {path.name for path in folder.iterdir()}
    file = open_outbox(folder / "outbox.db", max_bytes=MAX_BYTES)
    state = file.state
    rows = file.batch(state.first_seq, limit=10_000, max_bytes=2**40)
    file.close()
    after = {path.name for path in folder.iterdir()}
    truth.corrupt += any("damaged" in name for name in after - before)
    promised = truth.committed[state.first_seq :]
    truth.lost += promised != rows[: len(promised)]
    # A commit whose sync was cut may be there although nobody was told: it is kept, and counts on.
    truth.committed += rows[len(promised) :]
    truth.acked = state.acked_through


def run_cuts(cuts, seed, weaken=lambda _: None):
    totals = Truth()
    rng = random.Random(seed)
    while totals.cuts < cuts:
        truth = Truth()
        with tempfile.TemporaryDirectory(prefix="ohmesh-cut-") as name:
            folder = Path(name)
            for _ in range(LIFETIMES):
                live(folder, truth, rng, operations=rng.randrange(1, 120), weaken=weaken)
                check(folder, truth)
                if truth.corrupt or truth.lost:
                    break
        totals.cuts += truth.cuts
        totals.lost += truth.lost
        totals.corrupt += truth.corrupt
    return totals


@pytest.mark.parametrize("seed", [1, random.SystemRandom().randrange(2**32)])
def test_a_power_cut_loses_nothing_that_was_promised(seed):
    totals = run_cuts(CUTS // 2, seed)
    assert (totals.lost, totals.corrupt) == (0, 0), f"repeat with run_cuts({CUTS // 2}, {seed})"


def test_without_full_synchronisation_the_same_cuts_lose_rows():
    """The trial can fail: it tells FULL from NORMAL."""
    weaken = lambda connection: connection.pragma("synchronous", "normal")  # noqa: E731
    assert run_cuts(60, 1, weaken).lost > 0


def failing_life(folder, seed, operation, error):
    """A life in which one operation of the disk fails; then the power goes."""
    rng = random.Random(seed)
    disk = fault_disk.Disk("ohmesh-cut", rng, failing=(operation, error))
    path = folder / "outbox.db"
    promised, file, refused = {}, None, 0
    for number in range(25):
        try:
            file = file or open_outbox(path, max_bytes=MAX_BYTES, vfs="ohmesh-cut")
            row = telegram(rng)
            (seqs,) = file.append([[row]])
            assert seqs.start not in promised
            promised[seqs.start] = row
            if number % 5 == 4:
                file.acknowledge(file.state.epoch, seqs.start // 2, now_ms=0)
                file.free(acknowledged_before_ms=60_000)
        except StoreError:
            refused += 1
            if file is not None:
                file.close()
            file = None
    disk.survive(folder)
    if file is not None:
        file.close()
    disk.unregister()
    return promised, refused, disk.done


@pytest.mark.parametrize("error", [apsw.IOError("EIO"), apsw.FullError("ENOSPC")])
def test_an_error_at_any_operation_makes_no_false_promise(error, tmp_path):
    """Every operation of the run fails once; after a failed sync the log is not synced again."""
    operation, refusals = 1, 0
    while True:
        folder = tmp_path / str(operation)
        folder.mkdir()
        promised, refused, done = failing_life(folder, 3, operation, error)
        if done < operation:
            break
        refusals += refused
        file = open_outbox(folder / "outbox.db", max_bytes=MAX_BYTES)
        first = file.state.first_seq
        rows = file.batch(first, limit=1000, max_bytes=2**40)
        file.close()
        assert not list(folder.glob("*.damaged-*"))
        kept = {seq: row for seq, row in promised.items() if seq >= first}
        assert kept == {seq: rows[seq - first] for seq in kept}
        operation += 1
    assert operation > 100
    assert refusals > operation // 2, "most of the failed operations were felt"


class LyingCard:
    """Lives of a gateway on a card that skips some syncs, and flips bits while the power is off."""

    def __init__(self, rng, *, lying_share, flips, boots):
        self.rng = rng
        self.lying_share = lying_share
        self.flips = flips
        self.boots = boots
        self.contents = {}
        self.conflicts = 0
        self.damaged = 0
        self.cuts = 0

    def live(self, folder):
        disk = fault_disk.Disk(
            "ohmesh-lie",
            self.rng,
            operations=self.rng.randrange(1, 120),
            lying_share=self.lying_share,
        )
        disk.load(folder)
        try:
            # What is damaged was salvaged by `reboot`, on the system's own files.
            file = open_outbox(
                folder / "outbox.db", max_bytes=MAX_BYTES, boot=self.boot(), vfs="ohmesh-lie"
            )
        except (StoreError, apsw.Error):
            file = None
        try:
            for _ in range(self.rng.randrange(3, 12) if file else 0):
                rows = [telegram(self.rng) for _ in range(3)]
                (seqs,) = file.append([rows])
                for seq, row in zip(seqs, rows, strict=True):
                    known = self.contents.setdefault((file.state.epoch, seq), row)
                    self.conflicts += known != row
        except (StoreError, apsw.Error):
            self.cuts += 1
        if file:
            file.close()
        disk.survive(folder)
        disk.unregister()

    def reboot(self, folder):
        """It starts, whatever is on the card, and what it has is in order and fit to travel."""
        path = folder / "outbox.db"
        for _ in range(self.flips if path.exists() else 0):
            octets = bytearray(path.read_bytes())
            if octets:
                octets[self.rng.randrange(len(octets))] ^= 1 << self.rng.randrange(8)
                path.write_bytes(octets)
        file = open_outbox(path, max_bytes=MAX_BYTES, boot=self.boot())
        rows = file.batch(0, limit=10_000, max_bytes=2**40)
        assert len(rows) == file.state.backlog
        for row in rows:
            check_telegram(row)
        (seqs,) = file.append([[telegram(self.rng)]])
        assert seqs.stop == file.state.next_seq
        self.contents[file.state.epoch, seqs.start] = file.batch(
            seqs.start, limit=1, max_bytes=2**40
        )[0]
        file.close()
        self.damaged += len(list(folder.glob("*.damaged-*")))
        for aside in folder.glob("*.damaged-*"):
            aside.unlink()

    def boot(self):
        return str(self.rng.random()) if self.boots else "one"

    def run(self, lives):
        for _ in range(lives // LIFETIMES):
            with tempfile.TemporaryDirectory(prefix="ohmesh-lie-") as name:
                for _ in range(LIFETIMES):
                    self.live(Path(name))
                    self.reboot(Path(name))


@pytest.mark.parametrize("lives", [200, pytest.param(2000, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("lying_share", "flips"), [(0.3, 0), (0.0, 3), (0.3, 3)])
def test_a_lying_card_costs_data_and_never_the_gateway(lying_share, flips, lives):
    card = LyingCard(random.Random(7), lying_share=lying_share, flips=flips, boots=True)
    card.run(lives)
    assert card.cuts > lives // 4
    assert card.damaged > 0, "the trial has teeth"
    assert card.conflicts == 0, "no number has two contents"


def test_without_an_epoch_for_each_boot_a_lying_card_gives_a_number_two_contents():
    card = LyingCard(random.Random(7), lying_share=0.3, flips=0, boots=False)
    card.run(200)
    assert card.conflicts > 0


@pytest.mark.soak
def test_many_power_cuts_lose_nothing():
    totals = run_cuts(200_000, random.SystemRandom().randrange(2**32))
    assert (totals.lost, totals.corrupt) == (0, 0)
