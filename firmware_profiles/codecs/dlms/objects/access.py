"""Who may do what: classes 15 Association (logical names) and 64 Security setup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_profiles.codecs import axdr, ciphering
from firmware_profiles.codecs.dlms.acse import OURS, VERSION, Mechanism
from firmware_profiles.codecs.dlms.errors import AccessResult
from firmware_profiles.codecs.dlms.objects.base import CosemObject
from ohmesh.model.errors import DecodeError
from ohmesh.model.obis import Obis

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from firmware_profiles.api import Keys
    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.objects.base import Attribute

ASSOCIATION = Obis.parse("0-0:40.0.0")
SECURITY_SETUP = Obis.parse("0-0:43.0.0")
_OID_CONTEXT = bytes.fromhex("608574050801")
_OID_MECHANISM = bytes.fromhex("608574050802")
_POLICY_AUTHENTICATED_ENCRYPTED = 3
_GLOBAL_UNICAST, _AUTHENTICATION = 0, 2


def association(
    objects: Callable[[], list[CosemObject]], *, context: int, mechanism: Mechanism, pdu_max: int
) -> CosemObject:
    """Class 15: the association that the client is in; its object list is the device.

    The reply to a high-level authentication, method 1, is the server's business.
    """
    info = axdr.structure(
        axdr.bits(axdr.BitString(24, OURS.to_bytes(3, "big"))),
        axdr.uint16(pdu_max),
        axdr.uint16(pdu_max),
        axdr.uint8(VERSION),
        axdr.int8(0),
        axdr.octets(b""),
    )
    attributes: dict[int, Attribute] = {
        2: lambda _now: axdr.array(*[o.description() for o in objects()]),
        3: axdr.structure(axdr.int8(0), axdr.uint16(0)),
        4: axdr.octets(_OID_CONTEXT + bytes((context,))),
        5: info,
        6: axdr.octets(_OID_MECHANISM + bytes((mechanism,))),
        8: axdr.enum(2),
        9: axdr.octets(SECURITY_SETUP.to_bytes()),
    }
    return CosemObject(15, 1, ASSOCIATION, attributes, public=True)


class SecuritySetup(CosemObject):
    """Class 64: policy, suite, titles; new keys come wrapped under the key-encrypting key.

    Args:
        keys: keys in force.
        master: key-encrypting key, 16 bytes.
        title: server system title.
        renewed: is called with the keys after a transfer.
    """

    def __init__(
        self, keys: Keys, master: bytes, title: bytes, renewed: Callable[[Keys], None]
    ) -> None:
        super().__init__(64, 0, SECURITY_SETUP)
        self._keys = keys
        self._master = master
        self._renewed = renewed
        self.attributes = {
            2: axdr.enum(_POLICY_AUTHENTICATED_ENCRYPTED),
            3: axdr.enum(0),
            4: axdr.octets(b""),
            5: axdr.octets(title),
        }
        self.methods = {1: self._activate, 2: self._transfer}

    def _activate(self, parameter: Value, _now: datetime) -> bytes:
        """Raise the policy; it never goes down again."""
        policy = self.need_int(parameter, 1)
        current = self.attributes[2]
        assert isinstance(current, bytes)
        if policy < current[1]:
            raise self.refused(AccessResult.READ_WRITE_DENIED, 1)
        self.attributes[2] = axdr.enum(policy)
        return b""

    def _transfer(self, parameter: Value, _now: datetime) -> bytes:
        """Array of (key id, wrapped key): 0 global unicast, 2 authentication; all or none."""
        keys = self._keys
        for item in parameter if isinstance(parameter, tuple) else ():
            if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[1], bytes):
                raise self.refused(AccessResult.TYPE_UNMATCHED, 2)
            keys = self._with_key(keys, item[0], item[1])
        if keys is self._keys:
            raise self.refused(AccessResult.TYPE_UNMATCHED, 2)
        self._keys = keys
        self._renewed(keys)
        return b""

    def _with_key(self, keys: Keys, key_id: Value, wrapped: bytes) -> Keys:
        try:
            key = ciphering.unwrap_key(self._master, wrapped)
        except DecodeError as error:
            raise self.refused(AccessResult.OTHER_REASON, 2) from error
        if key_id == _GLOBAL_UNICAST:
            return replace(keys, unicast=key)
        if key_id == _AUTHENTICATION:
            return replace(keys, authentication=key)
        raise self.refused(AccessResult.OBJECT_UNDEFINED, 2)
