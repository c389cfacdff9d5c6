import pytest

from firmware_profiles.cli import main as profiles
from gateway.cli import main as gateway
from headend.cli import main as headend
from meter_sim.cli import main as sim
from meter_sim.demo.cli import main as demo
from ohmesh import cli


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (demo, ["--unknown"]),
        (demo, ["--meters", "many"]),
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
    one_line(capsys)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gateway", "run", "--confg", "x"], "see ohmesh gateway run --help"),
        (["sim", "roster", "--meters", "5", "--foo"], "see ohmesh sim roster --help"),
        (["headend", "bootstrap", "--admin-url", "db", "--write", "x"], "is not postgresql://"),
        (["headend", "mqtt-config", "--write", "x", "--host", "a b"], "no host name"),
        (["headend", "read-success", "--last", "today"], "not a day such as"),
        (["bench", "ingest", "--profile", "nope"], "invalid choice: 'nope'"),
    ],
)
def test_the_command_that_was_misused_says_so(words, told, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2
    assert told in one_line(capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["headend", "bootstrap", "--admin-url", "postgresql://a@127.0.0.1:1/b", "--write", "{}"],
        ["headend", "mqtt-config", "--write", "{}/garbage/x", "--host", "mqtt.example"],
        ["headend", "approve", "--key", "{}/nothing", "--name", "anna", "close-breaker:1:1"],
        ["headend", "approve", "--key", "{}/garbage", "--name", "anna", "close-breaker:1:1"],
        ["headend", "approver", "--write", "{}/garbage/x"],
        [
            *["headend", "bootstrap", "--admin-url", "postgresql://a@127.0.0.1:1/b"],
            *["--write", "{}/garbage"],
        ],
        ["profiles", "conformance", "nl_dsmr", "--vectors", "{}/garbage"],
        ["check", "prepayment", "{}/garbage"],
        ["sim", "keys", "--roster", "{}/garbage", "--out", "{}/keys"],
        ["sim", "roster", "--meters", "5", "--interval", "0"],
        ["sim", "run", "any-one-node", "--report", "{}/nothing/run.html"],
        ["sim", "roster", "--meters", "5", "--speed", "-1"],
    ],
)
def test_what_is_no_such_file_is_told_in_one_line(words, tmp_path, capsys):
    (tmp_path / "garbage").write_bytes(b"\x96\xff{[\n" * 400)
    assert cli.main([word.format(tmp_path) for word in words]) in {1, 2}
    assert len(one_line(capsys)) < 400


def test_groups_of_commands_list_themselves(capsys):
    assert cli.main(["bench", "--help"]) == 0
    listed = capsys.readouterr().out
    assert "ohmesh bench ingest\n" in listed
    assert "ohmesh demo\n" not in listed


def test_examples_are_printed_as_they_are_written(capsys):
    with pytest.raises(SystemExit):
        cli.main(["headend", "restore", "--help"])
    example = "restore ohmesh.dump --admin-url postgresql://postgres@127.0.0.1/postgres --config"
    assert example in capsys.readouterr().out


def one_line(capsys):
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err
