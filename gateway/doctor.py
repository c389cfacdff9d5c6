"""`ohmesh gateway doctor`: what would keep this gateway from working, and the fix for each."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from gateway.drivers.line import Line, LineSettings
from gateway.field import KINDS
from gateway.identity import Identity
from gateway.mqtt import reachable
from gateway.outbox_start import inspect_outbox
from gateway.sqlite import BusyError, DamagedError
from ohmesh.model.errors import ConfigError, DriverError, OhmeshError
from ohmesh.wire.meshkeys import read_mesh_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config import GatewaySettings
    from ohmesh.wire.brokerurl import BrokerUrl

_NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
"""A Pi without a clock chip starts in the past."""
_BROKER_TIMEOUT_S = 5.0
_PROBE = ".doctor"
_TIMEX_BYTES = 256
"""Enough for the kernel's struct timex, 208 bytes at most."""
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_PROFILES = "ohmesh.profiles"
"""The entry points of profiles; a gateway needs their names alone."""
_RENEWAL_LATE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor; `fix` is empty when all is well, and set for a mere warning too."""

    name: str
    ok: bool
    detail: str
    fix: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `warn` or `FAIL`."""
        if not self.ok:
            return "FAIL"
        return "warn" if self.fix else "ok"


async def examine(settings: GatewaySettings, now: datetime) -> list[Check]:
    """All checks, in the order in which to mend them."""
    outbox, running = _outbox(settings)
    checks = [_clock(now), _folder(settings.outbox.path.parent), outbox, _space(settings)]
    checks.append(await _broker("broker", settings.broker_url, settings))
    if settings.mesh.enabled and settings.air_url != settings.broker_url:
        checks.append(await _broker("air", settings.air_url, settings))
    if any(broker.tls for broker in settings.broker_urls):
        checks.append(_certificate(Identity(settings.broker.identity), now))
    for name in ("bench", "metrics"):
        section = getattr(settings, name)
        if section.enabled:
            checks.append(_port_free(name, section.host, section.port, running=running))
    if settings.mesh.enabled:
        checks += [_mesh_keys(settings.mesh.keys_file), _limiter(settings)]
    lines = [await _line(line, running=running) for line in _lines(settings)]
    return [*checks, *lines, *_profiles(settings), _sources(settings)]


def _certificate(identity: Identity, now: datetime) -> Check:
    name, fix = "certificate", "ask the head-end for a token and run 'ohmesh gateway enrol'"
    if not identity.exists:
        return Check(name, ok=False, detail=f"there is none in {identity.folder}", fix=fix)
    try:
        life = identity.life()
    except ConfigError as error:
        return Check(name, ok=False, detail=str(error), fix=fix)
    detail = f"{life.name}, until {life.ends:%Y-%m-%d}"
    if not life.begins <= now < life.ends:
        return Check(name, ok=False, detail=f"{detail}: not good now", fix=f"the clock, or {fix}")
    if now > life.renewal + _RENEWAL_LATE:
        fix = "look for 'not renewed' in the log of the gateway: can it reach the head-end's API?"
        return Check(name, ok=False, detail=f"{detail}: its renewal is late", fix=fix)
    return Check(name, ok=True, detail=detail)


def _mesh_keys(file: Path | None) -> Check:
    name = "mesh keys"
    if file is None:
        fix = "set mesh.keys_file, unless this is meant"
        return Check(name, ok=True, detail="without keys anybody in range may join", fix=fix)
    try:
        read_mesh_keys(file)
    except ConfigError as error:
        fix = "correct mesh.keys_file, or bring the file here: it goes with the meters' own keys"
        return Check(name, ok=False, detail=str(error), fix=fix)
    return Check(name, ok=True, detail=f"{file} is read")


def _limiter(settings: GatewaySettings) -> Check:
    enrolment = Identity(settings.broker.identity).enrolment
    keys = len(settings.limiter.gate_keys) + len(enrolment.gate_keys if enrolment else ())
    if keys:
        return Check("limiter", ok=True, detail=f"{keys} release gate(s) trusted")
    return Check(
        "limiter",
        ok=False,
        detail="no release gate is trusted: no meter here can be switched off",
        fix="put what stands in the head-end's gate.pub into limiter.gate_keys, or enrol",
    )


def _lines(settings: GatewaySettings) -> list[LineSettings]:
    """Of field sources and of the modem, each once."""
    found = {
        section.line: section.line_settings for kind in KINDS for section in getattr(settings, kind)
    }
    if settings.mesh.modem:
        found[settings.mesh.modem] = LineSettings(settings.mesh.modem, settings.mesh.modem_baud)
    return [found[line] for line in sorted(found)]


async def _line(line: LineSettings, *, running: bool) -> Check:
    """A line is opened; those of a running gateway are its own, and only looked for."""
    if running:
        return _port(line)
    try:
        (await Line.open(line)).close()
    except DriverError as error:
        what, _, fix = str(error).partition("; ")
        fix = fix or "switch the device on, or correct `line`; 'ohmesh gateway detect' tries lines"
        return Check("line", ok=False, detail=what, fix=fix)
    return Check("line", ok=True, detail=f"{line.line} can be opened")


