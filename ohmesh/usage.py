"""Wrong use of a command, told in one line; for every program's command line."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr and exit code 2, never the usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave; sub-commands do the same."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
