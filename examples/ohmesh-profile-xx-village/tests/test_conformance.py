"""The conformance kit on the village's profile."""

from pathlib import Path

from ohmesh_profile_xx_village import profile

from firmware_profiles.conformance import ProfileConformance

CAPTURED = Path(__file__).parent / "captured.jsonl"


class TestConformance(ProfileConformance):
    """Bronze; and silver once captured telegrams stand in captured.jsonl."""

    profile = profile()
    vectors = (CAPTURED,) if CAPTURED.exists() else ()
