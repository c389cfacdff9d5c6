"""Help, and wrong use told in one line; for every program's command line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr and exit code 2, never the usage.

    Description and epilog are printed as they are written, so that an example can be copied.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; but what a sub-command does not know is that sub-command's error."""
        known, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return known, left

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave; sub-commands do the same."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
