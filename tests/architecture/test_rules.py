"""Rules that a machine can judge; import contracts stand in pyproject.toml."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("ohmesh", "firmware_profiles", "gateway", "headend", "meter_sim")
FILES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))
# Decision-making code: input and `now` in, decisions out.
PURE = (
    "ohmesh/mesh",
    "ohmesh/model",
    "ohmesh/tokens",
    "ohmesh/wire",
    "firmware_profiles",
    "headend/prepayment",
    "headend/security/roles.py",
    "headend/security/limits.py",
    "headend/security/guessing.py",
    "headend/security/audit.py",
    "headend/security/access_token.py",
    "headend/ingest/decode.py",
    "headend/outage",
    "headend/readsuccess",
    "headend/rollup",
    "headend/vee/edits.py",
    "headend/vee/estimate.py",
    "headend/vee/grid.py",
    "headend/vee/parts.py",
    "headend/vee/registers.py",
    "headend/vee/rules.py",
    "headend/vee/run.py",
    "headend/vee/shape.py",
    "meter_sim/city",
    "meter_sim/firmware.py",
    "meter_sim/meter.py",
    "meter_sim/supply.py",
    "meter_sim/tokenslot.py",
    "meter_sim/radio.py",
)
CLOCKS = {
    ("time", "time"),
    ("time", "monotonic"),
    ("time", "perf_counter"),
    ("time", "time_ns"),
    ("time", "monotonic_ns"),
    ("time", "sleep"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("os", "urandom"),
    ("uuid", "uuid4"),
    ("uuid", "uuid1"),
}
# A third-party client library and the one module per program that may import it.
CLIENTS = ("aiomqtt", "paho", "psycopg", "psycopg_pool", "apsw", "pymodbus", "serial_asyncio_fast")
STANDARD_ONLY = ("ohmesh/mesh", "ohmesh/model")


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def _runtime_imports(tree: ast.Module) -> set[str]:
    """Imports outside `if TYPE_CHECKING`: naming a library's type is not using the library."""
    body = [
        n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test))
    ]
    return _imports(ast.Module(body=body, type_ignores=[]))


def _calls(tree: ast.Module) -> list[tuple[str, str, int]]:
    return [
        (node.func.value.id, node.func.attr, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and not _is_seeded_generator(node)
    ]


def _is_seeded_generator(call: ast.Call) -> bool:
    """`random.Random(seed)`: a generator of one's own, the same in every run."""
    return ast.unparse(call.func) == "random.Random" and bool(call.args)


def _offenders(rule) -> dict[str, list]:
    """File -> what the rule finds there, for files where it finds something."""
    found = {_name(path): rule(path) for path in FILES}
    return {name: what for name, what in found.items() if what}


def test_decision_making_code_has_no_clock_and_no_randomness():
    def rule(path):
        if not _name(path).startswith(PURE) or path.name == "cli.py":
            return []
        calls = _calls(_tree(path))
        return [c for c in calls if c[:2] in CLOCKS or c[0] in {"random", "secrets"}]

    assert _offenders(rule) == {}


def test_only_the_command_line_prints():
    def rule(path):
        if path.name in {"cli.py", "__main__.py"}:
            return []
        return [
            node.lineno
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]

    assert _offenders(rule) == {}


def test_no_bare_create_task():
    """Tasks live in a TaskGroup, or have an owner that keeps and names them."""

    def rule(path):
        return [
            node.lineno
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func)
            in {"asyncio.create_task", "asyncio.ensure_future", "loop.create_task"}
        ]

    assert _offenders(rule) == {}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("room", ["gateway", "headend", "meter_sim"])
def test_a_client_library_has_one_importer_per_program(room, client):
    importers = [
        _name(p)
        for p in FILES
        if _name(p).startswith(f"{room}/") and client in _runtime_imports(_tree(p))
    ]
    assert len(importers) <= 1


def test_engine_and_model_need_the_standard_library_only():
    allowed = sys.stdlib_module_names | {"ohmesh"}

    def rule(path):
        if not _name(path).startswith(STANDARD_ONLY):
            return []
        return sorted(_imports(_tree(path)) - allowed)

    assert _offenders(rule) == {}


def test_the_rules_see_the_code():
    """A rule that looks at no file proves nothing."""
    names = [_name(p) for p in FILES]
    assert len(names) > 40
    missing = [
        prefix for prefix in PURE + STANDARD_ONLY if not any(n.startswith(prefix) for n in names)
    ]
    assert missing == []
