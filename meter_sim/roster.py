"""The roster: the one file that fleet, ether and demo share. A JSON file, read strictly.

It says who is where, what each meter is and its key, how the radio behaves and how fast the
calendar runs. A key that has no meaning is refused with its name.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from meter_sim.radio import RadioModel, Site
from ohmesh.model.errors import ConfigError
from ohmesh.model.ids import mesh_address
from ohmesh.model.relay import DIRECT_RECONNECT
from ohmesh.wire.joining import join_key
from ohmesh.wire.meshkeys import MeshKeys

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GATEWAY_GAIN_DB = 8.0
"""A gateway hangs on a pole."""
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Node = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 2)]
_Decibel = Annotated[float, msgspec.Meta(ge=0, le=100)]


class RosterGateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gateway and its place, in metres."""

    gateway: _Id
    node: _Node
    x_m: float
    y_m: float


class RosterMeter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A meter: its head-end id, mesh node, profile, key and place in metres.

    `token_key_hex` is the decoder key of its tokens, empty where it takes none; `control_mode` is
    its switch's (`ohmesh.model.relay`).
    """

    meter: _Id
    node: _Node
    profile: _Id
    key_hex: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
    x_m: float
    y_m: float
    prepaid: bool = False
    token_key_hex: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{16}|[0-9a-f]{32})?$")] = ""
    control_mode: Annotated[int, msgspec.Meta(ge=0, le=6)] = DIRECT_RECONNECT

    @property
    def key(self) -> bytes:
        """The key, 16 bytes."""
        return bytes.fromhex(self.key_hex)

    @property
    def address(self) -> str:
        """The meter's address at a gateway."""
        return mesh_address(self.node)


class RosterRadio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The radio model, see `meter_sim.radio.RadioModel`."""

    exponent: Annotated[float, msgspec.Meta(ge=2, le=6)] = 4.0
    shadow_db: _Decibel = 8.0
    end_loss_db: _Decibel = 10.0
    transmit_dbm: Annotated[float, msgspec.Meta(ge=-30, le=33)] = 14.0
    rate_kbps: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 150

    @property
    def model(self) -> RadioModel:
        """The model for `meter_sim.radio`."""
        return RadioModel(
            exponent=self.exponent,
            shadow_db=self.shadow_db,
            end_loss_db=self.end_loss_db,
            transmit_dbm=self.transmit_dbm,
            rate_kbps=self.rate_kbps,
        )


class Roster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everybody on one simulated network.

    Attributes:
        net: network number on the air.
        seed: of the radio and the load curves; the keys do not follow from it.
        start: simulated time at the beginning, UTC.
        interval_s: load-profile interval of all meters.
        calendar_speed: how much faster than the clock the calendar runs.
        timer_divisor: mesh timers and airtime are divided by it.
        closed: meters need the network's key, and join with one of their own to get it.
        maker_key_hex: Ed25519 public key of who signs the meters' firmware; empty: they take none.
    """

    net: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    start: Annotated[datetime, msgspec.Meta(tz=True)]
    interval_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)]
    calendar_speed: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    timer_divisor: Annotated[int, msgspec.Meta(ge=1, le=20)]
    gateways: list[RosterGateway]
    meters: list[RosterMeter]
    radio: RosterRadio = msgspec.field(default_factory=RosterRadio)
    closed: bool = False
    maker_key_hex: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")] = ""

    @property
    def start_ms(self) -> int:
        """`start` in milliseconds since 1970."""
        return round(self.start.timestamp() * 1000)

    @property
    def sites(self) -> list[Site]:
        """Where the nodes are; gateways hang higher."""
        poles = [Site(g.node, g.x_m, g.y_m, GATEWAY_GAIN_DB) for g in self.gateways]
        return poles + [Site(m.node, m.x_m, m.y_m) for m in self.meters]

    def mesh_keys(self, network_key: bytes) -> MeshKeys:
        """The keys file of a gateway of this network, when it is closed."""
        members = {meter.node: join_key(meter.key).hex() for meter in self.meters}
        return MeshKeys(seal=1, keys={1: network_key.hex()}, join_keys=members)

    def to_json(self) -> bytes:
        """The JSON text, a node a line."""
        fields = msgspec.to_builtins(self).items()
        return (
            "{" + ",\n ".join(f'"{key}": {_text(value)}' for key, value in fields) + "}\n"
        ).encode()


def _refuse_doubles(kind: str, values: Iterable[object]) -> None:
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"the roster has the {kind} {value!r} {count} times")


def check(roster: Roster) -> Roster:
    """The roster when it is whole. Raises ConfigError."""
    if not roster.gateways or not roster.meters:
        raise ConfigError("a roster needs at least one gateway and one meter")
    if roster.start > datetime.now(UTC):
        raise ConfigError(f"the roster's start, {roster.start.isoformat()}, is in the future")
    if roster.interval_s < 1 or roster.calendar_speed < 1:
        raise ConfigError("interval_s and calendar_speed of a roster are 1 or more")
    nodes = [g.node for g in roster.gateways] + [m.node for m in roster.meters]
    _refuse_doubles("node", nodes)
    _refuse_doubles("gateway", [g.gateway for g in roster.gateways])
    _refuse_doubles("meter", [m.meter for m in roster.meters])
    return roster


def decode_roster(text: bytes | str, name: str = "roster") -> Roster:
    """The roster in a JSON text. Raises ConfigError with the key that is wrong."""
    try:
        return check(msgspec.json.decode(text, type=Roster))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{name} is no roster, as 'ohmesh sim roster' draws one: {error}"
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, list):
        return msgspec.json.encode(value).decode()
    items = ",\n".join(f"  {msgspec.json.encode(item).decode()}" for item in value)
    return f"[\n{items}\n]"


def read_roster(path: Path) -> Roster:
    """The roster in a file. Raises ConfigError."""
    try:
        return decode_roster(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"the roster {path}: {error.strerror}") from error
