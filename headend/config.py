"""The head-end's configuration: TOML file < environment < secrets directory, read once.

A setting `[api] port` is `OHMESH_HEADEND__API__PORT` in the environment and a file of the name
`ohmesh_headend__api__port` in the secrets directory (`OHMESH_HEADEND_SECRETS`).
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ohmesh.model.errors import ConfigError

PREFIX: Final = "OHMESH_HEADEND__"
SECRETS: Final = "OHMESH_HEADEND_SECRETS"
_Port = Annotated[int, Field(ge=0, le=65535)]
_Secret = Annotated[str, Field(repr=False)]
"""It may hold a password: never shown."""
_FROZEN: Final = ConfigDict(frozen=True, extra="forbid")


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class DatabaseSettings(BaseModel):
    """One address per role; a serving program never uses the owner's."""

    model_config = _FROZEN
    owner_url: _Secret = ""
    ingest_url: _Secret = ""
    worker_url: _Secret = ""
    api_url: _Secret = ""


class BrokerSettings(BaseModel):
    """The MQTT 5 broker."""

    model_config = _FROZEN
    url: _Secret = "mqtt://127.0.0.1:1883"
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "ohmesh-headend"
    shared: bool = False
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 64


class IngestSettings(BaseModel):
    """How much goes into one transaction."""

    model_config = _FROZEN
    batch_messages: Annotated[int, Field(ge=1, le=10_000)] = 2000
    batch_telegrams: Annotated[int, Field(ge=1, le=100_000)] = 4000
    batch_wait_ms: Annotated[int, Field(ge=0, le=5000)] = 20


class ApiSettings(BaseModel):
    """Where the API listens."""

    model_config = _FROZEN
    host: str = "127.0.0.1"
    port: _Port = 8080
    token_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    insecure_listen: bool = False

    @model_validator(mode="after")
    def _loopback_or_protected(self) -> Self:
        protected = (self.tls_certificate_file and self.tls_key_file) or self.insecure_listen
        if not is_loopback(self.host) and not (protected and self.token_file):
            raise ValueError(
                f"host {self.host} is not loopback: set token_file, and tls_certificate_file with "
                "tls_key_file (or insecure_listen = true behind a proxy that speaks TLS)"
            )
        return self


class SecretSettings(BaseModel):
    """Files with secrets."""

    model_config = _FROZEN
    kek_file: Path | None = None


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )
    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    api: ApiSettings = ApiSettings()
    secrets: SecretSettings = SecretSettings()

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
        return init_settings, file_secret_settings, env_settings, toml


def load(path: Path | None) -> Settings:
    """Read the settings. Raises ConfigError with the setting's name and what is wrong."""
    if path is not None and not path.is_file():
        raise ConfigError(f"there is no configuration file {path}")

    class FromFile(Settings):
        model_config = SettingsConfigDict(
            **{**Settings.model_config, "toml_file": path, "secrets_dir": os.environ.get(SECRETS)}
        )

    try:
        return FromFile()
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"]) or "configuration"
        raise ConfigError(f"{path or 'environment'}: {setting}: {first['msg']}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def required(value: str | Path | None, setting: str) -> str:
    """A setting that a program cannot do without. Raises ConfigError."""
    if not value:
        raise ConfigError(
            f"{setting} is not set; 'ohmesh headend bootstrap' writes it, or set "
            f"{PREFIX}{setting.upper().replace('.', '__')}"
        )
    return str(value)


DEFAULT: Final = """\
# ohmesh head-end. Every setting may also stand in the environment, such as
# OHMESH_HEADEND__API__PORT=8080, which goes before this file.

[database]
# One address per role; 'ohmesh headend bootstrap' makes the roles and writes these lines.
# owner_url is used by 'ohmesh headend migrate' alone.
owner_url = ""
ingest_url = ""
worker_url = ""
api_url = ""

[broker]
url = "mqtt://127.0.0.1:1883"   # mqtt://[user:password@]host:port, mqtts:// for TLS
client_id = "ohmesh-headend"    # of the ingest session; each ingest process its own
shared = false                  # true: several ingest processes share the uplinks
receive_maximum = 64            # messages in flight from the broker

[ingest]
batch_messages = 2000           # messages in one transaction, at most
batch_telegrams = 4000          # telegrams in one transaction, about
batch_wait_ms = 20              # how long a transaction waits for more

[api]
host = "127.0.0.1"              # elsewhere only with token_file and TLS
port = 8080
# token_file = "api-token"
# tls_certificate_file = "server.crt"
# tls_key_file = "server.key"
insecure_listen = false         # true: listen in the clear, behind a proxy that speaks TLS

[secrets]
# kek_file = "kek"              # 64 hex digits; opens the meters' keys
"""
