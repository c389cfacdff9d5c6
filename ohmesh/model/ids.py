"""Identities. Text ids stand in topics and addresses, so their alphabet is narrow."""

from __future__ import annotations

import re
from typing import NewType

from ohmesh.model.errors import ModelError

MeterId = NewType("MeterId", str)
"""A meter's name in the head-end and in URLs."""
GatewayId = NewType("GatewayId", str)
"""A gateway's name; it stands in MQTT topics."""
Address = NewType("Address", str)
"""How a gateway names a meter: a configured id, or `mesh-` and eight hex digits."""
NodeId = NewType("NodeId", int)
"""A node's 32-bit number in the mesh."""

_TEXT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MESH_PREFIX = "mesh-"


def _text_id(text: str, kind: str) -> str:
    if not _TEXT_ID.fullmatch(text):
        raise ModelError(f"{kind} {text!r} is not 1 to 64 of A-Z a-z 0-9 _ -")
    return text


def meter_id(text: str) -> MeterId:
    """Check a meter id. Raises ModelError."""
    return MeterId(_text_id(text, "meter id"))


def gateway_id(text: str) -> GatewayId:
    """Check a gateway id. Raises ModelError."""
    return GatewayId(_text_id(text, "gateway id"))


def address(text: str) -> Address:
    """Check a meter's address at a gateway. Raises ModelError."""
    return Address(_text_id(text, "meter address"))


def mesh_address(node: int) -> Address:
    """The address of a mesh node: `mesh-0000002a` for 42."""
    return Address(f"{_MESH_PREFIX}{node:08x}")


def mesh_node(text: str) -> NodeId | None:
    """The mesh node of an address, None when the address is not of the mesh."""
    digits = text.removeprefix(_MESH_PREFIX)
    if digits == text or len(digits) != 8:
        return None
    try:
        return NodeId(int(digits, 16))
    except ValueError:
        return None
