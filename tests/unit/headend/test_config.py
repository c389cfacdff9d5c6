"""The configuration: what it prints it can read, and what is dangerous it refuses."""

from __future__ import annotations

import tomllib

import pytest

from headend import config
from ohmesh.model.errors import ConfigError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OHMESH_HEADEND__API__PORT", "OHMESH_HEADEND_SECRETS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path):
    def run(text):
        file = tmp_path / "headend.toml"
        file.write_text(text)
        return file

    return run


def test_the_printed_default_is_the_default(write):
    assert config.load(write(config.DEFAULT)).model_dump() == config.load(None).model_dump()


def test_every_setting_is_in_the_printed_default():
    """Commented out where it has no default."""
    lines = [line.removeprefix("# ") for line in config.DEFAULT.splitlines()]
    text = "\n".join(line for line in lines if line.startswith("[") or " = " in line[:30])
    printed = tomllib.loads(text)
    for section, field in config.Settings.model_fields.items():
        assert set(printed[section]) == set(field.annotation.model_fields)


def test_environment_goes_before_the_file_and_secrets_before_both(write, monkeypatch, tmp_path):
    file = write("[api]\nport = 1\n")
    assert config.load(file).api.port == 1
    monkeypatch.setenv("OHMESH_HEADEND__API__PORT", "2")
    assert config.load(file).api.port == 2
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "ohmesh_headend__api__port").write_text("3")
    monkeypatch.setenv("OHMESH_HEADEND_SECRETS", str(secrets))
    assert config.load(file).api.port == 3


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[api]\nport = 70000\n", "api.port"),
        ("[api]\nprot = 1\n", "api.prot"),
        ("[apy]\nport = 1\n", "apy"),
        ("[broker]\nclient_id = 'a/b'\n", "broker.client_id"),
        ("[api]\nhost = '0.0.0.0'\n", "not loopback"),
        ("[api]\nhost = '0.0.0.0'\ninsecure_listen = true\n", "token_file"),
        ("[api]\nhost = '::'\ntoken_file = 'x'\n", "tls_certificate_file"),
        ("[api\n", "headend.toml"),
    ],
)
def test_a_wrong_setting_is_named(write, text, wrong):
    with pytest.raises(ConfigError, match=wrong.replace(".", r"\.")):
        config.load(write(text))


@pytest.mark.parametrize(
    "text",
    [
        "host = '127.0.0.1'",
        "host = '::1'",
        "host = 'localhost'",
        "host = '0.0.0.0'\ntoken_file = 'x'\ninsecure_listen = true",
        "host = '10.0.0.1'\ntoken_file = 'x'\ntls_certificate_file = 'c'\ntls_key_file = 'k'",
    ],
)
def test_loopback_or_protected_is_accepted(write, text):
    config.load(write(f"[api]\n{text}\n"))


def test_a_missing_file_or_setting_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="no configuration file"):
        config.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="OHMESH_HEADEND__DATABASE__INGEST_URL"):
        config.required("", "database.ingest_url")


def test_addresses_with_passwords_are_never_shown(write):
    settings = config.load(write("[database]\ningest_url = 'postgresql://u:hush@h/d'\n"))
    assert "hush" not in repr(settings)
