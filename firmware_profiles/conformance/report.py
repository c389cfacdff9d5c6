"""A verdict for people: as text for the terminal, as one HTML page for a tender."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from firmware_profiles.conformance.verdict import Tier

if TYPE_CHECKING:
    from firmware_profiles.api import ProfileSpec
    from firmware_profiles.conformance.verdict import Finding, Verdict

_WORDS = {True: "passed", False: "failed", None: "not applicable"}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}: conformance</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border-bottom: 1px solid #bbb; padding: .4rem .6rem; text-align: left }}
td {{ vertical-align: top; overflow-wrap: anywhere }}
.passed {{ color: #06623b }} .failed {{ color: #a3001e; font-weight: bold }}
</style>
<h1>{title}</h1>
<p>Profile <code>{name}</code>, {country}, version {version} of ohmesh. Tier reached:
<strong>{tier}</strong>.</p>
<p>Standards: {standards}. Evidence stated by the profile: {evidence}.</p>
<table>
<thead><tr><th>tier<th>check<th>result<th>evidence</thead>
<tbody>
{rows}
</tbody>
</table>
<p>Bronze: the data are sound and what the meters send comes back. Silver: captured telegrams are
read to the values that their source states. Gold: telegrams of several makers are, in all damage
too, and no rule rests on memory alone.</p>
</html>
"""


def as_text(verdict: Verdict) -> str:
    """Lines for the terminal."""
    lines = [f"{verdict.profile}: {verdict.tier.name.lower()}"]
    lines += [
        f"  {f.tier.name.lower():7} {_WORDS[f.passed]:15} {f.name:34} {f.evidence}"
        for f in verdict.findings
    ]
    return "\n".join(lines)


def as_html(verdict: Verdict, spec: ProfileSpec, version: str) -> str:
    """One page without anything from elsewhere.

    Args:
        verdict: the findings.
        spec: of the profile.
        version: of the installed software.
    """
    return _PAGE.format(
        title=escape(verdict.title),
        name=escape(verdict.profile),
        country=escape(spec.country),
        version=escape(version),
        tier="none" if verdict.tier is Tier.NONE else verdict.tier.name.lower(),
        standards=escape(", ".join(spec.standards)),
        evidence=escape(spec.evidence),
        rows="\n".join(map(_row, verdict.findings)),
    )


def _row(finding: Finding) -> str:
    word = _WORDS[finding.passed]
    return (
        f"<tr><td>{finding.tier.name.lower()}<td>{escape(finding.name)}"
        f'<td class="{word.split()[0]}">{word}<td>{escape(finding.evidence)}'
    )
