"""A disk that loses power: SQLite's file layer over memory, through apsw.

What was written stays pending until a sync; a cut keeps any subset of the pending sectors of 512
bytes, so that writes are lost, torn and reordered. The image that is left is written to real files
for the next life.
"""

# ruff: noqa: N802, ARG002 - SQLite's names and signatures
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    import random

SECTOR = 512


class CutError(apsw.IOError):
    """The power is gone."""


class _File:
    def __init__(self, octets=b""):
        self.durable = bytearray(octets)
        self.visible = bytearray(octets)
        self.pending = []  # (offset, octets) or (length, None) for a truncation


class Disk(apsw.VFS):
    """All files of one machine, until the power goes.

    Args:
        name: of the file layer, unique.
        rng: what survives a cut.
        operations: writes, syncs, truncations and deletions until the cut; None for no cut.
        lying_share: share of syncs that say done and do nothing.
        failing: operation (counted from 1, opening and reading too) that fails, and its error.
    """

    def __init__(self, name, rng: random.Random, *, operations=None, lying_share=0.0, failing=None):
        self.files = {}
        self.done = 0
        self.bytes_written = 0
        self.syncs = 0
        self._rng = rng
        self._left = operations
        self._lying_share = lying_share
        self._failing = failing
        super().__init__(name, "")

    def load(self, folder: Path):
        for path in folder.iterdir():
            self.files[str(path)] = _File(path.read_bytes())
            path.unlink()

    def survive(self, folder: Path):
        """Write to the folder what a reboot finds."""
        for name, file in self.files.items():
            for offset, octets in file.pending:
                self._maybe(file, offset, octets)
            (folder / Path(name).name).write_bytes(file.durable)

    def _maybe(self, file, offset, octets):
        if octets is None:
            if self._rng.random() < 0.5:
                del file.durable[offset:]
            return
        for start in range(0, len(octets), SECTOR):
            if self._rng.random() < 0.5:
                _put(file.durable, offset + start, octets[start : start + SECTOR])

    def step(self):
        """One operation that changes the disk."""
        if self._left is not None and self.done >= self._left:
            raise CutError
        self.done += 1
        if self._failing and self._failing[0] == self.done:
            raise self._failing[1]

    def look(self):
        """One operation that changes nothing; it may fail all the same."""
        if self._failing:
            self.step()

    def sync(self, file):
        self.syncs += 1
        if self._rng.random() < self._lying_share:
            return
        for offset, octets in file.pending:
            if octets is None:
                del file.durable[offset:]
            else:
                _put(file.durable, offset, octets)
        file.pending.clear()

    # --- what SQLite asks for -------------------------------------------------------------------

    def xFullPathname(self, name):
        return name

    def xAccess(self, name, flags):
        return name in self.files

    def xDelete(self, name, syncdir):
        self.step()
        self.files.pop(name, None)

    def xOpen(self, name, flags):
        self.look()
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _Handle(self, self.files.setdefault(text, _File()))


class _Handle:
    def __init__(self, disk, file):
        self._disk = disk
        self._file = file

    def xRead(self, amount, offset):
        self._disk.look()
        return bytes(self._file.visible[offset : offset + amount])

    def xWrite(self, data, offset):
        self._disk.step()
        octets = bytes(data)
        self._disk.bytes_written += len(octets)
        _put(self._file.visible, offset, octets)
        self._file.pending.append((offset, octets))

    def xTruncate(self, size):
        self._disk.step()
        del self._file.visible[size:]
        self._file.pending.append((size, None))

    def xSync(self, flags):
        try:
            self._disk.step()
        except CutError:
            raise
        except apsw.Error:
            self._file.pending.clear()  # as kernels do: the pages count as clean, and are not
            raise
        self._disk.sync(self._file)

    def xFileSize(self):
        return len(self._file.visible)

    def xSectorSize(self):
        return SECTOR

    def xDeviceCharacteristics(self):
        return 0

    def xFileControl(self, operation, pointer):
        return False

    def xLock(self, level):
        pass

    def xUnlock(self, level):
        pass

    def xCheckReservedLock(self):
        return False

    def xClose(self):
        pass


def _put(target, offset, octets):
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(octets)] = octets
