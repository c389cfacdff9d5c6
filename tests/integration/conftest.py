"""What the integration tests of the head-end and its API share.

The roles of a head-end belong to the whole database server: one bootstrap a session.
"""

from __future__ import annotations

import pytest

from headend.store import bootstrap


@pytest.fixture(scope="session")
def headend_base(database, tmp_path_factory):
    """A bootstrapped database that is never changed: tests clone it."""
    folder = tmp_path_factory.mktemp("headend")
    made = bootstrap.bootstrap(
        database.admin_url,
        database="headend_base",
        file=folder / "headend.toml",
        broker_url="mqtt://127.0.0.1:1883",
        api_port=8080,
    )
    return made.urls, folder
