"""`ohmesh headend mqtt-config`: the authorities, certificates and files of a broker.

Safe to repeat: authorities are kept, the rest is made anew. `fleet-ca.key` signs devices: keep the
folder on the head-end, and give the broker what does not end in `-ca.key` or start with `headend`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headend.mqttconfig import rules
from headend.security import ca
from headend.store.bootstrap import write_private

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker listens and what it is called.

    Attributes:
        hosts: names and addresses by which clients reach it.
        listen, port: for devices.
        headend_listen, headend_port: for the head-end.
        place: where the broker finds the folder, if not where it is written.
    """

    hosts: tuple[str, ...]
    listen: str
    port: int
    headend_listen: str
    headend_port: int
    place: str = ""


def authority(folder: Path, name: str, now: datetime) -> ca.Authority:
    """The authority in a folder, made when there is none. Raises ConfigError."""
    key, certificate = folder / f"{name}-ca.key", folder / f"{name}-ca.crt"
    if key.exists():
        return ca.Authority.load(key.read_bytes(), certificate.read_bytes())
    made = ca.Authority.create(f"ohmesh {name}", now)
    write_private(certificate, made.pem.decode(), mode=_PUBLIC)
    write_private(key, ca.key_pem(made.key).decode())
    return made


def write(folder: Path, broker: Broker, now: datetime) -> list[str]:
    """Write everything. Returns: names of the files. Raises ConfigError."""
    fleet, service = (authority(folder, name, now) for name in ("fleet", "service"))
    _certificate(folder, "broker", service, now, hosts=broker.hosts)
    _certificate(folder, "headend", service, now)
    place = broker.place or str(folder.resolve())
    texts = {
        "mosquitto.conf": rules.configuration(
            place,
            listen=broker.listen,
            port=broker.port,
            headend_listen=broker.headend_listen,
            headend_port=broker.headend_port,
        ),
        "devices.acl": rules.DEVICE_RULES,
        "headend.acl": rules.HEADEND_RULES,
        "service.crl": service.crl({}, now).decode(),
    }
    if not (folder / "fleet.crl").exists():
        texts["fleet.crl"] = fleet.crl({}, now).decode()
    for name, text in texts.items():
        write_private(folder / name, text, mode=_PUBLIC)
    return sorted(path.name for path in folder.iterdir())


def _certificate(
    folder: Path, name: str, signer: ca.Authority, now: datetime, hosts: tuple[str, ...] = ()
) -> None:
    key = ca.new_key()
    common = rules.HEADEND if not hosts else name
    use = ca.Use.SERVER if hosts else ca.Use.CLIENT
    made = signer.issue(ca.request(key, common), common, now, use=use, hosts=hosts)
    write_private(folder / f"{name}.key", ca.key_pem(key).decode())
    write_private(folder / f"{name}.crt", ca.pem(made).decode(), mode=_PUBLIC)
