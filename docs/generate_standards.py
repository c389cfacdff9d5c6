"""Write docs/standards.md: what the codecs read of the captured telegrams beside the checkout.

Two tables: the score of each standard, and the tier that each profile reaches with the reason why
it is not higher.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from firmware_profiles import conformance, registry
from firmware_profiles.conformance.score import Score, score
from firmware_profiles.conformance.verdict import Tier, Verdict

HERE = Path(__file__).resolve().parent
PAGE = HERE / "standards.md"
NOTES = tomllib.loads((HERE / "standards.toml").read_text(encoding="utf-8"))
CAPTURED = HERE.parents[1] / "shared" / "telegrams"
MARK = "<!-- tiers -->"
HEAD = """# Standards, evidence and score

Made by `python docs/generate_standards.py` from telegrams that others captured and published; a
test holds the page against the code. A telegram counts when every number with a unit that its
source states is among the readings, to half a unit of its last place and under its OBIS code, or
when it must be refused and is.

- **evidence**: `real`, telegrams of real meters; `spec`, examples of documents, manuals and other
  projects' tests; `synthetic`, self-made, no proof for the field. The best of the profiles that
  read the standard.
- How fast they are read: [profiles-results.md](profiles-results.md). What is refused or left out on
  purpose: [limits-profiles.md](limits-profiles.md). The profiles' data: [profiles/](profiles/).
"""
COUNTS = ("passed", "telegrams", "matched", "numbers")
WORST_FIRST = ("synthetic", "spec", "real")


def main() -> None:
    """Write the page."""
    PAGE.write_text(f"{scores_part()}\n{MARK}\n{tiers_part()}", encoding="utf-8")
    print(PAGE)


def found_scores() -> dict[str, Score]:
    """Standard -> its score, over the captured telegrams."""
    files = sorted(CAPTURED.glob("*.jsonl"))
    return dict(sorted(score(files).items()))


def scores_part() -> str:
    """The first half of the page."""
    scores = found_scores()
    rows = [
        (
            f"{NOTES['titles'][name]} (`{name}`)",
            _evidence(name),
            ", ".join(_readers(name)),
            f"{found.passed} of {found.telegrams}",
            f"{found.matched} of {found.numbers}" if found.numbers else "-",
        )
        for name, found in scores.items()
    ]
    sums = [sum(getattr(s, name) for s in scores.values()) for name in COUNTS]
    passed, telegrams, matched, numbers = sums
    total = ("**all**", "", "", f"**{passed} of {telegrams}**", f"**{matched} of {numbers}**")
    head = ("standard", "evidence", "profiles", "telegrams", "values")
    missed = [name for found in scores.values() for name in found.missed]
    lines = [f"- `{name}`: {NOTES['explained'].get(name, 'NOT EXPLAINED')}" for name in missed]
    return "\n".join(
        [HEAD, _table(head, [*rows, total]), "", "Not passed, and why:", "", *lines, ""]
    )


def tiers_part() -> str:
    """The second half of the page."""
    rows = [_tier_row(name) for name in registry.names()]
    text = (
        "## Conformance\n\nWhat `ohmesh profiles conformance NAME --vectors` says with the same "
        "telegrams, those above left out:\nbronze, the profile is sound and nothing makes it fail; "
        "silver, captured telegrams are read; gold, those of\nseveral makers are, in all damage "
        "too, and no rule of the country rests on memory alone.\n"
    )
    return text + "\n" + _table(("profile", "tier", "why not higher"), rows) + "\n"


def _tier_row(name: str) -> tuple[str, ...]:
    profile = registry.load(name)
    vectors = [
        vector
        for vector in conformance.load_vectors(sorted(CAPTURED.glob("*.jsonl")), profile.spec)
        if vector.name not in NOTES["explained"]
    ]
    verdict = conformance.judge(profile, vectors)
    return f"[{name}](profiles/{name}.md)", verdict.tier.name.lower(), _obstacles(verdict)


def _obstacles(verdict: Verdict) -> str:
    """The failed checks of the next tier."""
    above = Tier(min(verdict.tier + 1, Tier.GOLD))
    return "; ".join(f.evidence for f in verdict.findings if f.tier is above and f.passed is False)


def _readers(standard: str) -> list[str]:
    return [profile.spec.name for profile in registry.for_standard(standard)]


def _evidence(standard: str) -> str:
    found = [profile.spec.evidence for profile in registry.for_standard(standard)]
    return max(found, key=WORST_FIRST.index)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