def _port(line: LineSettings) -> Check:
    if line.is_tcp:
        return Check("line", ok=True, detail=f"{line.line} is a matter of the running gateway")
    found = glob.glob(line.line)  # noqa: PTH207 - a pattern from the root
    if found:
        return Check("line", ok=True, detail=f"{line.line} is {found[0]}")
    fix = "plug it in, or correct `line`; 'ohmesh gateway detect' names the ports"
    return Check("line", ok=False, detail=f"{line.line} is not there", fix=fix)


def _profiles(settings: GatewaySettings) -> Iterator[Check]:
    """Warnings of profiles that this installation does not know; the head-end's may."""
    known = sorted(entry_points(group=_PROFILES).names)
    for kind in KINDS:
        for section in getattr(settings, kind):
            profile = getattr(section, "profile", "")
            if profile and profile not in known:
                near = get_close_matches(profile, known, n=1)
                detail = f"{kind} {section.name}: {profile} is not known here"
                fix = f"write {near[0]}" if near else "'ohmesh profiles list' names those there are"
                yield Check("profile", ok=True, detail=detail, fix=fix)


def _sources(settings: GatewaySettings) -> Check:
    if settings.source_names:
        return Check("sources", ok=True, detail=", ".join(settings.source_names))
    return Check(
        "sources",
        ok=False,
        detail="no source of telegrams is enabled",
        fix="add a section of a field source ('ohmesh gateway detect' writes it), or set"
        " mesh.enabled or bench.enabled to true",
    )


def _clock(now: datetime) -> Check:
    detail, fix = now.isoformat(timespec="seconds"), "let systemd-timesyncd or chrony set the clock"
    if now < _NOT_BEFORE:
        detail = f"{detail} lies in the past: telegrams wait until it is right"
        return Check("clock", ok=False, detail=detail, fix=f"{fix}, or add a clock chip")
    if not _synchronised():
        return Check(
            "clock", ok=True, detail=f"{detail}, but no time service keeps it right", fix=fix
        )
    return Check("clock", ok=True, detail=f"{detail}, kept right by a time service")


def _synchronised() -> bool:
    """Whether a time service steers the clock: the kernel knows, whichever service it is."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only look
    state: int = ctypes.CDLL(None).adjtimex(timex)
    return state != _TIME_ERROR


def _folder(folder: Path) -> Check:
    probe = folder / _PROBE
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        fix = f"make the folder {folder} and let this user write to it"
        return Check("folder", ok=False, detail=f"{folder}: {error.strerror}", fix=fix)
    return Check("folder", ok=True, detail=f"{folder.resolve()} is writable")


def _outbox(settings: GatewaySettings) -> tuple[Check, bool]:
    """The check, and whether a gateway is running on this outbox."""
    path, max_bytes = settings.outbox.path, settings.outbox.max_bytes
    exists = path.exists()
    probe = path if exists else path.with_name(path.name + _PROBE)
    try:
        with contextlib.closing(inspect_outbox(probe, max_bytes=max_bytes)) as file:
            detail = f"sound, {file.state.backlog} telegrams wait" if exists else "can be made"
        return Check("outbox", ok=True, detail=f"{path.absolute()}: {detail}"), False
    except BusyError:
        detail = f"{path.absolute()} is open in the running gateway"
        return Check("outbox", ok=True, detail=detail), True
    except DamagedError as error:
        fix = "start the gateway: it rescues what is readable; then check the card"
        return Check("outbox", ok=False, detail=str(error), fix=fix), False
    except OhmeshError as error:
        return Check("outbox", ok=False, detail=str(error), fix="see the message"), False
    finally:
        if not exists:
            probe.unlink(missing_ok=True)


def _space(settings: GatewaySettings) -> Check:
    path = settings.outbox.path
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        return Check("disk", ok=False, detail=str(error), fix=f"make the folder {path.parent}")
    used = path.stat().st_size if path.exists() else 0
    missing = settings.outbox.max_bytes - used - free
    if missing <= 0:
        return Check("disk", ok=True, detail=f"{free // 2**20} MiB free")
    return Check(
        "disk",
        ok=False,
        detail=f"{free // 2**20} MiB free, {missing // 2**20} MiB too few for outbox.max_bytes",
        fix="free some space or lower outbox.max_bytes",
    )


async def _broker(name: str, broker: BrokerUrl, settings: GatewaySettings) -> Check:
    address = broker.address
    wrong = await reachable(
        broker,
        f"ohmesh-doctor-{settings.gateway}",
        timeout_s=_BROKER_TIMEOUT_S,
        context=Identity(settings.broker.identity).context,
    )
    if wrong is None:
        return Check(name, ok=True, detail=f"{address} answers")
    setting = "broker.url" if name == "broker" else "mesh.air_url"
    fix = f"start the broker, or correct {setting}, user or password"
    return Check(name, ok=False, detail=f"{address}: {wrong}", fix=fix)


def _port_free(name: str, host: str, port: int, *, running: bool) -> Check:
    if running:
        return Check(name, ok=True, detail="a matter of the running gateway")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except socket.gaierror as error:
        detail, fix = f"{host}: {error.strerror}", f"correct {name}.host"
        return Check(name, ok=False, detail=detail, fix=fix)
    except OSError as error:
        fix = f"stop the program that has the port, or choose another {name}.port"
        return Check(name, ok=False, detail=f"{host}:{port}: {error.strerror}", fix=fix)
    return Check(name, ok=True, detail=f"{host}:{port} is free")
