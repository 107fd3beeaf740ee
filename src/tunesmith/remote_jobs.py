"""Jobs of a server as a script holds them: a pipeline job, and a batch prediction.

In: a client and a job's JSON. Out: objects with the names that users of the Google SDK know; each look is a request.
Waiting outlives a server that is away for a while. A job that failed raises JobFailed, a RuntimeError as there.
"""

from __future__ import annotations

import enum
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith import resources
from tunesmith.client import OUTAGE_S, Client, Wire, parse_object_uri, status_error
from tunesmith.errors import TunesmithError, Unavailable

FIRST_LOOK_S = 0.5
LOOK_S = 5.0
"""As long as the reference product's SDK waits between two looks."""


class PipelineState(enum.IntEnum):
    """The state of a pipeline job, as the API numbers it."""

    PIPELINE_STATE_UNSPECIFIED = 0
    PIPELINE_STATE_QUEUED = 1
    PIPELINE_STATE_PENDING = 2
    PIPELINE_STATE_RUNNING = 3
    PIPELINE_STATE_SUCCEEDED = 4
    PIPELINE_STATE_FAILED = 5
    PIPELINE_STATE_CANCELLING = 6
    PIPELINE_STATE_CANCELLED = 7
    PIPELINE_STATE_PAUSED = 8


class JobState(enum.IntEnum):
    """The state of a batch prediction, as the API numbers it."""

    JOB_STATE_UNSPECIFIED = 0
    JOB_STATE_QUEUED = 1
    JOB_STATE_PENDING = 2
    JOB_STATE_RUNNING = 3
    JOB_STATE_SUCCEEDED = 4
    JOB_STATE_FAILED = 5
    JOB_STATE_CANCELLING = 6
    JOB_STATE_CANCELLED = 7
    JOB_STATE_PAUSED = 8
    JOB_STATE_EXPIRED = 9
    JOB_STATE_UPDATING = 10
    JOB_STATE_PARTIALLY_SUCCEEDED = 11


_PIPELINE_RESTS = frozenset(PipelineState[f"PIPELINE_STATE_{name}"] for name in resources.RESTING)
_FOR_GOOD = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "CANCELLED", "EXPIRED"})
"""A paused job, and one that has failed, goes on if somebody resumes it."""
_BATCH_RESTS = frozenset(
    {
        JobState.JOB_STATE_SUCCEEDED,
        JobState.JOB_STATE_PARTIALLY_SUCCEEDED,
        JobState.JOB_STATE_FAILED,
        JobState.JOB_STATE_CANCELLED,
        JobState.JOB_STATE_EXPIRED,
    }
)


class JobFailed(RuntimeError):
    """A job ended without its result. `error` is the server's, as one of tunesmith.errors."""

    def __init__(self, message: str, error: TunesmithError | None = None) -> None:
        super().__init__(message)
        self.error = error


class _RemoteJob(ABC):
    """What a job of either kind is to those who wait for it."""

    def __init__(self, client: Client, job: Mapping[str, Any]) -> None:
        self._client = client
        self._job: Wire = dict(job)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.resource_name!r})"

    @property
    def resource_name(self) -> str:
        """projects/P/locations/L/COLLECTION/ID"""
        name: str = self._job["name"]
        return name

    @property
    def name(self) -> str:
        """The id alone."""
        return self.resource_name.rpartition("/")[2]

    @property
    def display_name(self) -> str:
        return str(self._job.get("displayName", ""))

    @property
    def error(self) -> TunesmithError | None:
        """Why it failed, as far as it has."""
        said = self.look().get("error")
        return status_error(said) if said else None

    def to_dict(self) -> Wire:
        """The job as the API spells it."""
        return dict(self.look())

    def look(self) -> Wire:
        """The job now; one that has ended for good is asked for once."""
        if self._job.get("state", "").partition("_STATE_")[2] not in _FOR_GOOD:
            self._job = self._asked_again()
        return self._job

    @abstractmethod
    def _asked_again(self) -> Wire: ...


