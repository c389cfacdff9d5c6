from __future__ import annotations

import re
import tomllib

import pytest

from gateway import cli, config
from gateway.field import KINDS
from ohmesh.model.errors import ConfigError
from ohmesh.program import settings


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("OHMESH_GATEWAY_SECRETS", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def test_the_printed_default_is_the_default(written, capsys):
    assert cli.main(["config"]) == 0
    printed = capsys.readouterr().out
    assert config.load(written(printed)).model_dump() == config.load(None).model_dump()


def test_the_printed_default_names_every_setting(capsys):
    cli.main(["config"])
    printed = tomllib.loads(capsys.readouterr().out)
    expected = config.load(None).model_dump()
    assert printed.keys() | set(KINDS) == expected.keys()
    for section, fields in expected.items():
        if isinstance(fields, dict):
            written = {name for name, value in fields.items() if value is not None}
            assert printed[section].keys() == written


def test_the_printed_examples_of_field_sources_are_sound_and_whole(capsys, written):
    cli.main(["config"])
    lines = capsys.readouterr().out.partition("# Field sources")[2].splitlines()
    examples = [line[2:] for line in lines if re.match(r"# (\[\[|\w+ = )", line)]
    whole = {"p1", "optical", "modbus", "mbus", "dlms", "han"}
    text = (
        "\n".join(examples).replace("[[sml]]", "").replace("[[readout]]", "").replace("[[tic]]", "")
    )
    found = config.load(written(text))
    assert {kind for kind in KINDS if getattr(found, kind)} == whole
    for kind in whole:
        (section,) = getattr(found, kind)
        assert set(type(section).model_fields) - {"mode"} <= section.model_fields_set, kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[p1]]\nname='a'\nline='x'\nmeterr='M'", "did you mean meter?"),
        ("[[p1]]\nname='a'\nline='x'\nmeter='M'\nbaud=12345", "p1.0.baud"),
        ("[[p1]]\nname='a'\nline='tcp://x'\nmeter='M'", "p1 a: 'tcp://x' is not tcp://host:port"),
        ("[[p1]]\nname='a'\nline='x'\nmeter='M'\n[[sml]]\nname='a'\nline='y'\nmeter='M'", "twice"),
        ("[[modbus]]\nname='b'\nline='x'\nmeters=[{units='1-x',map='eastron_sdm'}]", "1-40,45"),
        ("[[modbus]]\nname='b'\nline='x'\nmeters=[{units='1-300',map='eastron_sdm'}]", "1 to 247"),
        ("[[modbus]]\nname='b'\nline='x'\nmeters=[{units='1',map='eastern'}]", "eastron_sdm"),
        ("[[mbus]]\nname='b'\nline='x'\nmeters=['251']", "0 to 250"),
        ("[[dlms]]\nname='b'\nline='x'\nmeter='M'\nobjects=['energy']", "dlms.0.objects.0"),
    ],
)
def test_a_wrong_source_is_refused_by_name(written, text, message):
    with pytest.raises(ConfigError) as caught:
        config.load(written(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_then_environment_then_secrets(written, tmp_path, monkeypatch):
    path = written(
        'gateway = "a"\n[broker]\nurl = "mqtt://file:1"\n[uplink]\nbatch_telegrams = 7\n'
    )
    assert config.load(path).broker_url.host == "file"
    monkeypatch.setenv("OHMESH_GATEWAY__BROKER__URL", "mqtt://environment:2")
    assert config.load(path).broker_url.host == "environment"
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "ohmesh_gateway__broker__url").write_text("mqtt://u:p@secret:3")
    (secrets / "somebody_elses").write_text("x")
    monkeypatch.setenv("OHMESH_GATEWAY_SECRETS", str(secrets))
    loaded = config.load(path)
    assert (loaded.broker_url.host, loaded.broker_url.password) == ("secret", "p")
    assert loaded.uplink.batch_telegrams == 7
    assert loaded.gateway == "a"


def test_a_secrets_folder_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("OHMESH_GATEWAY_SECRETS", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"OHMESH_GATEWAY_SECRETS names .*absent.*; make it"):
        config.load(None)


def test_a_folder_and_a_file_that_is_no_text_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="is a folder; name the configuration file in it"):
        config.load(tmp_path)
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(ConfigError, match="not a text file; 'ohmesh gateway config' prints"):
        config.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[broker]\nurll = 'x'", "broker.urll: there is no such setting; did you mean url?"),
        ("[brokr]\nurl = 'x'", "brokr: there is no such setting; did you mean broker?"),
        ("[mesh]\nnode = 0", "mesh.node: "),
        ("[mesh]\ntimer_divisor = 21", "mesh.timer_divisor: "),
        ("gateway = 'a/b'", "gateway: it takes 1 to 64 characters, each of A-Za-z0-9_-"),
        ("[log]\nlevel = 'loud'", "log.level: it is none of debug, info, warning, error"),
        ("[p1]\nname = 'a'", "p1: it may stand there more than once: write [[p1]]"),
        ("[broker]\nurl = 'http://x'", "broker.url: "),
        ("[mesh]\nair_url = 'x'", "mesh.air_url: "),
        ("[uplink]\nbatch_telegrams = 100000", "uplink.batch_telegrams: "),
        ("[broker\n", "gateway.toml: "),
    ],
)
def test_a_wrong_setting_is_refused_by_name(written, text, message):
    with pytest.raises(ConfigError) as caught:
        config.load(written(text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OHMESH_GATEWAY__BROKR__URL", "did you mean broker?"),
        ("OHMESH_GATEWAY__BROKER__URLL", "broker.urll"),
    ],
)
def test_a_wrong_name_in_the_environment_is_refused(monkeypatch, name, message):
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError) as caught:
        config.load(None)
    assert message in str(caught.value)


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="there is no configuration file"):
        config.load(tmp_path / "absent.toml")


def test_passwords_are_not_shown(monkeypatch):
    monkeypatch.setenv("OHMESH_GATEWAY__BROKER__URL", "mqtt://u:hunter2@h:1")
    assert "hunter2" not in repr(config.load(None))
    monkeypatch.setenv("OHMESH_GATEWAY__BROKER__URL", "mqtt://u:hunter2@h:x")
    with pytest.raises(ConfigError) as caught:
        config.load(None)
    assert "hunter2" not in str(caught.value)


def test_nothing_listens_off_loopback_by_default():
    assert settings.is_loopback(config.load(None).bench.host)
    assert not config.load(None).bench.enabled
    assert settings.is_loopback("::1")
    assert not settings.is_loopback("0.0.0.0")
    assert not settings.is_loopback("example.org")


@pytest.mark.parametrize(
    ("argv", "command"), [([], ""), (["fly"], ""), (["run", "--nonsense"], " run")]
)
def test_wrong_use_exits_2(argv, command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert f"see ohmesh gateway{command} --help" in capsys.readouterr().err
