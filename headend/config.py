"""The head-end's configuration; `ohmesh.program.settings` says where it is read from."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import Annotated, Final, Self

from pydantic import BaseModel, Field, model_validator

from headend.security.roles import Role  # noqa: TC001 - pydantic reads it at run time
from ohmesh.model.errors import ConfigError
from ohmesh.program import settings

PROGRAM: Final = "headend"
WORKERS_MAX: Final = 64
_Port = Annotated[int, Field(ge=0, le=65535)]
_Secret = Annotated[str, Field(repr=False)]
"""It may hold a password: never shown."""


class DatabaseSettings(BaseModel):
    """One address per role; a serving program never uses the owner's."""

    model_config = settings.FROZEN
    owner_url: _Secret = ""
    ingest_url: _Secret = ""
    worker_url: _Secret = ""
    api_url: _Secret = ""
    gate_url: _Secret = ""


class BrokerSettings(BaseModel):
    """The MQTT 5 broker."""

    model_config = settings.FROZEN
    url: _Secret = "mqtt://127.0.0.1:1883"
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "ohmesh-headend"
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    shared: bool = False
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 64


class IngestSettings(BaseModel):
    """How much goes into one transaction."""

    model_config = settings.FROZEN
    batch_messages: Annotated[int, Field(ge=1, le=10_000)] = 2000
    batch_telegrams: Annotated[int, Field(ge=1, le=100_000)] = 4000
    batch_wait_ms: Annotated[int, Field(ge=0, le=5000)] = 20
    archive: bool = True
    lanes: Annotated[int, Field(ge=1, le=16)] = 2
    flood_per_minute: Annotated[int, Field(ge=60, le=10_000_000)] = 12_000


class ApiSettings(BaseModel):
    """Where the API listens."""

    model_config = settings.FROZEN
    host: str = "127.0.0.1"
    port: _Port = 8080
    token_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    insecure_listen: bool = False
    open_reads: bool = False
    requests_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 500
    workers: Annotated[int, Field(ge=1, le=WORKERS_MAX)] = 1

    @model_validator(mode="after")
    def _loopback_or_protected(self) -> Self:
        if self.open_reads and not settings.is_loopback(self.host):
            raise ValueError(f"host {self.host} is not loopback: open_reads must be false")
        protected = (self.tls_certificate_file and self.tls_key_file) or self.insecure_listen
        if not settings.is_loopback(self.host) and not (protected and self.token_file):
            raise ValueError(
                f"host {self.host} is not loopback: set token_file, and tls_certificate_file with "
                "tls_key_file (or insecure_listen = true behind a proxy that speaks TLS)"
            )
        return self


class OidcSettings(BaseModel):
    """Signing in at an OpenID provider; off without an issuer."""

    model_config = settings.FROZEN
    issuer: str = ""
    client_id: str = "ohmesh"
    client_secret_file: Path | None = None
    redirect_url: str = ""
    name: str = "OpenID"
    role_claim: str = "groups"
    roles: dict[str, Role] = {}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.issuer and not (self.client_secret_file and self.redirect_url and self.roles):
            raise ValueError("issuer needs client_secret_file, redirect_url and roles")
        plain = self.issuer.startswith("http://") and not self.issuer.startswith("http://127.0.0.1")
        if plain:
            raise ValueError("issuer must be https://")
        return self


class SecretSettings(BaseModel):
    """Files with secrets."""

    model_config = settings.FROZEN
    kek_file: Path | None = None


class GateSettings(BaseModel):
    """The release gate: a process of its own, with a file of its own."""

    model_config = settings.FROZEN
    config_file: Path | None = None
    key_file: Path | None = None
    approvers: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = {}


class EnrolmentSettings(BaseModel):
    """Certificates for gateways."""

    model_config = settings.FROZEN
    folder: Path | None = None
    gate_keys_file: Path | None = None
    broker_pid_file: Path | None = None


class VeeSettings(BaseModel):
    """Validation and estimation of intervals."""

    model_config = settings.FROZEN
    shape_file: Path | None = None


class RetentionSettings(BaseModel):
    """For how many days what is kept; 0: for ever."""

    model_config = settings.FROZEN
    readings_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    intervals_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    telegrams_days: Annotated[int, Field(ge=0, le=36_500)] = 0


