"""What `tunesmith.init` said: the server, project and region that a script's models use.

Takes the arguments of `vertexai.init`, so that a script changes its import lines only. What is not said comes from the
environment (TUNESMITH_SERVER, TUNESMITH_API_KEY, TUNESMITH_PROJECT or GOOGLE_CLOUD_PROJECT), then from the defaults
here. Connects to nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tunesmith import resources
from tunesmith.client import DEFAULT_LOCATION, Client
from tunesmith.errors import InvalidArgument

DEFAULT_SERVER = "http://127.0.0.1:8080"
SERVER_VARIABLE = "TUNESMITH_SERVER"
KEY_VARIABLE = "TUNESMITH_API_KEY"
PROJECT_VARIABLES = ("TUNESMITH_PROJECT", "GOOGLE_CLOUD_PROJECT")


@dataclass(frozen=True)
class Defaults:
    """What a script has said so far, and what follows from it. None: not said."""

    project: str | None = None
    location: str | None = None
    server: str | None = None
    api_key: str | None = None
    staging_bucket: str | None = None
    encryption_key: str | None = None
    service_account: str | None = None
    network: str | None = None

    def __repr__(self) -> str:
        return f"Defaults(server={self.server!r}, project={self.project!r}, location={self.location!r})"

    @cached_property
    def client(self) -> Client:
        """The client of that server."""
        named = [os.environ[name] for name in PROJECT_VARIABLES if os.environ.get(name)]
        return Client(
            self.server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER,
            project=self.project or (named[0] if named else resources.LOCAL_PROJECT),
            location=self.location or DEFAULT_LOCATION,
            key=self.api_key if self.api_key is not None else os.environ.get(KEY_VARIABLE, ""),
        )

    @property
    def staging(self) -> str:
        """gs://BUCKET or gs://BUCKET/PREFIX, without a slash at its end: where a script's own data go."""
        said = self.staging_bucket or self.client.staging
        return "gs://" + said.removeprefix("gs://").rstrip("/")


_said = Defaults()


def init(
    *,
    project: str | None = None,
    location: str | None = None,
    server: str | None = None,
    api_key: str | None = None,
    staging_bucket: str | None = None,
    encryption_spec_key_name: str | None = None,
    service_account: str | None = None,
    network: str | None = None,
    experiment: str | None = None,
    experiment_description: str | None = None,
    experiment_tensorboard: Any = None,
    credentials: Any = None,
    api_endpoint: str | None = None,
    api_transport: str | None = None,
    request_metadata: Sequence[tuple[str, str]] | None = None,
) -> None:
    """As vertexai.init. What is given replaces what was said before; the rest stays.

    server          URL of a Tunesmith server; TUNESMITH_SERVER, else http://127.0.0.1:8080
    api_key         TUNESMITH_API_KEY, else none
    project         TUNESMITH_PROJECT, GOOGLE_CLOUD_PROJECT, else `local`, which is that of the command line
    staging_bucket  where DataFrames and local files are put: gs://BUCKET or gs://BUCKET/PREFIX

    The others are Google's own; a warning names those that were given and are not used.
    """
    global _said
    unused = {
        "experiment": experiment,
        "experiment_description": experiment_description,
        "experiment_tensorboard": experiment_tensorboard,
        "credentials": credentials,
        "api_endpoint": api_endpoint,
        "api_transport": api_transport,
        "request_metadata": request_metadata,
    }
    given = [name for name, value in unused.items() if value is not None]
    if given:
        text = f"{', '.join(given)}: a Tunesmith server has no use for this; it takes server and api_key"
        warnings.warn(text, stacklevel=2)
    said = {
        "project": project,
        "location": location,
        "server": server,
        "api_key": api_key,
        "staging_bucket": staging_bucket,
        "encryption_key": encryption_spec_key_name,
        "service_account": service_account,
        "network": network,
    }
    changed = replace(_said, **{name: value for name, value in said.items() if value is not None})
    if changed.staging_bucket and "://" in changed.staging_bucket.removeprefix("gs://"):
        raise InvalidArgument.of("staging_bucket", f"must be gs://BUCKET, got {changed.staging_bucket!r}")
    _ = changed.client  # wrong values end here
    _said = changed


def current() -> Defaults:
    """What was said last; the environment and the defaults alone if nothing was."""
    return _said
