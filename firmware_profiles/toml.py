"""TOML data with errors that name the file, the line and the key."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ohmesh.model.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed TOML text that can point at its own lines.

    Attributes:
        name: how people call the file.
        text: its text.
        data: its content.
    """

    name: str
    text: str
    data: Mapping[str, Any]

    @classmethod
    def parse(cls, name: str, text: str) -> TomlFile:
        """Parse a text. Raises ProfileError with the line of a syntax error."""
        try:
            return cls(name, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ProfileError(f"{name}: {error}") from error

    def line(self, key: str, value: object = None) -> int:
        """The line on which a key, or its header, first stands; 1 when it is nowhere.

        Args:
            key: of any table; inline tables repeat the same keys on many lines.
            value: a line with this value goes first.
        """
        pattern = re.compile(rf'(?:^[\s\[]*|[{{,]\s*)"?{re.escape(key)}"?\s*[=\]]')
        lines = self.text.splitlines()
        found = [n for n, line in enumerate(lines, 1) if pattern.search(line)]
        written = f'"{value}"' if isinstance(value, str) else str(value).lower()
        exact = (n for n in found if value is not None and written in lines[n - 1])
        return next(exact, found[0] if found else 1)

    def refuse(self, key: str, reason: str, value: object = None) -> NoReturn:
        """Raise the ProfileError about a key, on the line of its value when that is given."""
        raise ProfileError(f"{self.name}:{self.line(key, value)}: {key}: {reason}")

    def table(self, key: str) -> Mapping[str, Any]:
        """A top-level table. Raises ProfileError when it is missing."""
        value = self.data.get(key)
        if not isinstance(value, dict):
            self.refuse(key, "the table is missing")
        return value

    def need(self, table: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
        """A value of a type in a table. Raises ProfileError when it is missing or another."""
        if key not in table:
            self.refuse(key, f"is missing; a {kind.__name__} is needed")
        return self.typed(table[key], key, kind)

    def typed(self, value: object, key: str, kind: type[_T]) -> _T:
        """The value when it is of a type. Raises ProfileError otherwise."""
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(key, f"{value!r} is no {kind.__name__}", value)
        return value

    def choice(self, value: str, key: str, choices: Collection[str]) -> str:
        """The value when it is one of the choices. Raises ProfileError otherwise."""
        if value not in choices:
            self.refuse(key, f"{value!r} is none of {', '.join(sorted(choices))}", value)
        return value

    def only(self, table: Mapping[str, Any], known: Collection[str]) -> None:
        """Refuse a key that has no meaning here, most often a slip of the pen."""
        for key in table:
            if key not in known:
                self.refuse(key, f"is no key here; known are {', '.join(sorted(known))}")

    def texts(self, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """A list of texts. Raises ProfileError when it is missing or something else."""
        return tuple(self.typed(item, key, str) for item in self.need(table, key, list))
