"""`ohmesh sim replay`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from meter_sim.capture.cli import Told
from meter_sim.capture.reader import CaptureReader
from meter_sim.capture.taps import now_us
from meter_sim.capture.writer import CaptureWriter, check_apart
from meter_sim.replay.bench_target import BenchTarget
from meter_sim.replay.broker_target import BrokerTarget
from meter_sim.replay.link import LinkError
from meter_sim.replay.player import Plan, Player, in_real_time
from meter_sim.replay.serial_target import SerialTarget
from meter_sim.replay.target import TargetGoneError
from ohmesh.model.errors import ConfigError
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meter_sim.capture.cli import Add
    from meter_sim.capture.record import Header, Record
    from meter_sim.replay.player import Played
    from meter_sim.replay.target import Target

_EXAMPLE = """\
examples:
  ohmesh sim replay day.ohmcap --to mqtt://127.0.0.1:1883 --speed 100
  ohmesh sim replay day.ohmcap --to bench://127.0.0.1:7001 --speed max
  ohmesh sim replay p1.ohmcap --to pty
A target that goes away is waited for; what it has not acknowledged is sent again. What could not
be delivered is counted, and --undelivered keeps it as a capture of its own.
"""


def add_commands(add: Add) -> None:
    """Add the sub-command."""
    parser = add("replay", "play a capture to a broker, a gateway or a serial line", _EXAMPLE, _run)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--to",
        required=True,
        metavar="TARGET",
        help="mqtt://host:port, bench://host:port, pty, or a serial device",
    )
    parser.add_argument("--speed", type=_speed, default=1.0, help="1, 100 ... or max; default 1")
    parser.add_argument("--loops", type=_count, default=1, metavar="N", help="passes, default 1")
    parser.add_argument(
        "--fan-out", type=_count, default=1, metavar="N", help="play every meter as N; default 1"
    )
    parser.add_argument(
        "--timestamps",
        choices=["keep", "shift"],
        default="keep",
        help="shift moves receive times: the last is now, or at speed 1 the first; default keep",
    )
    parser.add_argument("--qos", type=int, choices=[0, 1], help="default: as captured")
    parser.add_argument("--patience", type=float, default=30, metavar="S", help="default 30")
    parser.add_argument(
        "--realtime", action="store_true", help="even pace on a busy machine; takes root"
    )
    parser.add_argument("--undelivered", type=Path, metavar="OUT", help="keep what did not arrive")
    parser.add_argument("--json", action="store_true", help="print the last line only")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no speed: a number above 0, or max")
    return speed


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    if options.undelivered:
        check_apart(options.undelivered, options.file)
    if options.realtime:
        in_real_time()
    with CaptureReader(options.file) as reader:
        plan = Plan(options.speed, options.loops, options.fan_out, _shift_ms(options, reader))
        with closing(_target(options)) as target:
            if isinstance(target, SerialTarget) and not options.json:
                print(f"let your program open {target.path}", flush=True)
            played = Player(target, plan, Told()).play(reader.records)
        header = reader.header
    return _tell(options, target, played, header)


def _shift_ms(options: argparse.Namespace, reader: CaptureReader) -> int:
    if options.timestamps == "keep":
        return 0
    times = [record.at_us for record in reader.records()]
    anchor_us = (times[0] if options.speed == 1 else max(times)) if times else 0
    return (now_us() - anchor_us) // 1000


def _target(options: argparse.Namespace) -> Target:
    scheme, separator, rest = options.to.partition("://")
    try:
        if scheme == "mqtt" and separator:
            url = BrokerUrl.parse(options.to)
            return BrokerTarget(url, qos=options.qos, patience_s=options.patience)
        if scheme == "bench" and separator:
            host, _, port = rest.rpartition(":")
            if not host or not port.isdecimal():
                raise ConfigError("a bench port's address is bench://host:port")
            return BenchTarget(host, int(port), patience_s=options.patience)
        if separator:
            raise ConfigError(f"no target {scheme}://; mqtt://, bench://, pty or a device")
        return SerialTarget(None if options.to == "pty" else Path(options.to))
    except (LinkError, TargetGoneError) as error:
        raise ConfigError(f"{error}; nothing was sent") from None


def _tell(options: argparse.Namespace, target: Target, played: Played, header: Header) -> int:
    account = target.account
    missing = account.undelivered
    for reason in account.reasons:
        print(f"ohmesh sim replay: refused: {reason}", file=sys.stderr)
    if options.undelivered and missing:
        with CaptureWriter(options.undelivered, header) as writer:
            writer.extend(missing)
    if played.gone:
        print(f"ohmesh sim replay: {played.gone}; {_which(missing)}", file=sys.stderr)
    if account.skipped:
        print(
            f"ohmesh sim replay: {account.skipped} records are not for {options.to}: a broker "
            "takes MQTT records, a bench port telegrams, a serial line bytes",
            file=sys.stderr,
        )
    per_s = account.telegrams / played.seconds if played.seconds else 0.0
    facts = {
        "records": account.sent,
        "delivered": account.delivered,
        "telegrams": account.telegrams,
        "resent": account.resent,
        "refused": account.refused,
        "skipped": account.skipped,
        "undelivered": len(missing),
        "seconds": round(played.seconds, 3),
        "telegrams_per_s": round(per_s),
        "jitter_p99_ms": played.jitter_p99_ms,
    }
    print(json.dumps(facts))
    in_vain = account.skipped and not account.sent
    return 1 if missing or account.refused or in_vain else 0


def _which(missing: Sequence[Record]) -> str:
    if not missing:
        return "everything before was delivered"
    first = missing[0]
    return f"{len(missing)} records were not delivered, from {first.channel} at {first.at_us} us on"
