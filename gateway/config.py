"""The gateway's configuration; `ohmesh.program.settings` says where it is read from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, Field

from gateway import field
from gateway.field_settings import Baud, FieldSections
from ohmesh.model.errors import ConfigError
from ohmesh.program import settings
from ohmesh.wire.brokerurl import BrokerUrl
from ohmesh.wire.uplink import MAX_TELEGRAMS

PROGRAM: Final = "gateway"
_MIB: Final = 1024 * 1024
_Port = Annotated[int, Field(ge=1, le=65535)]
_Url = Annotated[str, Field(repr=False)]
"""It may hold a password: never shown."""
_PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BrokerSettings(BaseModel):
    """The way to the head-end."""

    model_config = settings.FROZEN
    url: _Url = "mqtt://127.0.0.1:1883"
    others: Annotated[list[str], Field(repr=False)] = []
    identity: Path = Path("identity")
    reconnect_cap_s: Annotated[float, Field(gt=0, le=3600)] = 160.0


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
    modem: str = ""
    modem_baud: Baud = 115_200
    keys_file: Path | None = None
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


class MetricsSettings(BaseModel):
    """The port for Prometheus."""

    model_config = settings.FROZEN
    enabled: bool = False
    host: str = "127.0.0.1"
    port: _Port = 9108


class LimiterSettings(BaseModel):
    """Whose word lets supply be taken away."""

    model_config = settings.FROZEN
    gate_keys: list[_PublicKey] = []
    approvers: dict[str, _PublicKey] = {}


class LogSettings(BaseModel):
    """What is written to stderr."""

    model_config = settings.FROZEN
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


class GatewaySettings(FieldSections):
    """All of it."""

    model_config = settings.configuration(PROGRAM)
    gateway: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "gw1"
    broker: BrokerSettings = BrokerSettings()
    outbox: OutboxFileSettings = OutboxFileSettings()
    mesh: MeshRootSettings = MeshRootSettings()
    bench: BenchSettings = BenchSettings()
    uplink: UplinkSettings = UplinkSettings()
    limiter: LimiterSettings = LimiterSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def broker_url(self) -> BrokerUrl:
        """The broker of the head-end. Raises ConfigError."""
        return BrokerUrl.parse(self.broker.url)

    @property
    def broker_urls(self) -> list[BrokerUrl]:
        """It, and the others that are tried when it fails. Raises ConfigError."""
        return [BrokerUrl.parse(url) for url in (self.broker.url, *self.broker.others)]

    @property
    def air_url(self) -> BrokerUrl:
        """The broker of the air; the head-end's if none is set. Raises ConfigError."""
        return BrokerUrl.parse(self.mesh.air_url or self.broker.url)

    @property
    def source_names(self) -> list[str]:
        """Of everything that telegrams come from, such as `modbus bus1`."""
        enabled = [name for name in ("mesh", "bench") if getattr(self, name).enabled]
        return enabled + [
            f"{kind} {section.name}" for kind in field.KINDS for section in getattr(self, kind)
        ]


def load(path: Path | None) -> GatewaySettings:
    """Read the settings. Raises ConfigError with the setting's name and what is wrong."""
    found = settings.load(GatewaySettings, PROGRAM, path)
    _check_addresses(found)
    field.check_field(found)
    return found


def _check_addresses(found: GatewaySettings) -> None:
    named = [("broker.url", found.broker.url), ("mesh.air_url", found.mesh.air_url)]
    for name, url in [*named, *(("broker.others", url) for url in found.broker.others)]:
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
url = "mqtt://127.0.0.1:1883"   # mqtt://[user:password@]host:port, mqtts:// for TLS; a password is
                                # better kept in the secrets directory, as the file
                                # ohmesh_gateway__broker__url
others = []                     # further addresses, tried in turn when one fails
identity = "identity"           # folder of the key and certificate for mqtts://, as
                                # 'ohmesh gateway enrol' writes them
reconnect_cap_s = 160.0         # longest pause between two attempts; the first is up to a quarter
                                # of it, which suits 1000 gateways at a broker; 10.0 suits a few

[outbox]
path = "outbox.db"              # telegrams wait here for the head-end; the folder must exist,
                                # and without one it is that in which the gateway is started
max_bytes = 536870912           # at this size new telegrams stay with their meters
keep_hours = 72                 # how long acknowledged telegrams are kept

