"""`ohmesh sim record|show|filter|cut|merge|anonymise|import|export`."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
from contextlib import ExitStack, closing
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meter_sim.capture import tools
from meter_sim.capture.format import CaptureError
from meter_sim.capture.reader import CaptureReader
from meter_sim.capture.record import Clock, Header, Record
from meter_sim.capture.summary import Summary, line_of
from meter_sim.capture.writer import CaptureWriter, check_apart
from ohmesh.model.errors import ConfigError
from ohmesh.model.reading import utc
from ohmesh.wire import topics
from ohmesh.wire.brokerurl import BrokerUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meter_sim.capture.reader import Damage
    from meter_sim.capture.taps import Tap

_RECORD_EXAMPLE = """\
examples:
  ohmesh sim record day.ohmcap --broker mqtt://127.0.0.1:1883
  ohmesh sim record day.ohmcap --serial /dev/ttyUSB0 --seconds 60
  ohmesh sim record day.ohmcap --bench 127.0.0.1:7001 --listen 7002
Topics default to what gateways and meters send up. The file can be read while it grows.
"""
_SHOW_EXAMPLE = """\
examples:
  ohmesh sim show day.ohmcap
  ohmesh sim show day.ohmcap --records 20
  ohmesh sim show damaged.ohmcap --salvage whole.ohmcap
"""
_FILTER_EXAMPLE = "example: ohmesh sim filter day.ohmcap gw1.ohmcap --topic 'ohmesh/v1/gw/gw1/#'"
_CUT_EXAMPLE = (
    "example: ohmesh sim cut day.ohmcap hour.ohmcap"
    " --from 2026-01-01T00:00:00Z --to 2026-01-01T01:00:00Z"
)
_MERGE_EXAMPLE = "example: ohmesh sim merge both.ohmcap monday.ohmcap tuesday.ohmcap"
_ANONYMISE_EXAMPLE = """\
example: ohmesh sim anonymise day.ohmcap public.ohmcap --key-file pseudonyms.key
The key file is made when it is not there; whoever has it can tell which pseudonym a name has.
"""
_IMPORT_EXAMPLE = """\
examples:
  mosquitto_sub -t '#' -F '%U %t %x' > day.txt
  ohmesh sim import mosquitto_sub day.txt day.ohmcap --format '%U %t %x'
  ohmesh sim import mqtt-recorder day.csv day.ohmcap --base64
  ohmesh sim import telegrams samples.jsonl day.ohmcap --every 60
  ohmesh sim import profile home.csv day.ohmcap --column consumption_kw --meter M1 --profile nl_dsmr
