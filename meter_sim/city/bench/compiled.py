"""A copy of the simulator with engine and radio compiled to machine code (mypyc): twice as fast.

    ohmesh bench mesh --compile DIR
    PYTHONPATH=DIR ohmesh sim experiment E1 --nodes 1000

It needs mypy, which development has, and a C compiler, which nobody else must have: so it is a
copy beside the installation and never part of it. The same modules run in both, and a seed gives
the same digest in both. After a change of the sources the copy is made anew. E18, which changes
constants and classes of the engine, runs in the installation only: a compiled one holds them fast.

What `dataclass` makes at run time no compiler sees: building a frozen value costs thirty times a
plain one. So in the copy every dataclass gets the `__init__` it would have had, written out; and
every constant of a module is declared final, which saves looking it up by name.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ohmesh

_PACKAGES = ("ohmesh", "meter_sim", "firmware_profiles")
_CITY = [
    "queue",
    "budget",
    "dice",
    "reports",
    "sizes",
    "ledger",
    "crowd",
    "world",
    "fused",
    "exact",
]
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
    sources += [target / "meter_sim" / "city" / f"{name}.py" for name in _CITY]
    sources.append(target / "meter_sim" / "coin.py")
    (target / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n", encoding="utf-8")
    for path in sources:
        path.write_text(prepared(path.read_text(encoding="utf-8")), encoding="utf-8")
    names = [str(path.relative_to(target)) for path in sources]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-m", "mypyc", *names]
    subprocess.run(command, cwd=target, env=environment, check=True, stdout=sys.stderr)  # noqa: S603 - our own command


def prepared(source: str) -> str:
    """A module as the compiler likes it: dataclasses written out, constants final."""
    module = ast.parse(source)
    for place, node in enumerate(module.body):
        if isinstance(node, ast.ClassDef):
            _write_init(node)
        elif isinstance(node, ast.Assign):
            module.body[place] = _final(node)
    first = next(place for place, node in enumerate(module.body) if not _is_head(node))
    module.body[first:first] = ast.parse("from typing import Final").body
    return ast.unparse(module)


def _is_head(node: ast.stmt) -> bool:
    """Whether a statement is the docstring or an import from the future."""
    return isinstance(node, ast.Expr) or getattr(node, "module", "") == "__future__"


def _final(node: ast.Assign) -> ast.stmt:
    """An assignment to one name in capitals, as the definition of a constant."""
    name = node.targets[0]
    if len(node.targets) > 1 or not isinstance(name, ast.Name) or not name.id.isupper():
        return node
    return ast.AnnAssign(name, ast.Name("Final"), node.value, simple=1)


def _write_init(node: ast.ClassDef) -> None:
    """Give a dataclass its `__init__`, unless it does more than keep what it is given."""
    decorator = next(iter(node.decorator_list), None)
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "dataclass":
        return
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    own = any(isinstance(part, ast.FunctionDef) and "init" in part.name for part in node.body)
    if own or any(isinstance(field.value, ast.Call) for field in fields):
        return
    star = "*, " if any(keyword.arg == "kw_only" for keyword in decorator.keywords) else ""
    parameters = ", ".join(ast.unparse(field) for field in fields)
    lines = [f"def __init__(self, {star}{parameters}) -> None:", " pass"]
    lines += [f" self.{name} = {name}" for name in (ast.unparse(field.target) for field in fields)]
    node.body += ast.parse("\n".join(lines)).body
    for field in fields:
        field.value = None
    for keyword in decorator.keywords:
        keyword.arg = {"frozen": "unsafe_hash"}.get(keyword.arg or "", keyword.arg)
    decorator.keywords.append(ast.keyword("init", ast.Constant(value=False)))
