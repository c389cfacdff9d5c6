"""What the plugin's fixtures give: thin handles on real programs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from meter_sim.capture.telegrams import bench_record
from meter_sim.demo.audit import Audit
from meter_sim.demo.options import Options
from meter_sim.demo.stack import Stack
from meter_sim.scenario.model import Driver, Expect, Fleet, Scenario
from meter_sim.scenario.mouth import Mouth
from meter_sim.scenario.outcome import Key
from meter_sim.scenario.report import commit
from meter_sim.scenario.runner import gateways_of
from meter_sim.scenario.sources import build_fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from meter_sim.capture.record import Record

PATIENCE_S = 60.0
_POLL_S = 0.05
_HOUR_S = 3600


def default_scenario() -> Scenario:
    """Ten meters of two kinds on one gateway."""
    return Scenario(
        name="pytest",
        proves="what the tests prove",
        driver=Driver.FEED,
        fleet=Fleet(meters=10, gateways=1, profiles=["nl_dsmr", "de_sml"]),
        expect=[Expect(fact="read_success", equals=1)],
    )


def note_run(record_property: Any, scenario: Scenario) -> None:
    """Seed and commit for the JUnit file."""
    record_property("ohmesh_seed", str(scenario.seed))
    record_property("ohmesh_commit", commit())


class GatewayPart:
    """One gateway, a child process."""

    def __init__(self, name: str, stack: Stack) -> None:
        """Args: name: its name. stack: where it runs."""
        self.name = name
        self._stack = stack
        self.bench_port = stack.bench_ports[name]
        self._mouth = Mouth(name, self.bench_port, lambda *_: None)

    def feed(self, meter: str, profile: str, payload: bytes) -> None:
        """Give it a telegram; returns when it is in the outbox."""
        record = bench_record(meter, profile, payload, time.time_ns() // 1000)
        self.hear(record)
        self.finish()

    def hear(self, record: Record) -> None:
        """Give it a record; `finish` waits for the answer."""
        if not self._mouth.up:
            self._mouth.open()
        self._mouth.hear(record)

    def finish(self) -> None:
        """Wait until all is in the outbox."""
        self._mouth.finish(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self._stack.kill(self.name)
        self._mouth.shut()

    def restart(self) -> None:
        """Start it again."""
        self._stack.restart(self.name)

    def close(self) -> None:
        """Close our connection to it."""
        self._mouth.shut()


class FleetPart:
    """Simulated meters.

    Attributes:
        readings: everything they have said.
    """

    def __init__(self, headend: HeadEndPart, scenario: Scenario, prefix: str, folder: Path) -> None:
        """Args: prefix: of the meters' names, so that each test has its own."""
        self._headend = headend
        self._plan = scenario.fleet
        self._sources = build_fleet(scenario, folder).sources
        self._at_ms = round(scenario.fleet.start.timestamp() * 1000)
        for source in self._sources:
            source.meter = f"{prefix}{source.meter}"
            headend.register(source.meter, source.profile.spec.name, self._plan.interval_s)
        self.readings: dict[Key, Decimal] = {}

    @property
    def meters(self) -> list[str]:
        """Their names."""
        return [source.meter for source in self._sources]

    def speak(self, *, hours: float = 1) -> int:
        """Let the calendar go on; how many telegrams the gateways took."""
        intervals = round(hours * _HOUR_S / self._plan.interval_s)
        for _ in range(intervals):
            self._at_ms += self._plan.interval_s * 1000
            for number, source in enumerate(self._sources):
                source.pass_time(self._at_ms, dark=False)
                record, values = source.telegram(self._at_ms, self._at_ms)
                self.readings |= values
                self._headend.gateways[number % len(self._headend.gateways)].hear(record)
        for gateway in self._headend.gateways:
            gateway.finish()
        return intervals * len(self._sources)


class HeadEndPart:
    """The head-end and its gateways; a context manager."""

    def __init__(self, broker_url: str, database_url: str, scenario: Scenario) -> None:
        """Args: where they run, and how many gateways there are."""
        options = Options(
            meters=0,
            seed=scenario.seed,
            telegrams=None,
            serve=False,
            truth=None,
            database=database_url,
            broker=broker_url,
            quiet=True,
        )
        self._scenario = scenario
        outbox_bytes = scenario.fleet.outbox_bytes
        self._stack = Stack(options, gateways_of(scenario), mesh=False, outbox_bytes=outbox_bytes)
        self._fleets = 0
        self.gateways = [GatewayPart(name, self._stack) for name in self._stack.bench_ports]

    def __enter__(self) -> Self:
        try:
            self._stack.start()
            self._http = httpx.Client(
                base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=20
            )
            self.wait(self._ready)
            for gateway in self.gateways:
                self.post("/v1/gateways", {"gateway": gateway.name})
            self._audit = Audit(self._stack.audit_url)
        except BaseException:
            self._stack.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in self.gateways:
            gateway.close()
        self._audit.close()
        self._http.close()
        self._stack.stop()

    @property
    def url(self) -> str:
        """Address of the API and the dashboard."""
        return self._stack.api_url

    @property
    def token(self) -> str:
        """An API token."""
        return self._stack.token

    @property
    def token_file(self) -> Path:
        """Where that token stands."""
        return Path(self._stack.headend_settings["api"]["token_file"])

    def get(self, path: str, **query: Any) -> Any:
        """GET of the API. Raises httpx.HTTPStatusError."""
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST to the API. Raises httpx.HTTPStatusError."""
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def register(self, meter: str, profile: str, interval_s: int = 900) -> None:
        """Make a meter known."""
        self.post("/v1/meters", {"meter": meter, "profile": profile, "interval_s": interval_s})

    def new_fleet(self) -> FleetPart:
        """Meters with names of their own."""
        self._fleets += 1
        prefix = "" if self._fleets == 1 else f"T{self._fleets}-"
        return FleetPart(self, self._scenario, prefix, self._stack.folder)

    def stored(self, fleet: FleetPart) -> dict[Key, Decimal]:
        """What is stored of a fleet, once it is as much as it said; else what there is."""
        meters = set(fleet.meters)

        def look() -> dict[Key, Decimal]:
            found = ((Key(*key), value) for key, value in self._audit.readings().items())
            return {key: value for key, value in found if key.meter in meters}

        deadline = time.monotonic() + PATIENCE_S
        while len(found := look()) < len(fleet.readings) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return found

    def wait(self, true: Callable[[], bool]) -> None:
        """Poll for a state. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            self._stack.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {PATIENCE_S:g} s")
            time.sleep(_POLL_S)

    def _ready(self) -> bool:
        try:
            return self._http.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
