"""The kit as a class of tests: a plug-in derives from it and names its profile.

class TestMine(ProfileConformance):
    profile = mine()
    vectors = (Path(__file__).parent / "captured.jsonl",)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from firmware_profiles.conformance import checks
from firmware_profiles.conformance.vectors import load_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from firmware_profiles.api import Profile


class ProfileConformance:
    """Tests of bronze, and of silver when files of captured telegrams are named.

    Attributes:
        profile: what is tested.
        vectors: files of captured telegrams.
    """

    profile: ClassVar[Profile]
    vectors: ClassVar[tuple[Path, ...]] = ()

    def test_data_are_sound(self) -> None:
        """See the check."""
        assert checks.data_are_sound(self.profile)

    def test_reports_come_back(self) -> None:
        """See the check."""
        if not checks.is_decode_only(self.profile):
            assert checks.reports_come_back(self.profile)

    def test_reports_fit_a_frame(self) -> None:
        """See the check."""
        if not checks.is_decode_only(self.profile):
            assert checks.reports_fit_a_frame(self.profile)

    def test_own_telegrams_survive_damage(self) -> None:
        """See the check."""
        if not checks.is_decode_only(self.profile):
            assert checks.own_telegrams_survive_damage(self.profile)

    def test_any_bytes_end_well(self) -> None:
        """See the check."""
        assert checks.any_bytes_end_well(self.profile)

    def test_captured_telegrams_are_read(self) -> None:
        """See the check; without files there is nothing to read, and the profile is bronze."""
        if self.vectors:
            found = load_vectors(self.vectors, self.profile.spec)
            assert checks.vectors_are_read(self.profile, found)
