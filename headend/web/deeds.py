"""What a write made in a page is about, for its line in the audit log."""

from __future__ import annotations

from dataclasses import replace

from headend.api.store import DEED


def note(detail: str) -> None:
    """Say what the running request is about: which meter, how much. Never a secret."""
    deed = DEED.get()
    if deed is not None:
        DEED.set(replace(deed, detail=detail))
