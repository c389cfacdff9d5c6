"""Draw docs/prepayment/state-machine.md anew: `.venv/bin/python docs/write_state_machine.py`."""

from __future__ import annotations

from pathlib import Path

from headend.prepayment.states import document

FILE = Path(__file__).parent / "prepayment" / "state-machine.md"

if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
    print(FILE)
