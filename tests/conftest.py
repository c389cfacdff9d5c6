"""What all tests share: real servers once a session, and nothing left behind by a test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from meter_sim.servers.broker import Broker
from meter_sim.servers.database import Database
from meter_sim.servers.timescaledb import TimescaleDatabase, installed

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TIMESCALE = ROOT / ".timescaledb"
FAREWELL_S = 10
"""What ends by itself has this long after a test; what does not is left behind."""
POOLS = ("asyncio_", "ThreadPoolExecutor", "AnyIO")
ORDER = ("architecture", "unit", "property", "simulation", "integration", "browser")

settings.register_profile("counts", deadline=None)  # counts decide, not the clock
settings.load_profile("counts")


def pytest_collection_modifyitems(items):
    """The pyramid's order: the quick and narrow first."""

    def rank(item):
        parts = Path(item.fspath).relative_to(ROOT / "tests").parts
        return ORDER.index(parts[0]) if parts[0] in ORDER else len(ORDER)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of captured telegrams and vectors beside the checkout; skip when absent."""
    if not SHARED.exists():
        pytest.skip("no ../shared beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def server_folder():
    """A folder that the database's user can reach, below /tmp; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ohmesh-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database(server_folder) -> Database:
    """One PostgreSQL for the session; a test makes its own database in it."""
    with Database(server_folder / "database") as server:
        yield server


@pytest.fixture(scope="session")
def shared_broker(server_folder) -> Broker:
    """One broker for tests that do not stop it; use ids of your own."""
    with Broker(server_folder / "shared-broker") as server:
        yield server


@pytest.fixture(scope="session")
def timescale() -> TimescaleDatabase:
    """One TimescaleDB for the session; tests that use it carry the marker `timescaledb`."""
    with TimescaleDatabase(TIMESCALE) as server:
        yield server


@pytest.fixture
def broker(tmp_path) -> Broker:
    """A broker of the test's own, to stop and start at will."""
    with Broker(tmp_path / "broker") as server:
        yield server


def _children() -> set[int]:
    """Process ids of our children; the kernel's list, since a scan of all processes is slow."""
    found: set[int] = set()
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that just ended
            found.update(int(pid) for pid in children.read_text().split())
    return found


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request):
    """A test that leaves a thread or a child process fails (session servers excepted)."""
    for name in ("database", "shared_broker", "timescale"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    if request.node.get_closest_marker("timescaledb"):  # asked for by a parameter, not by name
        request.getfixturevalue("timescale")
    threads, children = set(threading.enumerate()), _children()
    yield
    new = [one for one in set(threading.enumerate()) - threads if not one.name.startswith(POOLS)]
    for thread in new:  # such as the one in which Python 3.11 waits for a child
        thread.join(FAREWELL_S)
    left_threads = [thread.name for thread in new if thread.is_alive()]
    left_children = [
        psutil.Process(pid).cmdline()
        for pid in _children() - children
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]
    assert left_threads == []
    assert left_children == []


@pytest.fixture(autouse=True)
async def _leaves_no_task():
    """An asynchronous test that leaves a task running fails."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:  # the farewell of a generator that was left half-read ends by itself
        _, left = await asyncio.wait(left, timeout=FAREWELL_S)
    assert [task.get_name() for task in left] == []


def pytest_runtest_setup(item):
    """With CI=true what a test needs must be there: a skip would hide a missing install."""
    needs = {
        "browser": (Path("/usr/bin/chromium").exists(), "Debian's chromium"),
        "mosquitto": (Path("/usr/sbin/mosquitto").exists(), "Debian's mosquitto"),
        "timescaledb": (installed(TIMESCALE), "TimescaleDB (deploy/timescaledb/install.sh)"),
    }
    for marker, (there, what) in needs.items():
        if item.get_closest_marker(marker) and not there:
            verdict = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            verdict(f"{what} is not installed")
