"""How a program reads its configuration: TOML file < environment < secrets directory, once.

A setting `[broker] url` of the gateway is `OHMESH_GATEWAY__BROKER__URL` in the environment and a
file of the name `ohmesh_gateway__broker__url` in the secrets directory: the one that
`OHMESH_GATEWAY_SECRETS` names, or the folder of systemd's credentials. A wrong or unknown setting
is refused with its name and the nearest right one.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ohmesh.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

FROZEN: Final = ConfigDict(frozen=True, extra="forbid")
"""Of every section."""
_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
_CHOICE: Final = re.compile(r"\^\(([\w|]+)\)\$")
_CHARACTERS: Final = re.compile(r"\^\[([^\]]+)\]\{(\d+),(\d+)\}\$")


class ProgramSettings(BaseSettings):
    """All settings of one program; its `model_config` has an env_prefix as `prefix` gives it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Highest first."""
        toml = TomlConfigSettingsSource(settings_cls)
        secrets = NestedSecretsSettingsSource(
            file_secret_settings, secrets_nested_delimiter="__", secrets_dir_missing="error"
        )
        return init_settings, secrets, env_settings, toml


_Settings = TypeVar("_Settings", bound=ProgramSettings)


def prefix(program: str) -> str:
    """Of the program's names in the environment: `OHMESH_GATEWAY__`."""
    return f"OHMESH_{program.upper()}__"


def configuration(program: str) -> SettingsConfigDict:
    """The `model_config` of a program's settings."""
    return SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=prefix(program), env_nested_delimiter="__"
    )


def load(settings: type[_Settings], program: str, path: Path | None) -> _Settings:
    """Read a program's settings. Raises ConfigError with the setting's name and what is wrong."""
    _check_file(path, program)
    secrets = _secrets_folder(program)

    class FromFile(settings):  # type: ignore[valid-type,misc]  # the file's name is known just now
        model_config = SettingsConfigDict(
            **{**settings.model_config, "toml_file": path, "secrets_dir": secrets}
        )

    try:
        found: _Settings = FromFile()
    except ValidationError as error:
        # A misspelt name explains a missing one.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        reason = _explain(settings, first)
        raise ConfigError(f"{path or 'environment'}: {reason}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not a text file; 'ohmesh {program} config' prints what belongs there"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; let this user read it") from error
    _check_environment(settings, program)
    return found


def _check_file(path: Path | None, program: str) -> None:
    if path is None or path.is_file():
        return
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name the configuration file in it")
    raise ConfigError(
        f"there is no configuration file {path}; 'ohmesh {program} config > {path}' makes one"
    )


def _secrets_folder(program: str) -> str | None:
    for variable in (f"OHMESH_{program.upper()}_SECRETS", _CREDENTIALS):
        folder = os.environ.get(variable)
        if folder:
            if not os.path.isdir(folder):  # noqa: PTH112 - pathlib is for type checking only here
                raise ConfigError(
                    f"{variable} names {folder}, which is no folder; make it, or unset {variable}"
                )
            return folder
    return None


def is_loopback(host: str) -> bool:
    """True for localhost and loopback addresses."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_environment(settings: type[ProgramSettings], program: str) -> None:
    """A misspelt section in the environment would pass unseen."""
    for name in os.environ:
        if name.upper().startswith(prefix(program)):
            section = name[len(prefix(program)) :].split("__")[0].lower()
            if section not in settings.model_fields:
                raise ConfigError(f"environment: {name}: {_no_such(settings, section, [])}")


def _explain(settings: type[ProgramSettings], error: ErrorDetails) -> str:
    """One line for one wrong setting, with the nearest name for an unknown one."""
    where = [str(part) for part in error["loc"]]
    name = ".".join(where) or "configuration"
    if error["type"] != "extra_forbidden":
        return f"{name}: {_in_words(error, name)}"
    return f"{name}: {_no_such(settings, where[-1], where[:-1])}"


def _in_words(error: ErrorDetails, name: str) -> str:
    """What is wrong with a value, for people who read no regular expressions."""
    if error["type"] == "tuple_type" and isinstance(error["input"], dict):
        return f"it may stand there more than once: write [[{name}]]"
    pattern = error.get("ctx", {}).get("pattern", "")
    if choice := _CHOICE.fullmatch(pattern):
        return f"it is none of {', '.join(choice[1].split('|'))}"
    if name_like := _CHARACTERS.fullmatch(pattern):
        characters, least, most = name_like.groups()
        return f"it takes {least} to {most} characters, each of {characters}"
    return error["msg"]


def _no_such(settings: type[ProgramSettings], name: str, where: list[str]) -> str:
    near = get_close_matches(name, _known(settings, where), n=1)
    return "there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _known(settings: type[ProgramSettings], where: list[str]) -> list[str]:
    fields = settings.model_fields
    for part in where:
        if part.isdecimal():  # the place in a list of sections
            continue
        section = fields[part].annotation
        section = next(iter(get_args(section)), section)
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        fields = section.model_fields
    return list(fields)
