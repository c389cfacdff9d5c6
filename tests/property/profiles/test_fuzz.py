"""The fuzz targets: quickly on what is near their seeds; in `make soak` guided by coverage."""

import importlib.util
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FUZZ = ROOT / "fuzz"
RUNS = int(os.environ.get("OHMESH_FUZZ_RUNS", "200000"))
SECONDS = 120
MUTANTS = 60
CPU_MS_PER_KIB = 10
TRIES = 5
"""The machine may be busy: an input is slow when it is so each time."""


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGETS = loaded("targets").TARGETS
SEEDS = loaded("seeds")


def cpu_ms(target, octets):
    begin = time.process_time()
    target(octets)
    return (time.process_time() - begin) * 1000


def budget_ms(octets):
    return CPU_MS_PER_KIB * max(1, len(octets) / 1024)


def is_slow(target, octets):
    target(octets)  # the first call of a profile loads its data
    return all(cpu_ms(target, octets) > budget_ms(octets) for _ in range(TRIES))


def mutants(octets, count, chance):
    """Inputs near one: a few bytes changed, a part left out or doubled."""
    for _ in range(count):
        changed = bytearray(octets)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(changed) + 1)
            size = chance.randint(1, 8)
            changed[at : at + size] = chance.choice(
                (
                    b"",
                    changed[at : at + size] * 2,
                    chance.randbytes(size),
                    chance.choice((b"\x00", b"\xff", b"\x7f", b"\x80")) * size,
                )
            )
        yield bytes(changed)


def test_every_codec_has_a_target():
    codecs = ROOT / "firmware_profiles" / "codecs"
    helpers = {"ciphering", "clock", "crc", "cursor", "number", "units", "__init__"}
    rooms = {path.stem for path in codecs.iterdir() if not path.name.startswith("__py")} - helpers
    assert {room for room in rooms if not any(t.startswith(room) for t in TARGETS)} == set()


def test_every_profile_has_a_target():
    profiles = {path.parent.name for path in ROOT.glob("firmware_profiles/*/profile.toml")}
    assert {f"profile_{name}" for name in profiles} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_near_a_seed_ends_well_and_soon(name):
    chance = random.Random(name)
    target = TARGETS[name]
    for seed in (*SEEDS.KILLERS, *SEEDS.seeds().get(name, [])[:5]):
        for octets in (seed, *mutants(seed, MUTANTS, chance)):
            target(octets)
        assert not is_slow(target, seed)


@pytest.fixture(scope="session")
def fuzzer():
    """The interpreter that has atheris."""
    built = subprocess.run(
        ["sh", ROOT / "requirements" / "tools.sh", "fuzz"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"atheris cannot be installed here: {built.stderr[-200:]}")
    return built.stdout.strip()


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 4)
@pytest.mark.parametrize("name", TARGETS)
def test_a_guided_run_finds_nothing(name, fuzzer, tmp_path):
    corpus = tmp_path / "corpus"
    SEEDS.write(name, corpus)
    script = [fuzzer, FUZZ / "run.py", name, "--corpus", corpus]
    limits = ["--runs", str(RUNS), "--seconds", str(SECONDS)]
    done = subprocess.run(
        [*script, *limits], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    findings = [path.read_bytes().hex() for path in tmp_path.glob("*-*") if path.is_file()]
    assert (done.returncode, findings) == (0, []), done.stdout[-2000:] + done.stderr[-500:]
    slow = [p.name for p in corpus.iterdir() if is_slow(TARGETS[name], p.read_bytes())]
    assert slow == []
