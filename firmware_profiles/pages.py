"""A page of documentation for a profile, from its data alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_profiles import canonical, tender

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firmware_profiles.api import ProfileSpec, Rule
    from ohmesh.model.reading import Register

_EVIDENCE = {
    "real": "Telegrams captured from real meters test this profile.",
    "spec": "Telegrams from specifications, manuals and other projects' tests check this profile; "
    "none is known to be captured in the field.",
    "synthetic": "No public telegram is at hand: only self-made ones test this profile. "
    "It is no proof for the field.",
}
_CONFIDENCE = {
    "verified": "the text itself was read",
    "seen": "seen in a public source",
    "recalled": "from memory; check before you rely on it",
}
_INDEX = """# Profiles

One page a profile, made from its `profile.toml` by `python docs/generate_profiles.py`.
`ohmesh profiles conformance NAME` says what a profile proves. How to write one:
[howto-profile.md](../howto-profile.md).

"""


def page(spec: ProfileSpec) -> str:
    """The page of a profile, in Markdown."""
    parts = [
        f"# {spec.name}: {spec.title}",
        f"**Evidence: {spec.evidence}.** {_EVIDENCE[spec.evidence]}",
        _table(("", ""), _facts(spec)),
        "## Registers",
        _registers(spec),
        "## Rules",
        *(map(_rule, spec.rules) if spec.rules else ("None are stated.",)),
    ]
    return "\n\n".join(parts) + "\n"


def index(specs: Iterable[ProfileSpec]) -> str:
    """The list of all pages, in Markdown."""
    rows = [
        (f"[{s.name}]({s.name}.md)", s.country, s.title, s.evidence, ", ".join(s.standards))
        for s in specs
    ]
    return _INDEX + _table(("profile", "country", "what", "evidence", "standards"), rows) + "\n"


def _facts(spec: ProfileSpec) -> list[tuple[str, ...]]:
    ways = {t for standard in spec.standards for t in tender.transports_of(standard)}
    return [
        ("country", spec.country),
        ("zone of stamps", spec.zone),
        ("interval", f"{spec.interval_s} s"),
        ("codec", spec.codec),
        ("security", spec.security),
        ("standards", ", ".join(spec.standards)),
        ("transports", ", ".join(sorted(ways))),
        ("a simulated meter reports", ", ".join(spec.reported) or "nothing: decode only"),
    ]


def _registers(spec: ProfileSpec) -> str:
    if not spec.registers:
        return "None: values are given as texts."
    known = canonical.table()
    rows = [
        (channel, str(r.obis), _resolution(r), known[channel].kind if channel in known else "own")
        for channel, r in spec.registers.items()
    ]
    rest = "Other codes are kept as `raw.<code>`."
    return _table(("channel", "OBIS", "resolution", "kind"), rows) + "\n\n" + rest


def _resolution(register: Register) -> str:
    scale = "" if register.scaler == 0 else f"10^{register.scaler} "
    return f"{scale}{register.unit.value}"


def _rule(rule: Rule) -> str:
    data = "".join(f"\n- `{key} = {value}`" for key, value in rule.data.items())
    source = f"Source: {rule.source}; {rule.checked_on}, {_CONFIDENCE[rule.confidence]}."
    return f"**{rule.topic}**: {rule.summary}\n\n{source}" + (f"\n{data}" if data else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines)