[mesh]
enabled = false                 # true: this gateway is a root of the mesh
node = 1                        # its number in the mesh
# keys_file = "mesh-keys.json"  # who may join, and the network's keys; without, anybody may
net = 1                         # network id
air_url = ""                    # broker of the air; empty: the broker above
modem = ""                      # line of a serial radio modem; then no broker carries the air
modem_baud = 115200
timer_divisor = 1               # 1..20: protocol timers run that much faster, for demos

[bench]
enabled = false                 # true: whoever reaches this port can put in telegrams
host = "127.0.0.1"
port = 8701

# Field sources: as many sections of each kind as there are lines. `line` is a port, a pattern such
# as "/dev/serial/by-id/usb-FTDI*" (found again after unplugging), or "tcp://host:port"; `baud` and
# `mode` are those of a port. `ohmesh gateway detect` looks for meters and writes such sections.

# [[p1]]                        # customer port P1
# name = "p1"                   # of the source, in the log
# line = "/dev/ttyUSB0"
# baud = 115200                 # 9600 and mode = "7E1" before DSMR 4
# meter = "house-7"             # the meter's address at this gateway
# profile = "nl_dsmr"           # be_emucs, lu_smarty, se_h1
# period_s = 60                 # one telegram of each period is taken; 0: all

# [[sml]]                       # optical head on a meter that pushes SML; as p1, baud = 9600
# [[readout]]                   # the same for pushed readouts, IEC 62056-21 mode D; mode = "7E1"

# [[tic]]                       # Linky, historic mode; standard mode: baud = 9600

# [[han]]                       # customer port that pushes DLMS
# name = "han"
# line = "/dev/ttyUSB3"
# baud = 2400
# framing = "hdlc"              # "mbus" (Austria), "glo" (Luxembourg's ciphered P1)
# meter = "house-10"
# profile = "no_han"            # se_h1, at_dlms, ch_dlms, kr_dlms, lu_smarty
# period_s = 60

# [[optical]]                   # head on a meter that is asked, IEC 62056-21 modes A, B and C
# name = "head"
# line = "/dev/ttyUSB1"
# baud = 9600                   # highest speed that the head bears
# meter = "house-8"
# device = ""                   # device address; empty: the only meter there
# profile = "de_sml"
# period_s = 900
# readout_s = 120               # longest readout

# [[modbus]]
# name = "bus1"                 # the meters are bus1-1, bus1-2, ...
# line = "/dev/serial/by-id/usb-FTDI*"
# baud = 9600
# mode = "8N1"
# framing = "auto"              # rtu on ports, tcp on tcp lines; or "rtu", "tcp"
# period_s = 60
# timeout_ms = 1000
# meters = [{ units = "1-40", map = "eastron_sdm" }]    # or the path of a map; profile = "modbus"

# [[mbus]]
# name = "cellar"               # the meters are cellar-1, cellar-12345678, ...
# line = "tcp://192.168.1.30:10001"
# baud = 2400
# mode = "8E1"
# meters = ["1-5", "12345678"]  # primary addresses, secondary ones of eight digits
# profile = "eu_mbus"
# period_s = 900
# timeout_ms = 1000
# frames = 1                    # telegrams that one reading takes

# [[dlms]]                      # a meter that is asked: HDLC on ports, the wrapper on tcp lines
# name = "dlms"
# line = "/dev/ttyUSB2"
# meter = "house-9"
# profile = "kr_dlms"
# objects = ["1-0:1.8.0", "1-0:2.8.0"]
# load_profile = ""             # "1-0:99.1.0": its rows too, those of dark hours afterwards
# load_profile_hours = 24       # how far back they are read after a start
# baud = 9600
# client = 16                   # 16: the public client
# server = 1
# password = ""                 # of the low-level security
# framing = "auto"              # hdlc or wrapper
# period_s = 900
# timeout_ms = 3000

[uplink]
batch_telegrams = 500           # telegrams in one message, at most
batch_wait_ms = 100             # least time between two incomplete messages

[metrics]
enabled = false                 # true: GET /metrics for Prometheus
host = "127.0.0.1"
port = 9108

[limiter]
# At most max(3, 10 %) of the meters heard are switched off within an hour, each with a release that
# the head-end's gate has signed. Above that two of these people sign too: name = "public key".
gate_keys = []                  # of the gates: what stands in the head-end's gate.pub; enrolment
                                # brings it along; without any nobody is switched off
approvers = {}

[log]
level = "info"                  # debug, info, warning or error
"""