class Settings(settings.ProgramSettings):
    """All of it."""

    model_config = settings.configuration(PROGRAM)
    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    api: ApiSettings = ApiSettings()
    secrets: SecretSettings = SecretSettings()
    gate: GateSettings = GateSettings()
    oidc: OidcSettings = OidcSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    vee: VeeSettings = VeeSettings()
    retention: RetentionSettings = RetentionSettings()


def load(path: Path | None) -> Settings:
    """Read the settings. Raises ConfigError with the setting's name and what is wrong."""
    return settings.load(Settings, PROGRAM, path)


def required(value: str | Path | None, setting: str) -> str:
    """A setting that a program cannot do without. Raises ConfigError."""
    if not value:
        raise ConfigError(
            f"{setting} is not set; 'ohmesh headend bootstrap' writes it, or set "
            f"{settings.prefix(PROGRAM)}{setting.upper().replace('.', '__')}"
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
# gate_url = ""                 # in the gate's own file alone

[broker]
url = "mqtt://127.0.0.1:1883"   # mqtt://[user:password@]host:port, mqtts:// for TLS
client_id = "ohmesh-headend"    # of the ingest session; each ingest process its own
# ca_file = "service-ca.crt"    # these three for mqtts://; 'ohmesh headend mqtt-config' makes them
# certificate_file = "headend.crt"
# key_file = "headend.key"
shared = false                  # true: several ingest processes share the uplinks
receive_maximum = 64            # messages in flight from the broker

[ingest]
batch_messages = 2000           # messages in one transaction, at most
batch_telegrams = 4000          # telegrams in one transaction, about
batch_wait_ms = 20              # how long a transaction waits for more
lanes = 2                       # writers: one decodes while another commits
flood_per_minute = 12000        # telegrams that a gateway takes in a minute; more is an event
archive = true                  # keep every telegram as it came; false: readings alone

[api]
host = "127.0.0.1"              # elsewhere only with token_file and TLS
port = 8080
# token_file = "api-token"
# tls_certificate_file = "server.crt"
# tls_key_file = "server.key"
insecure_listen = false         # true: listen in the clear, behind a proxy that speaks TLS
open_reads = false              # true: everybody on this machine may read, while host is loopback
requests_per_s = 500            # of one key, session or address, on average
workers = 1                     # above 1: API and pages in as many processes behind the port

[secrets]
# kek_file = "kek"              # 64 hex digits; for meters' keys; older ones in lines behind it

[oidc]
# Signing in at an OpenID provider (authorization code with PKCE); off without an issuer.
issuer = ""
# client_id = "ohmesh"
# client_secret_file = "oidc-secret"
# redirect_url = "https://meters.example/oidc/return"
# name = "OpenID"               # on the sign-in page
# role_claim = "groups"
# roles = { "ami-operators" = "operator", "ami-admins" = "admin" }

[enrolment]
# Certificates for gateways, and the list of revoked ones; off without a folder.
# folder = "broker"             # as 'ohmesh headend mqtt-config --write' made it
# gate_keys_file = "gate.pub"   # gateways are told to trust this gate
# broker_pid_file = "mosquitto.pid"  # it gets SIGHUP when the list is renewed

[vee]
# shape_file = "h25.csv"        # load shape of estimates, in BDEW's layout of 2025; else built in

[retention]
# For how many days; 0 is for ever. What billing still needs is never deleted (docs/vee.md).
readings_days = 0
intervals_days = 0
telegrams_days = 0

[gate]
# config_file = "gate.toml"     # 'serve' starts the gate as a child with this file; without it the
                                # gate runs apart: 'ohmesh headend gate --config gate.toml'
# key_file = "gate.key"         # in the gate's own file alone, as the people who may approve
# approvers = {}
"""

GATE_DEFAULT: Final = """\
# The release gate of the ohmesh head-end: without it nobody's supply is taken away. In production
# it runs as a user of its own, and nobody else reads this file or the key.

[database]
gate_url = ""

[gate]
key_file = "gate.key"           # Ed25519, 64 hex digits
# What is over a limit needs two of these people: name = "public key", as
# 'ohmesh headend approver --write anna.key' prints it.
[gate.approvers]
"""
