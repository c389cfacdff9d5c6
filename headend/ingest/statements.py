"""The statements of ingest, by name."""

from __future__ import annotations

from typing import Final

from headend.store.plan import Queries

SQL: Final = Queries("headend.ingest", "ingest.sql")
