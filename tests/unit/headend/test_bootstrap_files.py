"""`bootstrap` again, on a configuration that somebody has edited since."""

from __future__ import annotations

import pytest

from headend import config
from headend.store import bootstrap
from ohmesh.model.errors import ConfigError


@pytest.fixture
def again(tmp_path):
    file = tmp_path / "headend.toml"

    def write(host, broker="mqtt://127.0.0.1:1883"):
        urls = {role: f"postgresql://ohmesh_{role}:pw@{host}/ohmesh" for role in bootstrap.ROLES}
        bootstrap._write_files(file, urls, broker, 8080, open_reads=False)
        return file

    return write


def test_an_existing_file_keeps_everything_but_the_database(again):
    file = again("one")
    secrets = {name: file.with_name(name).read_text() for name in ("kek", "gate.key", "api-token")}
    text = file.read_text().replace("mqtt://127.0.0.1:1883", "mqtts://broker.example")
    file.write_text(text.replace("requests_per_s = 500", "requests_per_s = 7"))
    before = config.load(file)
    after = config.load(again("two"))
    assert after.database.api_url == "postgresql://ohmesh_api:pw@two/ohmesh"
    assert after.model_dump(exclude={"database"}) == before.model_dump(exclude={"database"})
    assert after.broker.url == "mqtts://broker.example"
    assert after.api.requests_per_s == 7
    assert {name: file.with_name(name).read_text() for name in secrets} == secrets


def test_the_default_configuration_is_filled_in(again, tmp_path):
    (tmp_path / "headend.toml").write_text(config.DEFAULT)
    found = config.load(again("one", "mqtt://other:1884"))
    assert found.database.owner_url == "postgresql://ohmesh_owner:pw@one/ohmesh"
    assert found.broker.url == "mqtt://other:1884"
    assert found.secrets.kek_file == tmp_path / "kek"


def test_a_wrong_broker_is_told_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match="a broker's address is"):
        bootstrap.bootstrap(
            "postgresql://127.0.0.1:1/none",
            database="x",
            file=tmp_path / "headend.toml",
            broker_url="bar",
            api_port=8080,
        )
    assert list(tmp_path.iterdir()) == []
