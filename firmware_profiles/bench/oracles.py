"""Other projects' decoders, in an interpreter of their own.

The script and the list of packages stand in a checkout only (`benchmarks/decode_oracles.py`,
`requirements/oracles.txt`): the product neither imports nor ships them. Without a checkout there is
no yardstick, and the report says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ohmesh.model.errors import OhmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firmware_profiles.bench.timing import Effort, Timed

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "benchmarks" / "decode_oracles.py"
_BUILD = _ROOT / "requirements" / "tools.sh"
_TIMEOUT_S = 900
_STEERING = ("standard", "country", "telegram_hex", "key_hex", "auth_key_hex")

Times = dict[str, float | None]
"""Library -> CPU microseconds, None when it could not decode the telegram."""


class OracleError(OhmeshError):
    """The yardstick could not be measured."""


def interpreter() -> Path | None:
    """The environment's Python, built on first use; None outside a checkout.

    Raises:
        OracleError: it could not be built.
    """
    if not _SCRIPT.exists():
        return None
    built = subprocess.run(  # noqa: S603 - our own script, with a fixed word
        ["/bin/sh", str(_BUILD), "oracles"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={"PYTHON": sys.executable, "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    if built.returncode:
        raise OracleError(f"no environment of oracles: {built.stderr.strip()[-200:]}")
    return Path(built.stdout.strip())


def times(python: Path, telegrams: Sequence[Timed], effort: Effort) -> list[Times]:
    """For each telegram the times of the libraries that read its standard. Raises OracleError."""
    task = {
        "records": [_task(telegram) for telegram in telegrams],
        "rounds": effort.rounds,
        "round_s": effort.round_s,
    }
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [str(python), str(_SCRIPT)],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise OracleError(f"the oracles ended with {done.returncode}: {done.stderr[-200:]}")
    found: list[Times] = json.loads(done.stdout)
    return found


def _task(telegram: Timed) -> dict[str, Any]:
    known = {name: telegram.fields[name] for name in _STEERING if name in telegram.fields}
    return {"country": "-", **known, "payload_hex": telegram.record.payload.hex()}
