"""How this installation is set up: read from the environment once, by a program's main, passed on as an argument."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import catalog
from tunesmith.errors import InvalidArgument

# One job of the reference product at a time, on either kind of accelerator (S48, S72).
DEFAULT_POOLS: Mapping[str, int] = {name: pool.quota_multiple for name, pool in catalog.POOLS.items()}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation. Everything it keeps lies under `home`."""

    home: Path
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Reference model name -> base model name; a name that is absent means the embedded model."""
    database_url: str = ""
    """postgresql://USER:PASSWORD@HOST/NAME; empty: SQLite in the home."""
    pools: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_POOLS))
    """Accelerator type -> devices (the quota). A job takes 8 of GPU or 64 of TPU; what does not fit waits."""
    buckets: Mapping[str, str] = field(default_factory=dict)
    """gs://BUCKET or s3://BUCKET -> where it really is; a bucket that is absent is a folder in the home."""
    chat_evaluation: bool = False
    """Whether codechat-bison takes evaluation data. The reference product refuses it (S18); Tunesmith can do it."""

    serving: str = "auto"
    """What computes predictions: vllm, transformers, or auto for vLLM where it is installed beside a CUDA device."""

    git_hosts: tuple[str, ...] = ()
    """HOST or HOST:PORT of git servers within the own network, from which data sets may be built for clients."""
    git_ssh_key: Path | None = None
    """The private key with which ssh URLs of clients are fetched; None: they are refused."""
    git_known_hosts: Path | None = None
    """Host keys of ssh servers; None: those that this user's ssh knows."""
    git_certificates: Path | None = None
    """PEM of those who sign https servers' certificates; None: this machine's."""

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

    @property
    def local_buckets(self) -> Path:
        return self.home / "buckets"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def servers(self) -> Path:
        return self.home / "servers"


def read_settings(environment: Mapping[str, str], home: Path | None = None) -> Settings:
    """The settings of TUNESMITH_HOME and the other TUNESMITH_ variables; `home` wins over the environment."""
    folder = home or Path(environment.get("TUNESMITH_HOME") or Path.home() / ".tunesmith")
    url = environment.get("TUNESMITH_DATABASE_URL", "")
    if url and not url.startswith(("postgresql://", "postgres://")):
        # Not the value: it may hold a password.
        raise InvalidArgument.of("TUNESMITH_DATABASE_URL", "must begin with postgresql://; leave it out for SQLite")
    return Settings(
        home=folder.expanduser().absolute(),
        aliases=_mapping(environment, "TUNESMITH_ALIASES", _is_text, "model names to model names"),
        database_url=url,
        pools={**DEFAULT_POOLS, **_mapping(environment, "TUNESMITH_POOLS", _is_count, "GPU and TPU to device counts")},
        buckets=_mapping(environment, "TUNESMITH_BUCKETS", _is_text, "gs://BUCKET to gs://, s3:// or file:// URLs"),
        chat_evaluation=_boolean(environment, "TUNESMITH_CHAT_EVALUATION"),
        serving=_one_of(environment, "TUNESMITH_SERVING", ("auto", "vllm", "transformers")),
        git_hosts=_hosts(environment, "TUNESMITH_GIT_HOSTS"),
        git_ssh_key=_file(environment, "TUNESMITH_GIT_SSH_KEY"),
        git_known_hosts=_file(environment, "TUNESMITH_GIT_KNOWN_HOSTS"),
        git_certificates=_file(environment, "TUNESMITH_GIT_CERTIFICATES"),
    )


def _mapping(environment: Mapping[str, str], name: str, is_right: Callable[[Any], bool], wanted: str) -> dict[str, Any]:
    text = environment.get(name, "{}")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidArgument.of(name, f"not a JSON object: {error}") from error
    if not isinstance(value, dict) or not all(is_right(v) for v in value.values()):
        raise InvalidArgument.of(name, f"must map {wanted}, got {text!r}")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _hosts(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A JSON list of HOST or HOST:PORT."""
    text = environment.get(name) or "[]"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidArgument.of(name, f'not a JSON list such as ["git.example.com"]: {error}') from error
    if not isinstance(value, list) or not all(isinstance(host, str) and _HOST.fullmatch(host) for host in value):
        raise InvalidArgument.of(name, f'must be a list of HOST or HOST:PORT, such as ["git.example.com"], got {text}')
    return tuple(host.lower() for host in value)


def _file(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name)
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise InvalidArgument.of(name, f"{path} is no file; give the path of one, or leave it out")
    return path


def _boolean(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "false").lower()
    if text not in ("true", "false"):
        raise InvalidArgument.of(name, f"must be true or false, got {text!r}")
    return text == "true"


def _one_of(environment: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    """The first of them if it is not set."""
    text = environment.get(name, values[0])
    if text not in values:
        raise InvalidArgument.of(name, f"must be one of {', '.join(values)}, got {text!r}")
    return text
