from __future__ import annotations

import pytest

from meter_sim.scenario.model import Driver, span_s
from meter_sim.scenario.parse import load_scenario, parse_scenario, shipped_names
from ohmesh.model.errors import ConfigError

GOOD = """\
name = "mine"
proves = "something"
driver = "feed"

[fleet]
meters = 4
lasts = "2h30min"

[[load]]
kind = "pv"
share_percent = 50

[[fault]]
what = "corrupt"
percent = 10
at = "1h"
lasts = "30min"

[[fault]]
what = "gateway"
gateway = "gw2"

[[expect]]
fact = "readings_stored"
equals = "readings_expected"
"""


def test_a_good_file_is_read():
    scenario = parse_scenario(GOOD, "mine.toml")
    assert scenario.driver is Driver.FEED
    assert span_s(scenario.fleet.lasts) == 9000
    assert [fault.what.value for fault in scenario.fault] == ["corrupt", "gateway"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("meters = 4", "meter = 4", "mine.toml:6: 'meter' in [fleet]: did you mean 'meters'?"),
        ("proves", "prooves", "mine.toml:2: 'prooves' at the top: did you mean 'proves'?"),
        ("percent = 10", "percnt = 10", "mine.toml:15: 'percnt' in [[fault]]"),
        ("meters = 4", 'meters = "4"', "mine.toml:6: meters: expected `int`, got `str`"),
        ("meters = 4", "meters = 0", "mine.toml:6: meters: "),
        ('what = "gateway"', 'what = "gatway"', "mine.toml:20: what: "),
        ('what = "gateway"', 'what = "gatway"', "did you mean 'gateway'?"),
        ('"gw2"', '"gw3"', "mine.toml:21: no gateway 'gw3'; there are gw1, gw2"),
        ("percent = 10\n", "", "mine.toml:13: 'corrupt' needs percent"),
        ('at = "1h"', "times = 3", "mine.toml:16: 'corrupt' has no times"),
        ('at = "1h"', 'at = "9h"', "mine.toml:16: 9h is after the end"),
        ('what = "gateway"', 'what = "zz"', "invalid enum value 'zz'; known are kill_node, "),
        ('"2h30min"', '"2 hours"', "mine.toml:7: lasts: write a stretch of time such as 90min"),
        ("share_percent = 50", "peak_w = 1", "mine.toml:10: give either share_percent or meters"),
        (
            '"readings_stored"',
            '"reading_stored"',
            "mine.toml:24: no fact 'reading_stored': did you",
        ),
        ('equals = "readings_expected"', "", "mine.toml:24: readings_stored: give equals"),
        ('driver = "feed"', 'driver = "street"', "loads are for the driver 'feed'"),
        ("[fleet]", "[fleet", "mine.toml:5: no TOML"),
        ("[fleet]", '[fleet]\nprofiles = ["xx"]', "mine.toml:6: no profile 'xx'"),
        ('what = "corrupt"\npercent = 10', 'what = "event"', "mine.toml:13: 'event' needs event"),
        (
            'what = "corrupt"\npercent = 10',
            'what = "event"\nevent = "magnet"',
            "mine.toml:15: events travel under a seal: give the fleet sealed = true",
        ),
        (
            'what = "corrupt"\npercent = 10',
            'what = "stuck_relay"',
            "mine.toml:14: 'stuck_relay' is for the driver stack",
        ),
        ('kind = "pv"', 'kind = "pv"\nregion = "DE"', "mine.toml:11: 'pv' has no region"),
        ("[fleet]", "[fleeet]", "mine.toml:5: 'fleeet' at the top: did you mean 'fleet'?"),
    ],
)
def test_typos_are_told_with_line_and_nearest_word(old, new, told):
    assert old in GOOD
    with pytest.raises(ConfigError) as refused:
        parse_scenario(GOOD.replace(old, new, 1), "mine.toml")
    assert told.replace("[[fault]]", "[fault]") in str(refused.value)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_scenarios_are_named_after_themselves_and_read(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.proves.endswith(".")


def test_twenty_are_shipped_and_a_wrong_name_gets_the_nearest():
    assert len(shipped_names()) >= 20
    with pytest.raises(ConfigError, match="did you mean 'any-one-node'"):
        load_scenario("any-one-nod")


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90min", 5400), ("1d2h3min4s", 93_784), ("7d", 604_800)]
)
def test_spans(text, seconds):
    assert span_s(text) == seconds
