"""Profiles whose meters speak P1 text: each adds its version, or another language beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from firmware_profiles.base import BaseProfile
from firmware_profiles.codecs.p1.learn import learn_p1
from firmware_profiles.codecs.p1.readings import readings_of
from firmware_profiles.codecs.p1.report import VERSION_LINE, telegram_of
from firmware_profiles.codecs.p1.telegram import parse_p1

if TYPE_CHECKING:
    from firmware_profiles.api import Decoded, Keys, Report
    from firmware_profiles.shape import Template

_IDENTIFICATION = "OHM5"


class P1Profile(BaseProfile):
    """P1 text; see `firmware_profiles.api.Profile`.

    Attributes:
        version: that a simulated meter states; none when empty.
        version_line: the OBIS code it stands behind.
    """

    version: ClassVar[str] = ""
    version_line: ClassVar[str] = VERSION_LINE

    def decode(self, payload: bytes, *, keys: Keys | None = None, verify: bool = True) -> Decoded:
        """Decode one P1 telegram; the text has no keys. Raises DecodeError."""
        del keys
        return readings_of(parse_p1(payload, verify=verify), self.zone)

    def learn(self, payload: bytes) -> Template | None:
        """The template of a P1 text."""
        return learn_p1(payload, self.zone)

    def encode(self, report: Report) -> bytes:
        """The P1 telegram of a simulated meter. Raises ProfileError."""
        return telegram_of(
            report,
            self.spec,
            self.zone,
            identification=_IDENTIFICATION,
            version=self.version,
            version_line=self.version_line,
        ).to_bytes()
