"""What a DLMS peer refuses (IEC 62056-5-3, data-access-result, action-result, ACSE diagnostics)."""

from __future__ import annotations

from enum import IntEnum

from ohmesh.model.errors import OhmeshError


class AccessResult(IntEnum):
    """Result of a GET, SET or ACTION; the numbers of both enumerations agree where both exist."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class Diagnostic(IntEnum):
    """Why an association is refused (ACSE service user)."""

    NONE = 0
    NO_REASON = 1
    CONTEXT_NAME_NOT_SUPPORTED = 2
    MECHANISM_NOT_RECOGNISED = 11
    MECHANISM_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14
    """Not a refusal: the high-level authentication goes on."""


class DlmsError(OhmeshError):
    """The root of what a DLMS session refuses."""


class AccessRefused(DlmsError):  # noqa: N818 - what happened, in a word
    """The server does not do what was asked.

    Attributes:
        result: its reason; OTHER_REASON for a number that the standard does not know.
    """

    def __init__(self, result: int, what: str) -> None:
        known = result in AccessResult._value2member_map_
        self.result = AccessResult(result) if known else AccessResult.OTHER_REASON
        super().__init__(f"{what}: {self.result.name.lower().replace('_', ' ')} ({result})")


class AssociationRefused(DlmsError):  # noqa: N818
    """The server does not open the association, or its proof of the key is wrong."""


class SequenceError(DlmsError):
    """Our own caller asks for something in the wrong state."""
