import pytest

from firmware_profiles.cli import main as profiles
from gateway.cli import main as gateway
from headend.cli import main as headend
from meter_sim.cli import main as sim
from meter_sim.demo.cli import main as demo


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (demo, ["--unknown"]),
        (gateway, ["unknown"]),
        (headend, ["bootstrap"]),
        (profiles, []),
        (sim, ["roster", "--meters", "5001"]),
        (sim, ["roster", "--meters", "5", "--profile", "zz_nothing"]),
    ],
)
def test_wrong_use_is_one_line_and_rc_2(command, words, capsys):
    with pytest.raises(SystemExit) as left:
        command(words)
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
