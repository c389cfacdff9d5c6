"""`ohmesh headend mqtt-config|audit|backup ...`: what an operator does beside serving."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headend import config
from headend.config import required
from headend.keystore import Keystore
from headend.mqttconfig.write import Broker, write
from headend.ops import backup, doctor, erase, grafana, rekey
from headend.security import audit
from headend.store import db

if TYPE_CHECKING:
    from collections.abc import Callable

    from ohmesh.usage import Parser

ALL: Final = "0.0.0.0"  # noqa: S104 - with TLS and a certificate asked of everybody


def admin_url(text: str) -> str:
    """A superuser's address. Raises ArgumentTypeError."""
    if urlsplit(text).scheme not in {"postgresql", "postgres"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not postgresql://user@host[:port]/database")
    return text


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the subcommands to `ohmesh headend`."""
    _add_mqtt_config(commands)
    _add_audit(commands)
    _add_grafana(commands)
    _add_erase(commands)
    _add_rekey(commands)
    _add_backup(commands)
    _add_restore(commands)
    command = _command(
        commands,
        "doctor",
        "look at database, broker, keys and certificates; 1 when something needs care",
        run=_doctor,
        example="doctor --config headend.toml",
    )
    command.add_argument("--config", type=Path, help="the TOML file; else the environment")


def _command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    text: str,
    *,
    run: Callable[[argparse.Namespace], int],
    example: str,
) -> Parser:
    found = commands.add_parser(
        name, help=text, description=text, epilog=f"example: ohmesh headend {example}"
    )
    found.set_defaults(run=run)
    return found


def _add_mqtt_config(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        commands,
        "mqtt-config",
        "write Mosquitto's TLS and topic rules, with our own certificate authorities",
        run=_mqtt_config,
        example="mqtt-config --write broker --host mqtt.example",
    )
    command.add_argument("--write", required=True, type=Path, help="the folder")
    command.add_argument(
        "--host",
        required=True,
        action="append",
        type=_host,
        help="how clients reach the broker; repeatable",
    )
    command.add_argument("--listen", default=ALL, help="address for devices")
    command.add_argument("--port", type=int, default=8883, help="for devices")
    command.add_argument("--headend-listen", default="127.0.0.1")
    command.add_argument("--headend-port", type=int, default=8884)
    command.add_argument("--place", default="", help="the folder as the broker will see it")


def _host(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z._:-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no host name or address")
    return text


def _mqtt_config(arguments: argparse.Namespace) -> int:
    broker = Broker(
        hosts=tuple(arguments.host),
        listen=arguments.listen,
        port=arguments.port,
        headend_listen=arguments.headend_listen,
        headend_port=arguments.headend_port,
        place=arguments.place,
    )
    files = write(arguments.write, broker, datetime.now(UTC))
    print(json.dumps({"folder": str(arguments.write), "files": files}))
    return 0


def _add_audit(commands: argparse._SubParsersAction[Parser]) -> None:
    found = commands.add_parser(
        "audit",
        help="check the audit log",
        epilog="example: ohmesh headend audit verify --config headend.toml",
    )
    command = _command(
        found.add_subparsers(required=True, metavar="COMMAND"),
        "verify",
        "check the chain of every tenant's audit log; 1 when one does not hold",
        run=_verify,
        example="audit verify --config headend.toml",
    )
    command.add_argument("--config", type=Path, help="the TOML file; else the environment")
    command.add_argument(
        "--known",
        action="append",
        type=_known,
        default=[],
        metavar="TENANT:SEQ:HASH",
        help="a head that was written down before; repeatable",
    )


def _add_erase(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        commands,
        "erase",
        "forget what a meter has told; its registration and the ledger stay",
        run=_erase,
        example="erase M0001 --config headend.toml --who anna",
    )
    command.add_argument("meter")
    command.add_argument("--config", type=Path, help="the TOML file; else the environment")
    command.add_argument("--who", required=True, help="your name, for the audit log")
    command.add_argument("--force", action="store_true", help="even what billing still needs")


def _add_rekey(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        commands,
        "rekey",
        "seal everything anew with the first key of secrets.kek_file; 1 when one opens with none",
        run=_rekey,
        example="rekey --config headend.toml",
    )
    command.add_argument("--config", type=Path, help="the TOML file; else the environment")


def _rekey(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    keystore = Keystore.from_file(Path(required(settings.secrets.kek_file, "secrets.kek_file")))
    url = required(settings.database.owner_url, "database.owner_url")
    with db.connect(url, name="rekey", autocommit=True) as owner:
        counts = rekey.rekey(owner, keystore)
    print(json.dumps({place: asdict(count) for place, count in counts.items()}))
    return 1 if any(count.unreadable for count in counts.values()) else 0


def _add_backup(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        commands,
        "backup",
        "write the whole database into one file, by pg_dump",
        run=_backup,
        example="backup --admin-url postgresql://postgres@127.0.0.1/ohmesh --write ohmesh.dump",
    )
    command.add_argument(
        "--admin-url", required=True, type=admin_url, help="a superuser's, of our database"
    )
    command.add_argument("--write", required=True, type=Path, help="the file, mode 0600")
    command.add_argument("--tools", type=Path, help="the folder of pg_dump; else the PATH")


def _backup(arguments: argparse.Namespace) -> int:
    octets = backup.back_up(arguments.admin_url, arguments.write, tools=arguments.tools)
    print(json.dumps({"file": str(arguments.write), "bytes": octets}))
    return 0


def _add_restore(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        commands,
        "restore",
        "make a database anew from a back-up; gateways send what came after it again",
        run=_restore,
        example="restore ohmesh.dump --admin-url postgresql://postgres@127.0.0.1/postgres"
        " --config headend.toml",
    )
    command.add_argument("file", type=Path, help="the back-up")
    command.add_argument(
        "--admin-url", required=True, type=admin_url, help="a superuser's, of another database"
    )
    command.add_argument("--config", required=True, type=Path, help="whose passwords roles get")
    command.add_argument("--database", default="ohmesh", help="to make; it must not be there")
    command.add_argument("--tools", type=Path, help="the folder of pg_restore; else the PATH")


def _restore(arguments: argparse.Namespace) -> int:
    held = backup.restore(
        arguments.file,
        arguments.admin_url,
        arguments.database,
        arguments.config,
        tools=arguments.tools,
    )
    print(json.dumps({"database": arguments.database, "holds": held}))
    return 0


def _erase(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    url = required(settings.database.owner_url, "database.owner_url")
    with db.connect(url, name="erase", autocommit=True) as owner:
        counts = erase.erase(owner, arguments.meter, who=arguments.who, force=arguments.force)
    print(json.dumps({"meter": arguments.meter, "erased": counts}))
    return 0


def _add_grafana(commands: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        commands,
        "grafana",
        "make a read-only role for charts, and write Grafana's data source",
        run=_grafana,
        example="grafana --admin-url postgresql://postgres@127.0.0.1/ohmesh --write ohmesh.yaml",
    )
    command.add_argument(
        "--admin-url", required=True, type=admin_url, help="a superuser's, of our database"
    )
    command.add_argument("--write", required=True, type=Path, help="the file, mode 0600")
    command.add_argument("--tenant", default="default", help="whose data it shows")
    command.add_argument("--role", default="ohmesh_ro", help="name of the role")


def _grafana(arguments: argparse.Namespace) -> int:
    password = grafana.make_reader(
        arguments.admin_url, role=arguments.role, tenant=arguments.tenant
    )
    grafana.write_data_source(
        arguments.write, arguments.admin_url, role=arguments.role, password=password
    )
    print(json.dumps({"role": arguments.role, "file": str(arguments.write)}))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    known = dict(arguments.known)
    url = required(settings.database.owner_url, "database.owner_url")
    found, holds = [], True
    with db.connect(url, name="audit", autocommit=True) as owner:
        for head in db.run(owner, audit.heads()):
            verdict = db.run(owner, audit.verify(head, known.get(head.tenant_id)))
            holds = holds and not verdict.fault
            found.append(
                {
                    "tenant": head.tenant_id,
                    "entries": verdict.entries,
                    "fault": verdict.fault or None,
                    "head": f"{head.tenant_id}:{head.seq}:{head.hash.hex()}",
                }
            )
    print(json.dumps({"holds": holds, "tenants": found}))
    return 0 if holds else 1


def _known(text: str) -> tuple[int, tuple[int, bytes]]:
    tenant, _, rest = text.partition(":")
    seq, _, sum_hex = rest.partition(":")
    try:
        return int(tenant), (int(seq), bytes.fromhex(sum_hex))
    except ValueError:
        raise argparse.ArgumentTypeError("write TENANT:SEQ:HASH as printed before") from None


def _doctor(arguments: argparse.Namespace) -> int:
    findings = doctor.examine(config.load(arguments.config))
    for one in findings:
        print(
            f"{'well' if not one.advice else 'CARE'}  {one.what}{one.advice and ': '}{one.advice}"
        )
    return 1 if any(one.advice for one in findings) else 0
