"""`ohmesh bench replay`: the test bench's own speed, against a real broker on this machine."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from firmware_profiles import registry
from meter_sim.capture.reader import CaptureReader
from meter_sim.capture.record import Header
from meter_sim.capture.writer import CaptureWriter
from meter_sim.replay.bench import load
from meter_sim.replay.broker_target import BrokerTarget
from meter_sim.replay.player import Plan, Player, in_real_time
from meter_sim.replay.schedule import percentile
from meter_sim.servers import mosquitto
from meter_sim.servers.broker import Broker
from ohmesh.usage import Parser
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    import argparse

    from meter_sim.capture.record import Record

_EXAMPLE = """\
example: ohmesh bench replay --json
Targets: replay 20 000 telegrams/s from one core, record 25 000/s without loss, jitter below 5 ms
at the captured pace, a capture at most 20 % over its payload.
"""
_JITTER_PER_S = 200
_WARM_S = 1.5


def _options(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="ohmesh bench replay",
        description=__doc__,
        epilog=_EXAMPLE,
    )
    parser.add_argument("--broker", metavar="URL", help="default: a Mosquitto of its own")
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages")
    parser.add_argument("--realtime", action="store_true", help="jitter at real-time priority")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Measure; `pass` says whether every target was met."""
    options = _options(argv)
    size = 200 if options.quick else 2000
    telegrams = list(load.sealed_telegrams(registry.load("de_sml"), size, 50))
    singles = list(load.single_records(telegrams))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ohmesh-bench-")))
        url = options.broker or _broker(stack, folder)
        gc.freeze()  # our own heap of records is no part of what is measured
        figures = _file(folder, singles, list(load.batch_records(telegrams)))
        figures |= _replay(url, singles)
        figures |= _record(url, folder, singles)
        if options.realtime:
            in_real_time()
        figures |= _jitter(url, folder, singles[: 200 if options.quick else 2000])
    facts: dict[str, object] = {**figures}
    facts["broker"] = "given" if options.broker else _kind()
    facts["pass"] = (
        figures["telegrams_per_s"] >= 20_000
        and figures["record_lost"] == 0
        and figures["record_per_s"] >= 25_000
        and figures["jitter_p99_ms"] < 5
        and figures["overhead_percent"] <= 20
    )
    if not options.json:
        for name, value in facts.items():
            print(f"{name:28} {value}")
    print(json.dumps(facts))
    return 0


def _kind() -> str:
    return "mosquitto" if mosquitto.installed() else "embedded"


def _broker(stack: ExitStack, folder: Path) -> str:
    if mosquitto.installed():
        return stack.enter_context(mosquitto.Mosquitto(folder)).url
    return stack.enter_context(Broker(folder)).url


def _file(folder: Path, singles: list[Record], batches: list[Record]) -> dict[str, float]:
    """The file alone: speed, and size over the payload."""
    path = folder / "fleet.ohmcap"
    began_s = time.perf_counter()
    with CaptureWriter(path, Header()) as writer:
        writer.extend(singles)
    written_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    with CaptureReader(path) as reader:
        count = sum(1 for _ in reader.records())
    read_s = time.perf_counter() - began_s
    return {
        "write_per_s": round(count / written_s),
        "read_per_s": round(count / read_s),
        "overhead_percent": _overhead(path, singles),
        "overhead_batches_percent": _overhead(_written(folder / "batches", batches), batches),
    }


def _written(path: Path, records: list[Record]) -> Path:
    with CaptureWriter(path, Header()) as writer:
        writer.extend(records)
    return path


def _overhead(path: Path, records: list[Record]) -> float:
    """Size of the file over that of its payloads, compressed alike and alone."""
    payload = zstandard.ZstdCompressor(level=3).compress(b"".join(r.payload for r in records))
    return round(100 * (path.stat().st_size / len(payload) - 1), 2)


def _replay(url: str, records: list[Record]) -> dict[str, float]:
    """As fast as it goes, every message acknowledged; cost in this process."""
    target = BrokerTarget(BrokerUrl.parse(url), qos=1, patience_s=5)
    cpu_s = time.process_time()
    with closing(target):
        played = Player(target, Plan(speed=None)).play(lambda: records)
    cpu_s = time.process_time() - cpu_s
    return {
        "messages": target.account.delivered,
        "telegrams_per_s": round(target.account.telegrams / played.seconds),
        "cpu_us_per_message": round(1e6 * cpu_s / max(1, target.account.delivered), 2),
    }


def _recorder(url: str, path: Path, count: int) -> subprocess.Popen[bytes]:
    words = ["sim", "record", str(path), "--broker", url, "--topic", "ohmesh/v1/meter/+/up"]
    limits = ["--count", str(count), "--seconds", "170", "--json"]
    argv = [sys.executable, "-m", "ohmesh", *words, *limits]
    recorder = subprocess.Popen(argv, stdout=subprocess.DEVNULL)  # noqa: S603 - our own program
    time.sleep(_WARM_S)  # it subscribes; what is sent before is not its loss
    return recorder


def _record(url: str, folder: Path, records: list[Record]) -> dict[str, float]:
    """A recorder in a process of its own, while we send at QoS 0 as fast as the broker takes."""
    path = folder / "recorded.ohmcap"
    with _recorder(url, path, len(records)) as recorder:
        target = BrokerTarget(BrokerUrl.parse(url), qos=0, patience_s=5)
        with closing(target):
            Player(target, Plan(speed=None)).play(lambda: records)
        recorder.wait()
    with CaptureReader(path) as reader:
        times = [record.at_us for record in reader.records()]
    seconds = (times[-1] - times[0]) / 1e6 if len(times) > 1 else 0.0
    return {
        "record_per_s": round(len(times) / seconds) if seconds else 0,
        "record_lost": len(records) - len(times),
    }


def _jitter(url: str, folder: Path, records: list[Record]) -> dict[str, float]:
    """At the captured pace: planned against real distances, at our end and at a subscriber's."""
    paced = list(load.random_pace(records, _JITTER_PER_S, seed=1))
    path = folder / "paced.ohmcap"
    with _recorder(url, path, len(paced)) as recorder:
        target = BrokerTarget(BrokerUrl.parse(url), qos=0, patience_s=5)
        with closing(target):
            played = Player(target, Plan(speed=1)).play(lambda: paced)
        recorder.wait()
    with CaptureReader(path) as reader:
        heard = [record.at_us for record in reader.records()]
    planned = [record.at_us for record in paced]
    gaps = [abs((b - a) - (d - c)) for a, b, c, d in _pairs(heard, planned)]
    return {
        "jitter_p99_ms": played.jitter_p99_ms,
        "jitter_p50_ms": round(percentile(played.jitters_s, 50) * 1000, 3),
        "jitter_heard_p99_ms": round(percentile([gap / 1000 for gap in gaps], 99), 3),
    }


def _pairs(heard: list[int], planned: list[int]) -> list[tuple[int, int, int, int]]:
    return list(zip(heard, heard[1:], planned, planned[1:], strict=False))
