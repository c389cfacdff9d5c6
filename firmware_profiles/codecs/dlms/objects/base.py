"""What all COSEM objects share: attributes by number, encoded; methods by number.

An attribute is a value or a function of the time that gives one, always as A-XDR bytes. Attribute
1 is the logical name. Subclasses add behaviour; classes without any are only a table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.dlms.errors import AccessRefused, AccessResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from firmware_profiles.codecs.axdr import Value
    from firmware_profiles.codecs.dlms.apdu import Selection
    from ohmesh.model.obis import Obis

Attribute: TypeAlias = "bytes | Callable[[datetime], bytes]"
"""Encoded value, or a function of the UTC time that gives it."""
Method: TypeAlias = "Callable[[Value, datetime], bytes]"
"""Takes the decoded parameter and the UTC time, returns an encoded result or nothing."""


@dataclass
class CosemObject:
    """One object of a logical device.

    Attributes:
        class_id: interface class.
        version: of the interface class.
        obis: logical name.
        attributes: number from 2 -> value.
        writable: numbers that a client may set.
        methods: number from 1 -> what it does.
        public: readable without authentication.
    """

    class_id: int
    version: int
    obis: Obis
    attributes: dict[int, Attribute] = field(default_factory=dict)
    writable: frozenset[int] = frozenset()
    methods: Mapping[int, Method] = field(default_factory=dict)
    public: bool = False

    def get(self, index: int, now: datetime, selection: Selection | None = None) -> bytes:
        """The encoded value of an attribute. Raises AccessRefused."""
        if selection is not None:
            raise self.refused(AccessResult.SCOPE_OF_ACCESS_VIOLATED, index)
        if index == 1:
            return axdr.octets(self.obis.to_bytes())
        attribute = self.attributes.get(index)
        if attribute is None:
            raise self.refused(AccessResult.OBJECT_UNDEFINED, index)
        return attribute(now) if callable(attribute) else attribute

    def set(self, index: int, data: bytes, now: datetime) -> None:
        """Write an attribute; the value keeps its type. Raises AccessRefused."""
        if index not in self.writable:
            raise self.refused(AccessResult.READ_WRITE_DENIED, index)
        if data[:1] != self.get(index, now)[:1]:
            raise self.refused(AccessResult.TYPE_UNMATCHED, index)
        self.store(index, data, now)

    def store(self, index: int, data: bytes, now: datetime) -> None:
        """Keep what was written; subclasses act on it."""
        del now
        self.attributes[index] = data

    def act(self, index: int, parameter: Value, now: datetime) -> bytes:
        """Invoke a method; its encoded result, empty for none. Raises AccessRefused."""
        method = self.methods.get(index)
        if method is None:
            raise self.refused(AccessResult.OBJECT_UNDEFINED, index)
        return method(parameter, now)

    def refused(self, result: AccessResult, index: int) -> AccessRefused:
        """The error for one attribute or method of this object."""
        return AccessRefused(result, f"{self.obis} class {self.class_id} no. {index}")

    def need_int(self, parameter: Value, index: int) -> int:
        """The parameter when it is an integer. Raises AccessRefused(TYPE_UNMATCHED)."""
        if not isinstance(parameter, int):
            raise self.refused(AccessResult.TYPE_UNMATCHED, index)
        return parameter

    def description(self) -> bytes:
        """The object's entry in an object list: class, version, name, access rights."""
        attributes = [
            axdr.structure(
                axdr.int8(index), axdr.enum(3 if index in self.writable else 1), axdr.null()
            )
            for index in (1, *sorted(self.attributes))
        ]
        methods = [axdr.structure(axdr.int8(n), axdr.enum(1)) for n in sorted(self.methods)]
        return axdr.structure(
            axdr.uint16(self.class_id),
            axdr.uint8(self.version),
            axdr.octets(self.obis.to_bytes()),
            axdr.structure(axdr.array(*attributes), axdr.array(*methods)),
        )
