"""`ohmesh headend doctor`: what would keep this head-end from working well, in plain words.

Every check is a pure judgement of something that was looked at; `examine` does the looking.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509

from headend.config import required
from headend.keystore import Keystore
from headend.store import db, guard, migrate
from ohmesh.model.errors import ConfigError, OhmeshError, SchemaMismatch
from ohmesh.program.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headend.config import Settings

_FIX_DATABASE: Final = (
    "is it running, and is database.{role}_url its address and password? "
    "`ohmesh headend bootstrap` makes roles and passwords"
)
_FIX_BROKER: Final = (
    "is it running, and is broker.url its address? `ohmesh headend mqtt-config --write DIR` writes "
    "what Mosquitto needs"
)
_FIX_KEK: Final = (
    "put back the kept copy, without which meters' keys cannot be opened; a new head-end gets one "
    "from `ohmesh headend bootstrap`"
)
_FIX_FILE: Final = "put the file there, readable by this user alone, or correct its path"
_FIX_ENDS: Final = (
    "put a good file there, or correct its path; `ohmesh headend mqtt-config` makes the broker's"
)
_FIX_CLEAR: Final = (
    "it listens in the clear: set api.tls_certificate_file and api.tls_key_file, or api.host to "
    "127.0.0.1 behind a proxy with TLS"
)
_RENEW: Final = "make it anew: `ohmesh headend mqtt-config` for the broker's, your CA for the API's"
SOON: Final = timedelta(days=14)
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_REACH_S: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` is empty when it is well."""

    what: str
    advice: str = ""


def judge_end(what: str, end: datetime, now: datetime) -> Finding:
    """A certificate or list that ends."""
    if end <= now:
        return Finding(what, f"it ended on {end:%Y-%m-%d}; {_RENEW}")
    return Finding(what, f"it ends on {end:%Y-%m-%d}; {_RENEW}" if end - now < SOON else "")


def judge_mode(what: str, mode: int) -> Finding:
    """The rights of a file with a secret."""
    others = mode & 0o077
    return Finding(what, f"others may read it (mode {mode & 0o777:o}): chmod 600" if others else "")


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that the configuration names. Raises nothing of ours."""
    found = [_attempt(what, check, fix) for what, (check, fix) in _checks(settings).items()]
    for what, file in _secrets(settings).items():
        if file is not None:
            found.append(_attempt(f"{what} {file}", partial(_check_mode, file), _FIX_FILE))
    found.extend(_ends(settings))
    if not settings.api.tls_certificate_file and not is_loopback(settings.api.host):
        found.append(Finding("api.host", _FIX_CLEAR))
    return found


def _checks(settings: Settings) -> dict[str, tuple[Callable[[], str], str]]:
    """What is looked at: its check, and what to do when that cannot even look."""
    roles = ("ingest", "worker", "api")
    urls = {role: getattr(settings.database, f"{role}_url") for role in roles}
    return {
        **{
            f"database as {role}": (_database_check(role, url), _FIX_DATABASE.format(role=role))
            for role, url in urls.items()
        },
        "broker": (lambda: _reach(settings.broker.url), _FIX_BROKER),
        "key-encryption key": (lambda: _key(settings), _FIX_KEK),
    }


def _attempt(what: str, check: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(what, check())
    except (ConfigError, SchemaMismatch) as error:  # these say themselves what to do
        return Finding(what, str(error))
    except (OhmeshError, OSError, ValueError) as error:
        return Finding(what, f"{error}: {fix}")


def _database_check(role: str, url: str) -> Callable[[], str]:
    def check() -> str:
        name = f"database.{role}_url"
        with db.connect(required(url, name), name="doctor", autocommit=True) as connection:
            guard.check(connection)
            migrate.check(connection)
        return ""

    return check


def _reach(url: str) -> str:
    place = urlsplit(url)
    address = (place.hostname or "", place.port or _PORTS.get(place.scheme, 1883))
    with socket.create_connection(address, _REACH_S):
        return ""


def _key(settings: Settings) -> str:
    file = settings.secrets.kek_file
    if file is None:
        raise ConfigError("secrets.kek_file is not set")
    try:
        Keystore.from_file(file)
    except ConfigError as error:
        return f"{error}: {_FIX_KEK}"
    return ""


def _secrets(settings: Settings) -> dict[str, Path | None]:
    return {
        "secrets.kek_file": settings.secrets.kek_file,
        "api.token_file": settings.api.token_file,
        "api.tls_key_file": settings.api.tls_key_file,
        "broker.key_file": settings.broker.key_file,
    }


def _check_mode(file: Path) -> str:
    return judge_mode(str(file), file.stat().st_mode).advice


def _ends(settings: Settings) -> list[Finding]:
    now = datetime.now(UTC)
    files = {
        "api.tls_certificate_file": settings.api.tls_certificate_file,
        "broker.certificate_file": settings.broker.certificate_file,
    }

    def check(what: str, file: Path) -> str:
        shown = x509.load_pem_x509_certificate(file.read_bytes())
        return judge_end(what, shown.not_valid_after_utc, now).advice

    def check_list(file: Path) -> str:
        ends = x509.load_pem_x509_crl(file.read_bytes()).next_update_utc
        return judge_end(str(file), ends or now, now).advice

    folder = settings.enrolment.folder
    lists = [folder / "fleet.crl", folder / "service.crl"] if folder else []
    found = [
        _attempt(f"revocation list {file}", partial(check_list, file), _FIX_ENDS) for file in lists
    ]
    return found + [
        _attempt(what, partial(check, what, file), _FIX_ENDS)
        for what, file in files.items()
        if file is not None
    ]
