"""The API in several processes behind one port: what one process promises, all of them keep."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pytest
from api_site import READER
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families
from test_stream import happen

from headend.api.metrics import COUNTS
from headend.security import ca
from meter_sim.servers.process import free_port, spawn, stop, wait_until

WORKERS = 2
YEARS = range(1900, 2900, 15)
WORDS = [
    quote(word * 50)
    for word in ("%00", "\u202e", "\ufdfa", "a\u0301", "'; drop--", "{{7*7}}", "\U0001f4a9")
]
LINK = re.compile(r"/setup\?link=")


class Programs:
    """A supervisor and the processes that it has started."""

    def __init__(self, process, url, log, token, trusted):
        self.process, self.url, self.log, self.token = process, url, log, token
        self._trusted = trusted

    @property
    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return sorted((one for one in children if one.is_running()), key=lambda one: one.pid)

    def serving(self) -> set[int]:
        """Processes that have said that they serve."""
        said = re.findall(r"Started server process \[(\d+)]", self.log.read_text())
        return set(map(int, said))

    def get(self, path, token="") -> httpx.Response:
        """On a connection of its own, so that the kernel may give it to any process."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        transport = httpx.HTTPTransport(verify=self._trusted)  # made once: it costs 0.1 s
        with httpx.Client(transport=transport, headers=headers, timeout=60) as client:
            return client.get(self.url + path)


def _certified(folder, authority):
    """Settings for a certificate of 127.0.0.1."""
    key, certificate, secret = ca.new_key(), folder / "server.crt", folder / "server.key"
    issued = authority.issue(
        ca.request(key, "api"),
        "api",
        datetime.now(UTC),
        use=ca.Use.SERVER,
        hosts=("127.0.0.1",),
    )
    certificate.write_bytes(ca.pem(issued))
    secret.write_bytes(ca.key_pem(key))
    return {
        "OHMESH_HEADEND__API__TLS_CERTIFICATE_FILE": str(certificate),
        "OHMESH_HEADEND__API__TLS_KEY_FILE": str(secret),
    }


@contextmanager
def running(site, headend_base, folder, *, requests_per_s=500, authority=None):
    """The programs; over TLS when there is an authority to issue their certificate."""
    _, secrets = headend_base
    port, file, log = free_port(), folder / "headend.toml", folder / "log"
    text = (secrets / "headend.toml").read_text().replace("port = 8080", f"port = {port}")
    name = site.admin_url.rpartition("/")[2]
    file.write_text(text.replace("/headend_base", f"/{name}"))
    command = [sys.executable, "-m", "ohmesh", "headend", "api", "--config", file]
    with log.open("wb") as stream:
        process = spawn(
            [*command, "--workers", str(WORKERS)],
            log=stream,
            env={
                "OHMESH_HEADEND__API__REQUESTS_PER_S": str(requests_per_s),
                **(_certified(folder, authority) if authority else {}),
            },
        )
    url = f"http{'s' if authority else ''}://127.0.0.1:{port}"
    trusted = ssl.create_default_context(cadata=authority.pem.decode()) if authority else False
    programs = Programs(process, url, log, (secrets / "api-token").read_text().strip(), trusted)
    try:
        wait_until(lambda: len(programs.serving()) == WORKERS, process, log, limit_s=120)
        yield programs
    finally:
        stop(process, sig=signal.SIGKILL)


@pytest.fixture(scope="module")
def programs(own_site, headend_base, tmp_path_factory):
    with running(own_site, headend_base, tmp_path_factory.mktemp("workers")) as made:
        yield made
        workers = made.workers
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(60) == 0
        assert not psutil.wait_procs(workers, timeout=60)[1]


def test_all_answer_and_their_counts_are_added_up(programs):
    assert {one.pid for one in programs.workers} == programs.serving()
    for _ in range(40):
        assert programs.get("/v1/meters/M0001").status_code == 200
    shares = [_counted_by(one) for one in programs.workers]
    assert sum(shares) == 40
    assert min(shares) > 0, "one idled"
    for _ in range(5):
        assert _answered(programs) == 40


def _counted_by(worker):
    """Requests that one process alone has counted, in its own file."""
    folder = Path(worker.environ()[COUNTS])
    lines = MmapedDict.read_all_values_from_file(folder / f"counter_{worker.pid}.db")
    return sum(value for key, value, *_ in lines if "get_meter" in json.loads(key)[2].values())


def _answered(programs):
    found = text_string_to_metric_families(programs.get("/metrics").text)
    requests = next(one for one in found if one.name == "ohmesh_headend_http_requests")
    return sum(s.value for s in requests.samples if s.labels.get("operation") == "get_meter")


def test_the_first_link_is_printed_once(programs):
    assert len(LINK.findall(programs.log.read_text())) == 1


