"""`ohmesh sim p1|sml|readout|optical|modbus|mbus|dlms`: simulated meters on ports and lines."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meter_sim.field.server import Responder

KINDS = {
    "p1": ("a meter with a customer port P1", "nl_dsmr"),
    "sml": ("a meter that pushes SML", "de_sml"),
    "readout": ("a meter that pushes readouts (IEC 62056-21, mode D)", "de_sml"),
    "optical": ("a meter that is asked for a readout (IEC 62056-21, mode C)", "de_sml"),
    "modbus": ("Modbus meters on one line", ""),
    "mbus": ("M-Bus meters on one line", "eu_mbus"),
    "dlms": ("a DLMS meter that is asked", "kr_dlms"),
}
EXAMPLES = """\
examples:
  ohmesh sim {kind} --pty /tmp/line {whom}
  ohmesh sim {kind} --tcp 2001 {whom}
It serves until it is ended, on a pseudo-terminal that the path names or on a TCP port of loopback.
"""
_ON_ONE_LINE = {"modbus", "mbus"}
_METERS_MAX = 247


def add_field(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands. Args: add: takes name, what it is, examples and what to run."""
    for kind, (what, profile) in KINDS.items():
        whom = "--meters 40" if kind in _ON_ONE_LINE else "--meter house-7"
        parser = add(kind, what, EXAMPLES.format(kind=kind, whom=whom), _run)
        parser.set_defaults(kind=kind)
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--pty", type=Path, metavar="PATH", help="name of the serial port")
        where.add_argument("--tcp", type=_port, metavar="PORT", help="port on 127.0.0.1")
        parser.add_argument("--seed", type=int, default=1, help="of the households, default 1")
        if kind in _ON_ONE_LINE:
            parser.add_argument(
                "--meters", type=_count, default=1, metavar="N", help="units 1 to N, default 1"
            )
        else:
            parser.add_argument("--meter", default="M0001", help="its own name, default M0001")
        if kind == "modbus":
            parser.add_argument("--map", default="eastron_sdm", help="default %(default)s")
            parser.add_argument(
                "--rtu",
                action="store_true",
                help="RTU frames on the TCP port, as a converter gives",
            )
        else:
            parser.add_argument("--profile", default=profile, help="default %(default)s")
        if kind in {"p1", "sml", "readout"}:
            parser.add_argument(
                "--period", type=float, default=1.0, metavar="S", help="default %(default)s"
            )
        if kind == "dlms":
            parser.add_argument("--password", default="12345678", help="default %(default)s")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _METERS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {_METERS_MAX} meters")
    return int(text)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000


def _run(options: argparse.Namespace) -> int:
    new = responders(options)
    new()  # a wrong name is told before anything is served
    try:
        asyncio.run(_serve(options, new))
    except OSError as error:
        place = options.pty or f"127.0.0.1:{options.tcp}"
        print(
            f"ohmesh sim: {place}: {os.strerror(error.errno or 0)}; choose another", file=sys.stderr
        )
        return 1
    return 0


async def _serve(options: argparse.Namespace, new: Callable[[], Responder]) -> None:
    from meter_sim.field.server import serve_pty, serve_tcp  # noqa: PLC0415 - start lean

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.pty:
        async with serve_pty(new(), options.pty):
            print(f"serving on {options.pty}", flush=True)
            await stop.wait()
    else:
        async with serve_tcp(new, options.tcp):
            print(f"serving on tcp://127.0.0.1:{options.tcp}", flush=True)
            await stop.wait()


def responders(options: argparse.Namespace) -> Callable[[], Responder]:
    """Makes the meters of a command line. Raises ConfigError, ProfileError."""
    makers = {"modbus": _modbus, "mbus": _mbus, "dlms": _dlms, "optical": _optical}
    return makers.get(options.kind, _push)(options)


def _modbus(options: argparse.Namespace) -> Callable[[], Responder]:
    from meter_sim.field.modbus import ModbusResponder, map_names  # noqa: PLC0415 - start lean

    if options.map not in map_names():
        raise ConfigError(f"no register map {options.map!r}; there are {', '.join(map_names())}")
    maps = dict.fromkeys(range(1, options.meters + 1), options.map)
    tcp = options.tcp is not None and not options.rtu
    return lambda: ModbusResponder(maps, clock_ms=_utc_ms, seed=options.seed, tcp=tcp)


def _mbus(options: argparse.Namespace) -> Callable[[], Responder]:
    from firmware_profiles import registry  # noqa: PLC0415 - start lean
    from meter_sim.field.mbus import MbusResponder  # noqa: PLC0415 - start lean

    profile = registry.load(options.profile)
    meters = {number: f"{number:08d}" for number in range(1, options.meters + 1)}
    return lambda: MbusResponder(profile, meters, clock_ms=_utc_ms, seed=options.seed)


def _dlms(options: argparse.Namespace) -> Callable[[], Responder]:
    from firmware_profiles import registry  # noqa: PLC0415 - start lean
    from meter_sim.field.dlms import DlmsResponder  # noqa: PLC0415 - start lean

    profile = registry.load(options.profile)
    return lambda: DlmsResponder(
        profile,
        options.meter,
        clock_ms=_utc_ms,
        seed=options.seed,
        password=options.password,
        hdlc=options.pty is not None,
    )


def _optical(options: argparse.Namespace) -> Callable[[], Responder]:
    from firmware_profiles import registry  # noqa: PLC0415 - start lean
    from meter_sim.field.optical import OpticalResponder  # noqa: PLC0415 - start lean
    from meter_sim.field.push import readout_telegram  # noqa: PLC0415 - start lean

    telegram = readout_telegram(
        registry.load(options.profile), options.meter, _utc_ms, seed=options.seed, checked=True
    )
    return lambda: OpticalResponder(telegram)


def _push(options: argparse.Namespace) -> Callable[[], Responder]:
    from firmware_profiles import registry  # noqa: PLC0415 - start lean
    from meter_sim.field.push import (  # noqa: PLC0415 - start lean
        PushingMeter,
        profile_telegram,
        readout_telegram,
    )

    make = readout_telegram if options.kind == "readout" else profile_telegram
    telegram = make(registry.load(options.profile), options.meter, _utc_ms, seed=options.seed)
    return lambda: PushingMeter(telegram, options.period)