"""
_EXPORT_EXAMPLE = "example: ohmesh sim export day.ohmcap day.mcap"
_UPLINKS = [topics.ALL_UPLINKS, topics.ALL_DIRECT]


class Add(Protocol):
    """How `ohmesh sim` takes a sub-command."""

    def __call__(
        self, name: str, what: str, example: str, run: Callable[[argparse.Namespace], int | None]
    ) -> argparse.ArgumentParser:
        """Args: name: its word. what: help. example: its epilogue. run: what it does."""
        ...


def add_commands(add: Add) -> None:
    """Add the sub-commands."""
    _add_record(add)
    show = add("show", "say what is in a capture", _SHOW_EXAMPLE, _show)
    show.add_argument("file", type=Path, metavar="FILE")
    show.add_argument("--records", type=int, default=0, metavar="N", help="print the first N")
    show.add_argument("--salvage", type=Path, metavar="OUT", help="write what can be read")
    show.add_argument("--json", action="store_true", help="print the last line only")
    chosen = add("filter", "keep some records of a capture", _FILTER_EXAMPLE, _filter)
    _two_files(chosen)
    chosen.add_argument("--topic", action="append", default=[], metavar="FILTER", help="MQTT")
    chosen.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=["mqtt", "serial", "bench"],
        help="of channel",
    )
    chosen.add_argument("--meter", action="append", default=[], metavar="PATTERN", help="M00*")
    cut = add("cut", "keep a stretch of time of a capture", _CUT_EXAMPLE, _cut)
    _two_files(cut)
    cut.add_argument("--from", dest="begin", type=_moment, metavar="TIME", help="first moment kept")
    cut.add_argument("--to", dest="end", type=_moment, metavar="TIME", help="first moment left out")
    merge = add("merge", "join captures by time", _MERGE_EXAMPLE, _merge)
    merge.add_argument("out", type=Path, metavar="OUT")
    merge.add_argument("files", type=Path, nargs="+", metavar="FILE")
    hide = add("anonymise", "take the names out of a capture", _ANONYMISE_EXAMPLE, _anonymise)
    _two_files(hide)
    hide.add_argument("--key-file", type=Path, metavar="FILE", help="makes pseudonyms repeatable")
    _add_import(add)
    export = add("export", "write a capture as MCAP", _EXPORT_EXAMPLE, _export)
    _two_files(export)


def _add_record(add: Add) -> None:
    parser = add("record", "record topics, a serial line or a bench port", _RECORD_EXAMPLE, _record)
    parser.add_argument("file", type=Path, metavar="FILE", help="the capture to write")
    parser.add_argument("--broker", type=_broker, metavar="URL", help="mqtt://host:port")
    parser.add_argument("--topic", action="append", metavar="FILTER", help="default: all uplinks")
    parser.add_argument("--qos", type=int, choices=[0, 1], default=0, help="of the tap, default 0")
    parser.add_argument("--serial", type=Path, metavar="DEVICE", help="tap a serial line")
    parser.add_argument("--bench", type=_address, metavar="HOST:PORT", help="tap a bench port")
    parser.add_argument("--listen", type=int, default=0, metavar="PORT", help="of the bench tap")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long")
    parser.add_argument("--count", type=int, metavar="N", help="end after so many records")
    parser.add_argument("--note", default="", help="kept in the header")
    parser.add_argument("--json", action="store_true", help="print the last line only")


def _add_import(add: Add) -> None:
    parser = add("import", "make a capture of other recordings", _IMPORT_EXAMPLE, _import)
    parser.add_argument(
        "format", choices=["mosquitto_sub", "mqtt-recorder", "telegrams", "profile"], metavar="KIND"
    )
    _two_files(parser)
    parser.add_argument("--format", dest="layout", default="%U %t %x", metavar="F", help="of -F")
    parser.add_argument("--base64", action="store_true", help="payloads of mqtt-recorder")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="between telegrams")
    parser.add_argument("--start", type=_moment, default=0, metavar="TIME", help="of the first")
    parser.add_argument("--column", default="consumption_kw", help="of the load profile, in kW")
    parser.add_argument("--meter", default="M1", help="whose load it is")
    parser.add_argument("--profile", default="nl_dsmr", help="what its meter sends")


def _two_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="IN")
    parser.add_argument("out", type=Path, metavar="OUT")


def _moment(text: str) -> int:
    try:
        return round(utc(datetime.fromisoformat(text)).timestamp() * 1_000_000)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; such as 2026-01-01T00:00:00Z") from None


def _broker(text: str) -> BrokerUrl:
    try:
        return BrokerUrl.parse(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, int(port)


def made_by() -> str:
    """The program's name in a header."""
    return f"ohmesh {version('ohmesh')}"


class Told:
    """True once the user has asked to end; SIGINT and SIGTERM ask."""

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def __call__(self) -> bool:
        """True from the first signal on."""
        return self._told

    def _hear(self, *_: object) -> None:
        self._told = True


def _record(options: argparse.Namespace) -> int:
    from meter_sim.capture.recorder import record  # noqa: PLC0415 - start lean

    if not (options.broker or options.serial or options.bench):
        raise ConfigError("nothing to record: give --broker, --serial or --bench")
    header = Header(made_by=made_by(), base_us=_now_us(), note=options.note)
    with ExitStack() as stack:
        taps = [stack.enter_context(closing(tap)) for tap in _taps(options)]
        writer = stack.enter_context(CaptureWriter(options.file, header))
        told = Told()
        found = record(taps, writer, seconds=options.seconds, count=options.count, stop=told)
    lost = found.numbering.missing
    for gateway, count in lost.items():
        print(f"ohmesh sim record: {count} telegrams of {gateway} were not heard", file=sys.stderr)
    if found.gone:
        print(f"ohmesh sim record: ended early: {found.gone}", file=sys.stderr)
    size = options.file.stat().st_size
    facts = {
        "records": found.records,
        "telegrams": found.telegrams,
        "payload_bytes": found.payload_bytes,
        "file_bytes": size,
        "missing": lost,
        "gone": found.gone,
    }
    print(json.dumps(facts))
    return 1 if found.gone or lost else 0


def _now_us() -> int:
    from meter_sim.capture.taps import now_us  # noqa: PLC0415 - start lean

    return now_us()


def _taps(options: argparse.Namespace) -> Iterator[Tap]:
    from meter_sim.capture.taps import BenchTap, MqttTap, SerialTap  # noqa: PLC0415 - start lean

    if options.broker:
        yield MqttTap(options.broker, options.topic or _UPLINKS, options.qos)
    if options.serial:
        serial = SerialTap(options.serial)
        _say(options, f"let your program open {serial.path} instead of {options.serial}")
        yield serial
    if options.bench:
        bench = BenchTap(options.listen, *options.bench)
        _say(options, f"let your bench connect to 127.0.0.1:{bench.port}")
        yield bench


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.json:
        print(text, flush=True)