async def test_a_stream_goes_on_at_any_process(programs, own_site):
    """Eight listeners come back with the same number, wherever they land, and miss nothing."""
    numbers = [happen(own_site, f"any{n}") for n in range(4)]
    headers = {"Authorization": f"Bearer {programs.token}", "Last-Event-ID": str(numbers[0])}

    async def heard() -> list[int]:
        found: list[int] = []
        url = f"{programs.url}/v1/stream"
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            async for line in answer.aiter_lines():
                found += [int(line[4:])] if line.startswith("id: ") else []
                if len(found) == 3:
                    return found
        return found

    assert await asyncio.gather(*(heard() for _ in range(8))) == [numbers[1:]] * 8


def test_cursors_and_keys_of_one_hold_at_another(programs):
    pages, path = [], "/v1/meters?page_size=7"
    while path:
        page = programs.get(path).json()
        pages += [one["meter"] for one in page["items"]]
        path = page["next"] and f"/v1/meters?page_size=7&cursor={page['next']}"
    assert len(pages) == len(set(pages)) > 30
    headers = {"Authorization": f"Bearer {programs.token}", "Idempotency-Key": "workers-1"}
    url = f"{programs.url}/v1/gateways"
    answers = [
        httpx.post(url, headers=headers, json={"gateway": "gw-w"}, timeout=60) for _ in range(8)
    ]
    assert len({one.content for one in answers}) == 1
    assert sum("idempotent-replayed" not in one.headers for one in answers) == 1


def test_a_killed_process_is_started_again_and_nobody_is_turned_away(programs):
    killed = programs.workers[0]
    killed.kill()
    answers = [programs.get("/v1/meters/M0001").status_code for _ in range(30)]
    assert answers == [200] * 30
    wait_until(
        lambda: len({one.pid for one in programs.workers} & programs.serving()) == WORKERS,
        programs.process,
        programs.log,
    )
    assert killed.pid not in {one.pid for one in programs.workers}
    assert _answered(programs) == 70, "what the killed one had counted still counts"


@pytest.mark.parametrize("words", [("api", "--workers", "2"), ("serve",)])
def test_a_second_head_end_on_the_port_is_refused(programs, words):
    """Before it does anything: no link for the first administrator, no broker's session."""
    file = programs.log.with_name("headend.toml")
    command = (sys.executable, "-m", "ohmesh", "headend", *words, "--config", file)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert (
        f"cannot listen on {programs.url.removeprefix('http://')}: Address already" in ended.stderr
    )
    assert len(ended.stderr.splitlines()) == 1


CSV = "/v1/readings?period_from={}-01-01T00:00:00Z&period_to={}-01-01T00:00:00Z&format="
HOSTILE = (
    *("/v1/meters?page_size=1000&prefix=" + "M" * n for n in range(1, 31)),
    *(f"/v1/meters/M0001/readings?page_size=10000&period_from={y}-01-01T00:00:00Z" for y in YEARS),
    *(
        f"/v1/readings?format=csv&period_from={y}-01-01T00:00:00Z&period_to={y + 9}-01-01T00:00:00Z"
        for y in YEARS
    ),
    *(
        "/v1/readings?format=parquet&period_from=2026-01-01T00:00:00Z&period_to=2026-02-01T00:00:00Z"
        + "".join(f"&meter=M{i:04d}" for i in range(n))
        for n in range(10, 200, 10)
    ),
    *(f"/v1/events?kind={word}" for word in WORDS),
    *(f"/v1/meters?cursor={word}" for word in WORDS),
    *(f"/v1/meters/{word}" for word in WORDS),
)


def test_hostile_but_valid_questions_cost_no_memory_and_stop_nobody(programs):
    """A5: 200 of them, four at a time; meanwhile an ordinary question is answered each time."""
    before = [one.memory_info().rss for one in programs.workers]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda path: programs.get(path).status_code, HOSTILE[:200]))
        between = [programs.get("/v1/meters/M0001").status_code for _ in range(20)]
    assert len(answers) == 200
    assert {code for code in answers if code >= 500} == set()
    assert between == [200] * 20
    after = [one.memory_info().rss for one in programs.workers]
    assert max(b - a for a, b in zip(before, after, strict=True)) < 100 * 2**20
    file = programs.log.read_text()
    assert "Traceback" not in file
    assert programs.token not in file


def test_shares_are_one_and_a_killed_supervisor_leaves_nobody(own_site, headend_base, tmp_path):
    """One key's burst is its burst, not one in each process; all of them speak TLS."""
    burst = 20
    authority = ca.Authority.create("test", datetime.now(UTC))
    more = {"requests_per_s": burst / 2, "authority": authority}
    with running(own_site, headend_base, tmp_path, **more) as programs:
        with pytest.raises(httpx.HTTPError):
            httpx.get(programs.url.replace("https", "http"), timeout=60)
        began = time.monotonic()
        codes = [programs.get("/v1/me", READER).status_code for _ in range(3 * burst)]
        most = burst + burst / 2 * (time.monotonic() - began)
        assert burst <= codes.count(200) <= most
        assert set(codes) == {200, 429}
        workers = programs.workers
        programs.process.kill()
        assert not psutil.wait_procs(workers, timeout=60)[1]
