"""The `ohmesh` command: it finds each program's subcommand by entry point and holds no logic.

A program adds a line to the entry-point group `ohmesh.commands`: one or two words as the name, a
function `main(argv: list[str]) -> int` as the value. Exit codes: 0 success, 1 a negative answer,
2 wrong use. Every error is one line on stderr that says what is wrong and what to do.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import EntryPoint, entry_points, version

from ohmesh.model.errors import OhmeshError

GROUP = "ohmesh.commands"


def _commands() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _rank(name: str) -> tuple[bool, str]:
    """Benchmarks last: whoever comes new wants the others."""
    return name.startswith("bench "), name


def _usage(commands: dict[str, EntryPoint]) -> str:
    ranked = sorted(commands, key=_rank)
    names = "\n".join(f"  ohmesh {name}" for name in ranked)
    example = "demo --meters 60 --seed 1" if "demo" in commands else f"{ranked[0]} --help"
    return f"usage: ohmesh COMMAND ...\n\n{names}\n\nEach takes --help.   example: ohmesh {example}"


def _run(entry: EntryPoint, argv: list[str]) -> int:
    if entry.name.startswith("bench "):  # it has servers running, which end with it
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return int(entry.load()(argv))
    except OhmeshError as error:
        print(f"ohmesh {entry.name}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"ohmesh {entry.name}: the package {error.name} is missing; in a checkout 'make setup' "
            "brings it, elsewhere the extra 'ohmesh[headend]' or 'ohmesh[sim]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:
            raise  # no file that the caller named: a fault of ours, to be seen whole
        print(f"ohmesh {entry.name}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1


def main(argv: list[str] | None = None) -> int:
    """Run one command; the longest name that matches the first words wins."""
    words = sys.argv[1:] if argv is None else argv
    commands = _commands()
    if not words or words[0] in {"-h", "--help"}:
        print(_usage(commands))
        return 0 if words else 2
    if words[0] == "--version":
        print(version("ohmesh"))
        return 0
    for length in (2, 1):
        entry = commands.get(" ".join(words[:length]))
        if entry and len(words) >= length:
            return _run(entry, words[length:])
    longer = {name: at for name, at in commands.items() if name.startswith(f"{words[0]} ")}
    if longer and words[1:2] in (["-h"], ["--help"]):
        print(_usage(longer))
        return 0
    hint = f"'ohmesh {words[0] + ' ' if longer else ''}--help' lists them"
    print(f"ohmesh: no command {' '.join(words[:2])!r}; {hint}", file=sys.stderr)
    return 2
