"""The pytest plugin `ohmesh`: a whole stack on embedded servers and free ports, by fixture.

    def test_my_integration(headend, fleet):
        fleet.speak(hours=6)
        assert headend.stored(fleet) == fleet.readings

`broker` and `database` are servers alone; `headend` and `gateway` are the real programs on them;
`fleet` are simulated meters, registered and ready to speak through the gateways. All but `fleet`
live as long as the session. `--ohmesh-scenario FILE` says how many meters and gateways there are,
what they speak and with which seed; `scenario_result` runs that scenario and judges it. Each is
also there as `ohmesh_broker` and so on, for suites that have fixtures of the short names.

Nothing heavy is imported before a fixture is asked for.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meter_sim.pytest_plugin.parts import FleetPart, GatewayPart, HeadEndPart
    from meter_sim.scenario.model import Scenario
    from meter_sim.scenario.runner import Result
    from meter_sim.servers.broker import Broker
    from meter_sim.servers.database import Database


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--ohmesh-scenario`."""
    parser.getgroup("ohmesh", "smart metering").addoption(
        "--ohmesh-scenario",
        metavar="NAME|FILE",
        help="the scenario that fleet, gateways and seed are taken from; scenario_result runs it",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A scenario that cannot be read ends the run at once, in one line."""
    name = config.getoption("--ohmesh-scenario")
    if not name:
        return
    from meter_sim.scenario.parse import load_scenario  # noqa: PLC0415 - see the module
    from ohmesh.model.errors import ConfigError  # noqa: PLC0415 - see the module

    try:
        load_scenario(str(name))
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def ohmesh_scenario(request: pytest.FixtureRequest) -> Scenario:
    """The scenario of `--ohmesh-scenario`; without the option ten meters and one gateway."""
    from meter_sim.pytest_plugin.parts import default_scenario  # noqa: PLC0415 - see the module
    from meter_sim.scenario.parse import load_scenario  # noqa: PLC0415 - see the module

    name = request.config.getoption("--ohmesh-scenario")
    return load_scenario(str(name)) if name else default_scenario()


@pytest.fixture(scope="session")
def ohmesh_folder() -> Iterator[Path]:
    """A folder that the database's user can reach; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ohmesh-pytest-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ohmesh_broker(ohmesh_folder: Path) -> Iterator[Broker]:
    """An MQTT 5 broker; `broker.url`."""
    from meter_sim.servers.broker import Broker  # noqa: PLC0415 - see the module

    with Broker(ohmesh_folder / "broker") as server:
        yield server


@pytest.fixture(scope="session")
def ohmesh_database(ohmesh_folder: Path) -> Iterator[Database]:
    """A PostgreSQL; `database.admin_url`."""
    from meter_sim.servers.database import Database  # noqa: PLC0415 - see the module

    with Database(ohmesh_folder / "database") as server:
        yield server


@pytest.fixture(scope="session")
def ohmesh_headend(
    ohmesh_broker: Broker,
    ohmesh_database: Database,
    ohmesh_scenario: Scenario,
    record_testsuite_property: object,
) -> Iterator[HeadEndPart]:
    """The head-end with its gateways, as child processes: `url`, `token`, `get`, `stored`."""
    from meter_sim.pytest_plugin.parts import HeadEndPart, note_run  # noqa: PLC0415 - see the module

    note_run(record_testsuite_property, ohmesh_scenario)
    with HeadEndPart(ohmesh_broker.url, ohmesh_database.admin_url, ohmesh_scenario) as part:
        yield part


@pytest.fixture(scope="session")
def ohmesh_gateway(ohmesh_headend: HeadEndPart) -> GatewayPart:
    """The first gateway: `name`, `bench_port`, `feed`, `kill`, `restart`."""
    return ohmesh_headend.gateways[0]


@pytest.fixture
def ohmesh_fleet(ohmesh_headend: HeadEndPart) -> FleetPart:
    """Simulated meters of this test's own, registered: `meters`, `speak`, `readings`."""
    return ohmesh_headend.new_fleet()


# The short names; a suite that has fixtures of these names keeps its own, and nothing breaks.


@pytest.fixture(scope="session")
def broker(ohmesh_broker: Broker) -> Broker:
    """`ohmesh_broker`."""
    return ohmesh_broker


@pytest.fixture(scope="session")
def database(ohmesh_database: Database) -> Database:
    """`ohmesh_database`."""
    return ohmesh_database


@pytest.fixture(scope="session")
def headend(ohmesh_headend: HeadEndPart) -> HeadEndPart:
    """`ohmesh_headend`."""
    return ohmesh_headend


@pytest.fixture(scope="session")
def gateway(ohmesh_gateway: GatewayPart) -> GatewayPart:
    """`ohmesh_gateway`."""
    return ohmesh_gateway


@pytest.fixture
def fleet(ohmesh_fleet: FleetPart) -> FleetPart:
    """`ohmesh_fleet`."""
    return ohmesh_fleet


@pytest.fixture(scope="session")
def scenario_result(ohmesh_scenario: Scenario, request: pytest.FixtureRequest) -> Result:
    """The scenario, run once on servers of its own; `passed`, `verdicts`, `outcome`."""
    from meter_sim.scenario.runner import run_scenario  # noqa: PLC0415 - see the module

    name = request.config.getoption("--ohmesh-scenario")
    folder = Path(str(name)).parent if name else Path()
    return run_scenario(ohmesh_scenario, folder=folder)