def _show(options: argparse.Namespace) -> int:
    damages: list[Damage] = []
    if options.salvage:
        check_apart(options.salvage, options.file)
    with CaptureReader(options.file, damaged=bool(options.salvage)) as reader:
        found = Summary()
        records = found.each(reader.salvage(damages))
        if options.salvage:
            with CaptureWriter(options.salvage, reader.header) as writer:
                writer.extend(records)
        # Every record is counted; with --salvage that is done, and none is left to print.
        for number, record in enumerate(records):
            if number < options.records and not options.json:
                print(line_of(record))
        facts = found.facts() | {
            "file_bytes": reader.size_bytes,
            "closed": reader.closed,
            "seed": reader.header.seed,
            "made_by": reader.header.made_by,
            "clock": Clock(reader.header.clock).name.lower(),
            "note": reader.header.note,
            "config_sha256": reader.header.config_sha256,
        }
    if not options.json:
        for line in found.lines(facts):
            print(line)
    for damage in damages:
        print(
            f"ohmesh sim show: {options.file}: bytes {damage.offset} to {damage.end} cannot be"
            f" read: {damage.reason}; --salvage OUT keeps the {facts['records']} records that can",
            file=sys.stderr,
        )
    print(json.dumps(facts | {"damages": len(damages)}))
    return 1 if damages else 0


def _copy(options: argparse.Namespace, take: Callable[[CaptureReader], Iterable[Record]]) -> int:
    """Read one, write another; what is damaged is refused, with the way to what is not."""
    check_apart(options.out, options.file)
    with CaptureReader(options.file) as reader:
        records = take(reader)
        with CaptureWriter(options.out, reader.header) as writer:
            try:
                writer.extend(records)
            except CaptureError as error:
                raise ConfigError(
                    f"{error}; what was before it is in {options.out},"
                    " `ohmesh sim show --salvage` keeps all that can be read"
                ) from None
    print(json.dumps({"records": writer.count}))
    return 0


def _filter(options: argparse.Namespace) -> int:
    choice = tools.Choice(options.topic, options.kind, options.meter)
    return _copy(options, lambda reader: filter(choice.takes, reader.records()))


def _cut(options: argparse.Namespace) -> int:
    begin = -(2**63) if options.begin is None else options.begin
    return _copy(options, lambda reader: reader.seek(begin, options.end))


def _merge(options: argparse.Namespace) -> int:
    check_apart(options.out, *options.files)
    with ExitStack() as stack:
        readers = [stack.enter_context(CaptureReader(path)) for path in options.files]
        header = Header(made_by=made_by(), note="merged", base_us=readers[0].header.base_us)
        with CaptureWriter(options.out, header) as writer:
            writer.extend(tools.merge([reader.records() for reader in readers]))
    print(json.dumps({"records": writer.count}))
    return 0


def _anonymise(options: argparse.Namespace) -> int:
    from meter_sim.capture.anonymise import Pseudonyms, anonymise  # noqa: PLC0415 - start lean

    names = Pseudonyms(_key(options.key_file))
    code = _copy(options, lambda reader: anonymise(reader.records(), names))
    for fate, count in sorted(names.fates.items()):
        print(f"ohmesh sim anonymise: {count} telegrams {fate}", file=sys.stderr)
    return code


def _key(path: Path | None) -> bytes:
    if path is None:
        return secrets.token_bytes(32)
    try:
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the key file {path}: {error}") from error
    if len(key) < 16:
        raise ConfigError(f"the key file {path} holds fewer than 16 bytes in hex")
    return key


def _import(options: argparse.Namespace) -> int:
    check_apart(options.out, options.file)
    header = Header(made_by=made_by(), note=f"imported from {options.file.name}")
    with CaptureWriter(options.out, header) as writer:
        writer.extend(_imported(options))
    print(json.dumps({"records": writer.count}))
    return 0


def _imported(options: argparse.Namespace) -> Iterable[Record]:
    from meter_sim.capture import importers  # noqa: PLC0415 - start lean
    from meter_sim.capture.telegrams import of_curve, of_file  # noqa: PLC0415 - start lean

    if options.format == "telegrams":
        every_us = round(options.every * 1_000_000)
        return of_file(options.file, start_us=options.start, every_us=every_us)
    try:
        lines = options.file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {options.file}: {error}") from error
    if options.format == "profile":
        return of_curve(
            lines, column=options.column, meter=options.meter, profile_name=options.profile
        )
    if options.format == "mqtt-recorder":
        return importers.mqtt_recorder(lines, base64_payload=options.base64)
    return importers.mosquitto_sub(lines, options.layout)


def _export(options: argparse.Namespace) -> int:
    from meter_sim.capture.mcap_file import write_mcap  # noqa: PLC0415 - start lean

    check_apart(options.out, options.file)
    with CaptureReader(options.file) as reader:
        count = write_mcap(options.out, reader.header, reader.records())
    print(json.dumps({"records": count}))
    return 0
