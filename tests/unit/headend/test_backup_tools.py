"""What PostgreSQL's programs complain of is told with what to do."""

from __future__ import annotations

import pytest

from headend.ops import backup
from ohmesh.model.errors import StoreError


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("pg_dump: error: aborting because of server version mismatch", "--tools names the folder"),
        ("pg_dump: error: connection to server failed", "failed"),
    ],
)
def test_pg_dump_that_refuses_is_told_in_one_line(tmp_path, said, told):
    tool = tmp_path / "pg_dump"
    tool.write_text(f'#!/bin/sh\necho "{said}" >&2\necho "pg_dump: detail: more" >&2\nexit 1\n')
    tool.chmod(0o755)
    with pytest.raises(StoreError) as refused:
        backup.back_up("postgresql://a@127.0.0.1:1/b", tmp_path / "dump", tools=tmp_path)
    assert told in str(refused.value)
    assert str(refused.value).count("pg_dump:") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pg_dump"]
