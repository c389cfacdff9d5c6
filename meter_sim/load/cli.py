"""`ohmesh sim load`."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import select
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, track

from firmware_profiles import registry
from meter_sim.capture.cli import Told
from meter_sim.capture.taps import MqttTap
from meter_sim.load.fleet import Burst, LoadPlan, batches
from meter_sim.load.headend import Api
from meter_sim.replay.broker_target import BrokerTarget
from meter_sim.replay.link import LinkError
from meter_sim.replay.player import Plan, Player
from ohmesh.model.errors import ConfigError, ProfileError, WireError
from ohmesh.wire import topics
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import decode_ack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from meter_sim.capture.cli import Add
    from meter_sim.capture.record import Record
    from meter_sim.replay.player import Played

_EXAMPLE = """\
examples:
  ohmesh sim load --meters 3000 --gateways 3 --profile de_sml --broker mqtt://127.0.0.1:1883
  ohmesh sim load --meters 300000 --gateways 300 --profile de_sml --interval 900 --burst aligned \\
      --broker mqtt://broker:1883 --api http://127.0.0.1:8080 --token-file api-token --register
Telegrams are made before the clock starts. With --api the stored intervals are counted before and
after; the exit code is 1 when one is missing. Where the head-end makes no report in time, its
acknowledgements are counted and "stored" is null. --register makes the fleet known first.
"""
_METERS_MAX, _GATEWAYS_MAX, _ROUNDS_MAX = 2_000_000, 100_000, 96
_WINDOWS_MAX = 200
_SETTLE_S = 600.0


def add_commands(add: Add) -> None:
    """Add the sub-command."""
    parser = add("load", "send the telegrams of a large fleet", _EXAMPLE, _run)
    parser.add_argument("--meters", type=_to(_METERS_MAX), required=True, metavar="N")
    parser.add_argument("--gateways", type=_to(_GATEWAYS_MAX), default=1, metavar="N")
    parser.add_argument("--profile", default="de_sml", metavar="NAME", help="default %(default)s")
    parser.add_argument(
        "--interval", type=_to(86_400), default=900, metavar="S", help="default 900"
    )
    parser.add_argument("--burst", choices=[b.value for b in Burst], default=Burst.ALIGNED.value)
    parser.add_argument("--rounds", type=_to(_ROUNDS_MAX), default=1, help="intervals, default 1")
    parser.add_argument("--broker", type=_broker, required=True, metavar="URL")
    parser.add_argument("--speed", type=float, default=1.0, help="of --burst jittered, default 1")
    parser.add_argument("--api", metavar="URL", help="count what is stored")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the API's token")
    parser.add_argument("--register", action="store_true", help="make the fleet known first")
    parser.add_argument(
        "--settle", type=float, default=30, metavar="S", help="count when still for so long"
    )
    parser.add_argument("--json", action="store_true", help="print the last line only")


def _to(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {most}")
        return int(text)

    return read


def _broker(text: str) -> BrokerUrl:
    try:
        return BrokerUrl.parse(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    plan = _plan(options)
    api = _api(options)
    if options.register:
        _register(api, plan, options)
    plan = _unused(plan, api)
    began_s = time.perf_counter()
    messages = list(_shown(batches(plan), options, "making telegrams"))
    prepared_s = time.perf_counter() - began_s
    try:
        facts = _send(plan, messages, api, options)
    except LinkError as error:
        print(f"ohmesh sim load: {error}", file=sys.stderr)
        return 1
    facts["prepared_s"] = round(prepared_s, 2)
    if not options.json:
        for name, value in facts.items():
            print(f"{name:22} {value}")
    print(json.dumps(facts))
    return 0 if facts["undelivered"] == 0 and facts["missing"] in {0, None} else 1


def _plan(options: argparse.Namespace) -> LoadPlan:
    try:
        profile = registry.load(options.profile)
    except ProfileError as error:
        raise ConfigError(str(error)) from None
    if not profile.spec.reported:
        raise ConfigError(f"meters of the profile {options.profile} report nothing by themselves")
    if options.gateways > options.meters:
        raise ConfigError(f"{options.gateways} gateways for {options.meters} meters")
    interval_ms = options.interval * 1000
    newest_ms = time.time_ns() // 1_000_000 // interval_ms * interval_ms
    return LoadPlan(
        meters=options.meters,
        gateways=options.gateways,
        profile=profile,
        interval_s=options.interval,
        burst=Burst(options.burst),
        rounds=options.rounds,
        end_ms=newest_ms - (options.rounds - 1) * interval_ms,
        epoch=secrets.randbits(62),
    )


def _api(options: argparse.Namespace) -> Api | None:
    if not options.api:
        if options.register:
            raise ConfigError("--register needs --api and --token-file")
        return None
    if not options.token_file:
        raise ConfigError("--api needs --token-file")
    try:
        return Api(options.api, options.token_file.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ConfigError(f"the token file {options.token_file}: {error.strerror}") from error


def _register(api: Api | None, plan: LoadPlan, options: argparse.Namespace) -> None:
    assert api is not None
    console = Console(stderr=True)
    disable = options.json or not console.is_terminal
    with Progress(console=console, disable=disable) as progress:
        task = progress.add_task("registering", total=plan.meters)
        asyncio.run(
            api.register(
                meters=plan.meters,
                gateways=plan.gateways,
                profile=plan.profile.spec.name,
                interval_s=plan.interval_s,
                told=lambda done: progress.update(task, completed=done),
            )
        )


def _unused(plan: LoadPlan, api: Api | None) -> LoadPlan:
    """The plan for the newest intervals of which nothing is stored: what comes twice counts once.

    On a head-end that others fill too there may be none; then the newest ones are taken.
    """
    span_ms = plan.rounds * plan.interval_s * 1000
    for steps in range(_WINDOWS_MAX):
        moved = replace(plan, end_ms=plan.end_ms - steps * span_ms)
        if not _stored(moved, api):
            return moved
    return plan


def _shown(records: Iterable[Record], options: argparse.Namespace, title: str) -> Iterable[Record]:
    console = Console(stderr=True)
    return track(records, title, console=console, disable=options.json or not console.is_terminal)


def _send(
    plan: LoadPlan, messages: Sequence[Record], api: Api | None, options: argparse.Namespace
) -> dict[str, object]:
    before = _stored(plan, api)
    aligned = plan.burst is Burst.ALIGNED
    with ExitStack() as stack:
        acks = stack.enter_context(closing(_Acks(options.broker, plan))) if api else None
        target = BrokerTarget(options.broker, qos=1, patience_s=60)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        with closing(target):
            player = Player(target, Plan(speed=None if aligned else options.speed), Told())
            played = player.play(lambda: messages)
        cpu_s = time.process_time() - cpu_s
        if acks is not None:
            acks.wait(options.settle)
        stored_s = time.perf_counter() - began_s
    after = _settled(plan, api, before, still_s=options.settle)
    acknowledged = None if acks is None else acks.total
    stored = None if after is None or before is None else after - before
    counted = acknowledged if stored is None else stored
    return _facts(plan, target, played, cpu_s=cpu_s, stored_s=stored_s) | {
        "acknowledged": acknowledged,
        "stored": stored,
        "missing": None if counted is None else plan.telegrams - counted,
    }


def _facts(
    plan: LoadPlan, target: BrokerTarget, played: Played, *, cpu_s: float, stored_s: float
) -> dict[str, object]:
    return {
        "meters": plan.meters,
        "gateways": plan.gateways,
        "burst": plan.burst.value,
        "telegrams": plan.telegrams,
        "delivered": target.account.telegrams,
        "undelivered": len(target.account.undelivered),
        "to_broker_s": round(played.seconds, 3),
        "to_store_s": round(stored_s, 3),
        "telegrams_per_s": round(target.account.telegrams / stored_s) if stored_s else 0,
        "generator_cpu_s": round(cpu_s, 3),
        "generator_percent": round(100 * cpu_s / stored_s, 2) if stored_s else 0.0,
    }


class _Acks:
    """The head-end's own word: how far it has committed each gateway's telegrams."""

    def __init__(self, url: BrokerUrl, plan: LoadPlan) -> None:
        self._tap = MqttTap(url, ["ohmesh/v1/gw/+/ack"], 0)
        self._plan = plan
        self._through: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Telegrams of this run that are committed."""
        return sum(self._through.values())

    def wait(self, still_s: float) -> None:
        """Until all are, or nothing has come for so long."""
        deadline = time.monotonic() + still_s
        while self.total < self._plan.telegrams and time.monotonic() < deadline:
            if not select.select(self._tap.descriptors(), [], [], 0.5)[0]:
                continue
            for record in self._tap.read():
                if self._take(record):
                    deadline = time.monotonic() + still_s

    def close(self) -> None:
        """Leave the broker."""
        self._tap.close()

    def _take(self, record: Record) -> bool:
        try:
            ack = decode_ack(record.payload)
            gateway = topics.gateway_of(record.place)
        except WireError:
            return False
        if ack.epoch != self._plan.epoch:
            return False
        self._through[gateway] = max(ack.through, self._through.get(gateway, 0))
        return True


def _stored(plan: LoadPlan, api: Api | None) -> int | None:
    if api is None:
        return None
    first = datetime.fromtimestamp(plan.end_ms // 1000, UTC) - timedelta(seconds=plan.interval_s)
    last = first + timedelta(seconds=plan.interval_s * plan.rounds)
    return asyncio.run(api.stored(plan.profile.spec.reported[0], first, last))


def _settled(plan: LoadPlan, api: Api | None, before: int | None, *, still_s: float) -> int | None:
    """The count at the end: when it is whole, or no longer grows."""
    if api is None or before is None:
        return None
    deadline = time.monotonic() + _SETTLE_S
    last, since_s = -1, time.monotonic()
    while True:
        now = _stored(plan, api) or 0
        if now - before >= plan.telegrams or time.monotonic() > deadline:
            return now
        if now != last:
            last, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > still_s:
            return now
        time.sleep(1)
