"""How this installation is set up: read from the environment once, by a program's main, passed on as an argument."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation. Everything it keeps lies under `home`."""

    home: Path
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Reference model name -> base model name; a name that is absent means the embedded model."""

    @property
    def database(self) -> Path:
        return self.home / "tunesmith.db"

    @property
    def jobs(self) -> Path:
        return self.home / "jobs"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def base_models(self) -> Path:
        return self.home / "base-models"


def read_settings(environment: Mapping[str, str], home: Path | None = None) -> Settings:
    """The settings of TUNESMITH_HOME and TUNESMITH_ALIASES (a JSON object); `home` wins over the environment."""
    folder = home or Path(environment.get("TUNESMITH_HOME") or Path.home() / ".tunesmith")
    text = environment.get("TUNESMITH_ALIASES", "{}")
    try:
        aliases = json.loads(text)
    except ValueError as error:
        raise InvalidArgument.of("TUNESMITH_ALIASES", f"not a JSON object: {error}") from error
    if not isinstance(aliases, dict) or not all(isinstance(v, str) for v in aliases.values()):
        raise InvalidArgument.of("TUNESMITH_ALIASES", f"must map model names to model names, got {text!r}")
    return Settings(home=folder.expanduser().absolute(), aliases=aliases)