class PipelineJob(_RemoteJob):
    """A tuning job on its server."""

    job_id = _RemoteJob.name

    @property
    def labels(self) -> dict[str, str]:
        return dict(self._job.get("labels", {}))

    @property
    def location(self) -> str:
        return resources.parse_job_name(self.resource_name).location

    @property
    def project(self) -> str:
        return resources.parse_job_name(self.resource_name).project

    @property
    def state(self) -> PipelineState:
        """The state now."""
        return PipelineState[self.look().get("state", "PIPELINE_STATE_UNSPECIFIED")]

    @property
    def has_failed(self) -> bool:
        return self.state == PipelineState.PIPELINE_STATE_FAILED

    @property
    def task_details(self) -> list[Wire]:
        """The tasks now, as the API spells them."""
        return list(self.look().get("jobDetail", {}).get("taskDetails", []))

    def done(self) -> bool:
        """Whether nothing happens to it any more unless somebody asks."""
        return self.state in _PIPELINE_RESTS

    def _asked_again(self) -> Wire:
        return self._client.job(self.resource_name)

    def wait(self) -> None:
        """Returns when it has ended, or is paused; JobFailed if it failed."""
        _poll(lambda: self.state in _PIPELINE_RESTS)
        if self.has_failed:
            error = self.error
            raise JobFailed(f"job {self.resource_name} failed: {error}", error) from error

    def cancel(self) -> None:
        """Asks for its end."""
        self._client.cancel_job(self.resource_name)

    def delete(self) -> None:
        """Deletes it, once it has ended."""
        self._client.delete_job(self.resource_name)

    @property
    def model_name(self) -> str | None:
        """The model that it has made."""
        for task in self.task_details:
            made = task.get("execution", {}).get("metadata", {}).get("output:model_resource_name")
            if made:
                return str(made)
        return None


@dataclass(frozen=True, slots=True)
class OutputInfo:
    """Where a batch prediction writes."""

    gcs_output_directory: str


@dataclass(frozen=True, slots=True)
class OutputObject:
    """One object that a batch prediction has written."""

    client: Client
    uri: str

    @property
    def name(self) -> str:
        """Its name in the bucket."""
        return parse_object_uri(self.uri).name

    def download_as_bytes(self) -> bytes:
        return self.client.download(self.uri)

    def download_as_text(self) -> str:
        return self.download_as_bytes().decode("utf-8")


class BatchPredictionJob(_RemoteJob):
    """A batch prediction on its server."""

    @property
    def state(self) -> JobState:
        """The state now."""
        return JobState[self.look().get("state", "JOB_STATE_UNSPECIFIED")]

    @property
    def has_failed(self) -> bool:
        return self.state == JobState.JOB_STATE_FAILED

    @property
    def output_info(self) -> OutputInfo | None:
        """Where it writes; None until it has begun."""
        said = self.look().get("outputInfo", {}).get("gcsOutputDirectory")
        return OutputInfo(said) if said else None

    @property
    def completion_stats(self) -> Wire | None:
        """How many instances were answered, as the API spells it."""
        return self.look().get("completionStats")

    def done(self) -> bool:
        return self.state in _BATCH_RESTS

    def _asked_again(self) -> Wire:
        return self._client.batch_prediction(self.resource_name)

    def wait(self) -> None:
        """Returns when it has succeeded; JobFailed if it ended in any other way."""
        _poll(self.done)
        if self.state not in (JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_PARTIALLY_SUCCEEDED):
            error = self.error
            ending = self.state.name.removeprefix("JOB_STATE_").lower()
            raise JobFailed(f"batch prediction {self.resource_name} ended {ending}: {error}", error) from error

    wait_for_completion = wait

    def iter_outputs(self) -> Iterator[OutputObject]:
        """The objects that it has written."""
        directory = self.output_info
        if directory is None:
            raise JobFailed(f"batch prediction {self.resource_name} has written nothing")
        for uri in self._client.objects(directory.gcs_output_directory.rstrip("/") + "/"):
            yield OutputObject(self._client, uri)

    def cancel(self) -> None:
        """Asks for its end."""
        self._client.cancel_batch_prediction(self.resource_name)

    def delete(self) -> None:
        """Deletes it, once it has ended; its output stays."""
        self._client.delete_batch_prediction(self.resource_name)


def _poll(is_over: Callable[[], bool]) -> None:
    """Looks again and again, and is patient with a server that is away for a while."""
    wait_s, lost_s = FIRST_LOOK_S, None
    while True:
        try:
            if is_over():
                return
            lost_s = None
        except Unavailable:
            lost_s = time.monotonic() if lost_s is None else lost_s
            if time.monotonic() > lost_s + OUTAGE_S:
                raise
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, LOOK_S)
