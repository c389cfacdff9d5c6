"""The compiled copy of the simulator is the simulator: the same digests, radio by radio."""

import os
import shutil
import subprocess
import sys

import pytest

from meter_sim.city.bench.compiled import compile_copy

RUN = """
from meter_sim.city import fused
from meter_sim.city.build import MINUTE_US, SECOND_US, Radio, build_city
from meter_sim.city.profiles import PROFILES
print(fused.__file__.rsplit(".", 1)[1])
for radio in Radio:
    world = build_city(PROFILES["suburb-hard"], 30, 4, radio=radio).world
    world.boot_all(20 * SECOND_US)
    world.run(3 * MINUTE_US)
    world.start_reports()
    world.run(40 * MINUTE_US)
    world.kill(world.meters()[7])
    world.run(60 * MINUTE_US)
    print(world.digest, world.events)
"""


def run(home):
    environment = {**os.environ, "PYTHONPATH": str(home)} if home else dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split("\n")


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_seed_is_the_same_run_compiled(tmp_path):
    compile_copy(tmp_path / "fast")
    compiled, plain = run(tmp_path / "fast"), run(None)
    assert (compiled[0], plain[0]) == ("so", "py")
    assert compiled[1:] == plain[1:]
    assert len(plain) == 4
