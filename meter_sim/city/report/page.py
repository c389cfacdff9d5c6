"""A story as one self-contained HTML page."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

from meter_sim.city.experiments.measure import percentile
from meter_sim.city.profiles import LIMITS
from meter_sim.city.report import drawing
from meter_sim.city.report.story import DEADLINE_US, Fate, Fault

if TYPE_CHECKING:
    from meter_sim.city.report.story import Snapshot, Story

_WHAT = {
    "ADV": "advertisements",
    "SOL": "solicitations",
    "REG": "registrations, all hops",
    "REGACK": "their answers, all hops",
    "REGACKS": "answers that share a frame, all hops",
    "UP": "readings, all hops",
    "DOWN": "commands, all hops",
    "HACK": "hop acknowledgements",
    "REPORT": "fates of commands",
    "JOIN": "joins",
    "PROBE": "probes of links",
    "OUTAGE": "outage reports",
}
_DATA = {"UP", "DOWN"}
_TITLES = {
    Fault.TENTH: "A tenth of the meters dies at once",
    Fault.RELAY: "The busiest relay dies",
    Fault.GATEWAY: "A gateway dies",
}


def render(story: Story) -> str:
    """The page."""
    layout = story.city.layout
    source = files("meter_sim.city.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.from_string(source).render(
        title=_TITLES[story.fault],
        summary=_summary(story),
        tiles=_tiles(story),
        maps=[_map(story, snapshot) for snapshot in story.snapshots],
        width=drawing.MAP_WIDTH,
        height=round(drawing.map_height(layout)),
        chart_width=drawing.CHART_WIDTH,
        chart_height=drawing.CHART_HEIGHT,
        histogram=_svg(drawing.histogram(story.heal_s, "s")),
        success=_svg(drawing.success(story.fates)),
        frames=_frames(story),
        overhead=(
            f"{story.control_share:.0%} of the airtime is control, acknowledgements aside; "
            f"a radio is on the air {story.duty_cycle:.2%} of the time."
        ),
        limits=LIMITS[:1].upper() + LIMITS[1:] + ".",
        command=_command(story),
        digest=story.city.world.digest,
        data=_data(story),
    )


def _svg(text: str) -> Markup:
    """Drawings are made of numbers and words of ours, so they need no escaping."""
    return Markup(text)  # noqa: S704 - see above


def _summary(story: Story) -> str:
    plan, layout = story.plan, story.city.layout
    gateways = f"{layout.gateways} gateway" + ("s" if layout.gateways > 1 else "")
    return (
        f"{plan.nodes} meters of {plan.profile} on {gateways}, the product's own mesh engine on "
        f"virtual time, a report a meter every 15 minutes. {story.affected} meters had their way "
        f"to a gateway through the dead."
    )


def _tiles(story: Story) -> list[dict[str, object]]:
    back = 1 - story.unhealed / story.affected if story.affected else 1.0
    after = {n: c for n, c in story.fates.items() if n >= 0}
    total = sum(sum(c.values()) for c in after.values())
    good = sum(c[Fate.IN_TIME] for c in after.values()) / max(1, total)
    healed_s = story.heal_s or [0.0]
    minutes = DEADLINE_US // 60_000_000
    return [
        {"value": f"{back:.1%}", "label": "of the affected back in 5 min", "good": back >= 0.99},
        {
            "value": f"{percentile(healed_s, 50):.1f} s",
            "label": "median from first try until back",
            "good": True,
        },
        {
            "value": f"{percentile(healed_s, 99):.1f} s",
            "label": "99th percentile",
            "good": percentile(healed_s, 99) <= 60,
        },
        {
            "value": f"{good:.2%}",
            "label": f"of the next hour's readings in {minutes} min",
            "good": good >= 0.998,
        },
        {
            "value": f"{story.stretch_after:.2f}",
            "label": f"path cost over the best ({story.stretch_before:.2f} before)",
            "good": story.stretch_after <= 1.15,
        },
    ]


def _map(story: Story, snapshot: Snapshot) -> dict[str, object]:
    layout = story.city.layout
    meters = range(layout.gateways, len(layout))
    living = [i for i in meters if snapshot.alive[i]]
    lost = sum(snapshot.hops[i] < 0 for i in living)
    note = f"{len(living)} alive, " + (f"{lost} without a way" if lost else "all have a way")
    drawn = drawing.street_map(layout, snapshot)
    return {"title": snapshot.title, "note": note, "svg": _svg(drawn)}


def _frames(story: Story) -> list[dict[str, object]]:
    most = max(story.frames_node_h.values(), default=1.0)
    return [
        {
            "name": name,
            "rate": f"{rate:.1f}",
            "width": round(100 * rate / most, 1),
            "kind": "data" if name in _DATA else "control",
            "what": _WHAT[name],
        }
        for name, rate in sorted(story.frames_node_h.items(), key=lambda item: -item[1])
    ]


def _command(story: Story) -> str:
    plan = story.plan
    return (
        f"ohmesh sim report --profile {plan.profile} --nodes {plan.nodes} "
        f"--seed {plan.seed} --fault {story.fault.value}"
    )


def _data(story: Story) -> Markup:
    """What the pointer asks for."""
    layout = story.city.layout
    maps = [
        {"parent": s.parent, "hops": s.hops, "alive": [int(a) for a in s.alive]}
        for s in story.snapshots
    ]
    held = {"gateways": layout.gateways, "places": drawing.places(layout), "maps": maps}
    return _svg(json.dumps(held, separators=(",", ":")))
