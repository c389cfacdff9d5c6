"""A copy of the simulator with engine and radio compiled to machine code (mypyc): twice as fast.

    ohmesh bench mesh --compile DIR
    PYTHONPATH=DIR ohmesh sim experiment E1 --nodes 1000

It needs mypy, which development has, and a C compiler, which nobody else must have: so it is a
copy beside the installation and never part of it. The same modules run in both, and a seed gives
the same digest in both. After a change of the sources the copy is made anew. E18, which changes
constants and classes of the engine, runs in the installation only: a compiled one holds them fast.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ohmesh

_PACKAGES = ("ohmesh", "meter_sim", "firmware_profiles")
_RADIO = ("queue", "budget", "dice", "crowd", "world", "fused", "exact")
_LEFT_OUT = {"__init__.py", "sealing.py", "testing.py"}
"""Protocol classes are all that `sealing` has to say to the engine; `testing` is never hot."""


def compile_copy(target: Path) -> None:
    """Copy the packages and compile what a simulated hour spends its time in.

    Raises:
        subprocess.CalledProcessError: mypyc or the C compiler failed, and said why.
        FileExistsError: the directory is there already.
    """
    home = Path(ohmesh.__file__).parent.parent
    target.mkdir()
    for package in _PACKAGES:
        leave = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(home / package, target / package, ignore=leave)
    engine = (target / "ohmesh" / "mesh").glob("*.py")
    sources = sorted(path for path in engine if path.name not in _LEFT_OUT)
    sources += [target / "meter_sim" / "city" / f"{name}.py" for name in _RADIO]
    (target / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n", encoding="utf-8")
    names = [str(path.relative_to(target)) for path in sources]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-m", "mypyc", *names]
    subprocess.run(command, cwd=target, env=environment, check=True, stdout=sys.stderr)  # noqa: S603 - our own command
