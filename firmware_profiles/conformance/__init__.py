"""The conformance kit: what a profile must prove, and with which evidence.

bronze   its data are sound, what its meters send comes back, nothing makes it fail otherwise
silver   captured telegrams are read to the values that their source states
gold     several makers' telegrams are, in all damage too, and its rules name their sources

A plug-in's own tests derive from `ProfileConformance`; people run `ohmesh profiles conformance`.
"""

from firmware_profiles.conformance.kit import ProfileConformance
from firmware_profiles.conformance.vectors import Vector, load_vectors
from firmware_profiles.conformance.verdict import Finding, Tier, Verdict, judge

__all__ = [
    "Finding",
    "ProfileConformance",
    "Tier",
    "Vector",
    "Verdict",
    "judge",
    "load_vectors",
]
