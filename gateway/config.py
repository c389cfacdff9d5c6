"""The gateway's configuration: TOML file < environment < secrets directory, read once.

A setting `[broker] url` is `OHMESH_GATEWAY__BROKER__URL` in the environment and a file of the name
`ohmesh_gateway__broker__url` in the secrets directory (`OHMESH_GATEWAY_SECRETS`, or the folder of
systemd's credentials).
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ohmesh.model.errors import ConfigError
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import MAX_TELEGRAMS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX: Final = "OHMESH_GATEWAY__"
SECRETS: Final = "OHMESH_GATEWAY_SECRETS"
_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
_MIB: Final = 1024 * 1024
_FROZEN: Final = ConfigDict(frozen=True, extra="forbid")
_Port = Annotated[int, Field(ge=1, le=65535)]
_Url = Annotated[str, Field(repr=False)]
"""It may hold a password: never shown."""


class BrokerSettings(BaseModel):
    """The way to the head-end."""

    model_config = _FROZEN
    url: _Url = "mqtt://127.0.0.1:1883"
    reconnect_cap_s: Annotated[float, Field(gt=0, le=3600)] = 300.0


class OutboxFileSettings(BaseModel):
    """Where telegrams wait for the head-end."""

    model_config = _FROZEN
    path: Path = Path("outbox.db")
    max_bytes: Annotated[int, Field(ge=_MIB // 8, le=2**40)] = 512 * _MIB
    keep_hours: Annotated[int, Field(ge=0, le=24 * 366)] = 72


class MeshRootSettings(BaseModel):
    """This gateway as a root of the mesh."""

    model_config = _FROZEN
    enabled: bool = False
    node: Annotated[int, Field(ge=1, le=2**32 - 2)] = 1
    net: Annotated[int, Field(ge=0, le=2**16 - 1)] = 1
    air_url: _Url = ""
    timer_divisor: Annotated[int, Field(ge=1, le=20)] = 1


class BenchSettings(BaseModel):
    """The port for test benches."""

    model_config = _FROZEN
    enabled: bool = False
    host: str = "127.0.0.1"
    port: _Port = 8701


class UplinkSettings(BaseModel):
    """How telegrams are gathered for the head-end."""

    model_config = _FROZEN
    batch_telegrams: Annotated[int, Field(ge=1, le=MAX_TELEGRAMS)] = 500
    batch_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 100


class LogSettings(BaseModel):
    """What is written to stderr."""

    model_config = _FROZEN
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


class GatewaySettings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Highest first."""
        toml = TomlConfigSettingsSource(settings_cls)
        secrets = NestedSecretsSettingsSource(
            file_secret_settings, secrets_nested_delimiter="__", secrets_dir_missing="error"
        )
        return init_settings, secrets, env_settings, toml


def load(path: Path | None) -> GatewaySettings:
    """Read the settings. Raises ConfigError with the setting's name and what is wrong."""
    if path is not None and not path.is_file():
        raise ConfigError(
            f"there is no configuration file {path}; 'ohmesh gateway config > {path}' makes one"
        )
    secrets = os.environ.get(SECRETS) or os.environ.get(_CREDENTIALS)

    class FromFile(GatewaySettings):
        model_config = SettingsConfigDict(
            **{**GatewaySettings.model_config, "toml_file": path, "secrets_dir": secrets}
        )

    try:
        settings = FromFile()
    except ValidationError as error:
        raise ConfigError(f"{path or 'environment'}: {_explain(error.errors()[0])}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    _check_addresses(settings)
    _check_environment()
    return settings


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_addresses(settings: GatewaySettings) -> None:
    for name, url in (("broker.url", settings.broker.url), ("mesh.air_url", settings.mesh.air_url)):
        try:
            if url:
                BrokerUrl.parse(url)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None


def _check_environment() -> None:
    """A misspelt section in the environment would pass unseen."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            section = name[len(PREFIX) :].split("__")[0].lower()
            if section not in GatewaySettings.model_fields:
                raise ConfigError(f"environment: {name}: {_no_such(section, [])}")


def _no_such(name: str, where: list[str]) -> str:
    near = get_close_matches(name, _known(where), n=1)
    return "there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _explain(error: ErrorDetails) -> str:
    """One line for one wrong setting, with the nearest name for an unknown one."""
    where = [str(part) for part in error["loc"]]
    name = ".".join(where) or "configuration"
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}"
    return f"{name}: {_no_such(where[-1], where[:-1])}"


def _known(where: list[str]) -> list[str]:
    fields = GatewaySettings.model_fields
    for part in where:
        section = fields[part].annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        fields = section.model_fields
    return list(fields)


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
