"""The gateway's configuration; `ohmesh.program.settings` says where it is read from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field

from ohmesh.model.errors import ConfigError
from ohmesh.program import settings
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import MAX_TELEGRAMS

PROGRAM: Final = "gateway"
_MIB: Final = 1024 * 1024
_Port = Annotated[int, Field(ge=1, le=65535)]
_Url = Annotated[str, Field(repr=False)]
"""It may hold a password: never shown."""


class BrokerSettings(BaseModel):
    """The way to the head-end."""

    model_config = settings.FROZEN
    url: _Url = "mqtt://127.0.0.1:1883"
    reconnect_cap_s: Annotated[float, Field(gt=0, le=3600)] = 300.0


class OutboxFileSettings(BaseModel):
    """Where telegrams wait for the head-end."""

    model_config = settings.FROZEN
    path: Path = Path("outbox.db")
    max_bytes: Annotated[int, Field(ge=_MIB // 8, le=2**40)] = 512 * _MIB
    keep_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 72


class MeshRootSettings(BaseModel):
    """This gateway as a root of the mesh."""

    model_config = settings.FROZEN
    enabled: bool = False
    node: Annotated[int, Field(ge=1, le=2**32 - 2)] = 1
    net: Annotated[int, Field(ge=0, le=2**16 - 1)] = 1
    air_url: _Url = ""
    timer_divisor: Annotated[int, Field(ge=1, le=20)] = 1


class BenchSettings(BaseModel):
    """The port for test benches."""

    model_config = settings.FROZEN
    enabled: bool = False
    host: str = "127.0.0.1"
    port: _Port = 8701


class UplinkSettings(BaseModel):
    """How telegrams are gathered for the head-end."""

    model_config = settings.FROZEN
    batch_telegrams: Annotated[int, Field(ge=1, le=MAX_TELEGRAMS)] = 500
    batch_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 100


class LogSettings(BaseModel):
    """What is written to stderr."""

    model_config = settings.FROZEN
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


class GatewaySettings(settings.ProgramSettings):
    """All of it."""

    model_config = settings.configuration(PROGRAM)
    gateway: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "gw1"
    broker: BrokerSettings = BrokerSettings()
    outbox: OutboxFileSettings = OutboxFileSettings()
    mesh: MeshRootSettings = MeshRootSettings()
    bench: BenchSettings = BenchSettings()
    uplink: UplinkSettings = UplinkSettings()
    log: LogSettings = LogSettings()

    @property
    def broker_url(self) -> BrokerUrl:
        """The broker of the head-end. Raises ConfigError."""
        return BrokerUrl.parse(self.broker.url)

    @property
    def air_url(self) -> BrokerUrl:
        """The broker of the air; the head-end's if none is set. Raises ConfigError."""
        return BrokerUrl.parse(self.mesh.air_url or self.broker.url)


def load(path: Path | None) -> GatewaySettings:
    """Read the settings. Raises ConfigError with the setting's name and what is wrong."""
    found = settings.load(GatewaySettings, PROGRAM, path)
    _check_addresses(found)
    return found


def _check_addresses(found: GatewaySettings) -> None:
    for name, url in (("broker.url", found.broker.url), ("mesh.air_url", found.mesh.air_url)):
        try:
            if url:
                BrokerUrl.parse(url)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None


DEFAULT: Final = """\
# ohmesh gateway. Every setting may also stand in the environment, such as
# OHMESH_GATEWAY__BROKER__URL=mqtt://broker:1883, which goes before this file.

gateway = "gw1"                 # this gateway's name: A-Z a-z 0-9 _ -, unique in the fleet

[broker]
url = "mqtt://127.0.0.1:1883"   # mqtt://[user:password@]host:port; a password is better kept in
                                # the secrets directory, as the file ohmesh_gateway__broker__url
reconnect_cap_s = 300.0         # longest pause between two attempts to connect

[outbox]
path = "outbox.db"              # telegrams wait here for the head-end; the folder must exist
max_bytes = 536870912           # at this size new telegrams stay with their meters
keep_hours = 72                 # how long acknowledged telegrams are kept

[mesh]
enabled = false                 # true: this gateway is a root of the mesh
node = 1                        # its number in the mesh
net = 1                         # network id
air_url = ""                    # broker of the air; empty: the broker above
timer_divisor = 1               # 1..20: protocol timers run that much faster, for demos

[bench]
enabled = false                 # true: whoever reaches this port can put in telegrams
host = "127.0.0.1"
port = 8701

[uplink]
batch_telegrams = 500           # telegrams in one message, at most
batch_wait_ms = 100             # least time between two incomplete messages

[log]
level = "info"                  # debug, info, warning or error
"""
