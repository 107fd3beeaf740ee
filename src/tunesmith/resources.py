"""What clients see: resource names as Vertex spells them, the states of jobs and tasks, and which follows which.

Names are parsed and written here and nowhere else. A job has two: the id that its client chose, unique in the
client's project, and its key, unique in this installation, which names its folder. Knows no database and no wire.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from tunesmith.errors import InvalidArgument, Violation

JobState = Literal["QUEUED", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLING", "CANCELLED", "PAUSED"]
JobKind = Literal["tuning", "batch", "dataset"]
Role = Literal["viewer", "tuner", "admin"]
"""What a key may do: look; submit, change and predict; everything."""
TaskState = Literal["NOT_TRIGGERED", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]

# What may follow a job's state. A cancelled job stays cancelled; a failed one may be resumed once its cause is mended.
JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    "QUEUED": frozenset({"PENDING", "PAUSED", "CANCELLING"}),
    "PENDING": frozenset({"RUNNING", "PAUSED", "FAILED", "CANCELLING"}),
    "RUNNING": frozenset({"SUCCEEDED", "FAILED", "PAUSED", "CANCELLING"}),
    "CANCELLING": frozenset({"SUCCEEDED", "FAILED", "CANCELLED"}),
    "PAUSED": frozenset({"QUEUED", "CANCELLING"}),
    "FAILED": frozenset({"QUEUED"}),
    "SUCCEEDED": frozenset(),
    "CANCELLED": frozenset(),
}

# What may follow a task's state; PENDING after RUNNING is another try, or a pause.
TASK_TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    "NOT_TRIGGERED": frozenset({"PENDING"}),
    "PENDING": frozenset({"RUNNING", "CANCELLED"}),
    "RUNNING": frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "PENDING"}),
    "FAILED": frozenset({"PENDING"}),
    "SUCCEEDED": frozenset(),
    "CANCELLED": frozenset(),
}

ENDED: frozenset[JobState] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# Nothing happens to a job in one of these until somebody asks; clients stop polling here.
RESTING: frozenset[JobState] = ENDED | {"PAUSED"}
# A worker may begin the pending task of a job in one of these.
CLAIMABLE: frozenset[JobState] = frozenset({"QUEUED", "PENDING", "RUNNING"})

# A job in one of these holds its pool's devices.
HOLDING: frozenset[JobState] = frozenset({"PENDING", "RUNNING", "CANCELLING"})

# The project of what is tuned on the command line; its jobs' keys are their plain ids.
LOCAL_PROJECT = "local"

# The label by which the SDK finds the tuned models of one base model.
BASE_MODEL_LABEL = "google-vertex-llm-tuning-base-model-id"

# What a tuning job measures (S69, S70): the names in metrics.jsonl. A tag is the name with a leading slash.
TRAINING_METRICS = ("train_total_loss", "train_fraction_of_correct_next_step_preds", "train_num_predictions")
EVALUATION_METRICS = ("eval_total_loss", "eval_fraction_of_correct_next_step_preds", "eval_num_predictions")

PROJECT = r"[a-z0-9][-a-z0-9:.]{0,62}"
LOCATION = r"[a-z][-a-z0-9]{0,62}"
_PROJECT_ID = re.compile(PROJECT)
_LOCATION_ID = re.compile(LOCATION)
_JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_JOB = re.compile(rf"projects/({PROJECT})/locations/({LOCATION})/pipelineJobs/([a-z][-a-z0-9]{{0,127}})")
_MODEL = re.compile(rf"projects/({PROJECT})/locations/({LOCATION})/models/([0-9]{{1,19}})(?:@([-a-z0-9]{{1,128}}))?")
_ENDPOINT = re.compile(rf"projects/({PROJECT})/locations/({LOCATION})/endpoints/([0-9]{{1,19}})")
_BOARD = re.compile(
    rf"projects/({PROJECT})/locations/({LOCATION})/tensorboards/([0-9]{{1,19}})"
    r"(?:/experiments/([^/]+)(?:/runs/([^/]+)(?:/timeSeries/([^/]+))?)?)?"
)
_BOARD_ID = re.compile(r"[a-z0-9][-a-z0-9]{0,127}")
_LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,63}")
_LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,64}")
MAX_LABELS = 64
_ALIAS = re.compile(r"[a-z][-a-z0-9]{0,126}[a-z0-9]")


class JobName(NamedTuple):
    """projects/P/locations/L/pipelineJobs/ID"""

    project: str
    location: str
    id: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/pipelineJobs/{self.id}"


class BatchJobName(NamedTuple):
    """projects/P/locations/L/batchPredictionJobs/N"""

    project: str
    location: str
    id: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/batchPredictionJobs/{self.id}"


class DatasetJobName(NamedTuple):
    """projects/P/locations/L/datasetBuildJobs/N"""

    project: str
    location: str
    id: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/datasetBuildJobs/{self.id}"


class ModelName(NamedTuple):
    """projects/P/locations/L/models/N, without the version that a client may have put behind it."""

    project: str
    location: str
    id: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/models/{self.id}"


class EndpointName(NamedTuple):
    """projects/P/locations/L/endpoints/N"""

    project: str
    location: str
    id: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/endpoints/{self.id}"


class BoardPath(NamedTuple):
    """A tensorboard, or what lies in one: the parts below the last one that is meant are empty."""

    project: str
    location: str
    tensorboard: str = ""
    experiment: str = ""
    run: str = ""
    series: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the tensorboard and of what lies in it, as deep as this goes."""
        return tuple(filter(None, self[2:]))

    @property
    def id(self) -> str:
        return self.ids[-1]

    @property
    def parent(self) -> BoardPath:
        return BoardPath(self.project, self.location, *self.ids[:-1])

    def below(self, part_id: str) -> BoardPath:
        """What lies in this under that id."""
        return BoardPath(*(self.project, self.location, *self.ids, part_id))

    def __str__(self) -> str:
        nouns = ("tensorboards", "experiments", "runs", "timeSeries")
        parts = [f"/{noun}/{part_id}" for noun, part_id in zip(nouns, self.ids, strict=False)]
        return f"projects/{self.project}/locations/{self.location}" + "".join(parts)


def parse_job_name(name: str) -> JobName:
    """The parts of a pipeline job's resource name; InvalidArgument if it is not one."""
    match = _JOB.fullmatch(name)
    if match is None:
        raise InvalidArgument.of("name", f"must be projects/P/locations/L/pipelineJobs/ID, got {name!r}")
    return JobName(*match.groups())


def parse_model_name(name: str) -> ModelName:
    """The parts of a model's resource name, `@version` left off; InvalidArgument if it is not one."""
    match = _MODEL.fullmatch(name)
    if match is None:
        raise InvalidArgument.of("name", f"must be projects/P/locations/L/models/N, got {name!r}")
    return ModelName(*match.groups()[:3])


def parse_endpoint_name(name: str) -> EndpointName:
    """The parts of an endpoint's resource name; InvalidArgument if it is not one."""
    match = _ENDPOINT.fullmatch(name)
    if match is None:
        raise InvalidArgument.of("name", f"must be projects/P/locations/L/endpoints/N, got {name!r}")
    return EndpointName(*match.groups())


def parse_board_path(name: str, field: str = "name") -> BoardPath:
    """The parts of a resource name of a tensorboard, or of what lies in one; InvalidArgument if it is not one."""
    match = _BOARD.fullmatch(name)
    if match is None:
        wanted = "projects/P/locations/L/tensorboards/N, perhaps with /experiments/E/runs/R/timeSeries/S behind it"
        raise InvalidArgument.of(field, f"must be {wanted}, got {name!r}")
    return BoardPath(*[part or "" for part in match.groups()])


def check_board_id(part_id: str, field: str) -> str:
    """The same id of an experiment, a run or a time series; InvalidArgument unless it is one that Vertex would take."""
    if _BOARD_ID.fullmatch(part_id) is None:
        raise InvalidArgument.of(field, f"must have 1 to 128 of a-z, 0-9 and -, not - first, got {part_id!r}")
    return part_id


def check_alias(alias: str) -> str:
    """The same alias of a model's version; InvalidArgument unless it is one that Vertex would take."""
    if _ALIAS.fullmatch(alias) is None:
        raise InvalidArgument.of(
            "versionAliases",
            f"must start with a lower-case letter and have 2 to 128 of a-z, 0-9 and -, not - at the end, got {alias!r}",
        )
    return alias


def check_labels(labels: Mapping[str, str]) -> None:
    """InvalidArgument names every label that Vertex would not take (M.9)."""
    wrong = [
        Violation("labels", f"{key!r} is not a label's key: a-z, 0-9, _ and -, at most 64, a letter first")
        for key in labels
        if not _LABEL_KEY.fullmatch(key)
    ]
    wrong += [
        Violation(f"labels.{key}", f"{value!r} is not a label's value: a-z, 0-9, _ and -, at most 64")
        for key, value in labels.items()
        if not _LABEL_VALUE.fullmatch(value)
    ]
    if len(labels) > MAX_LABELS:
        wrong.append(Violation("labels", f"at most {MAX_LABELS} are kept, got {len(labels)}"))
    if wrong:
        raise InvalidArgument.of_all(wrong)


def check_project(project: str) -> str:
    """The same project id; InvalidArgument unless it is one that a resource name can hold."""
    if _PROJECT_ID.fullmatch(project) is None:
        raise InvalidArgument.of(
            "project", f"must begin with a-z or 0-9 and have at most 63 of a-z, 0-9, -, : and ., got {project[:80]!r}"
        )
    return project


def check_location(location: str) -> str:
    """The same region's name; InvalidArgument unless it is one that a resource name can hold."""
    if _LOCATION_ID.fullmatch(location) is None:
        raise InvalidArgument.of(
            "location", f"must begin with a-z and have at most 63 of a-z, 0-9 and -, got {location[:80]!r}"
        )
    return location


def check_job_id(job_id: str) -> str:
    """The same id; InvalidArgument unless it is one that Vertex would take."""
    if _JOB_ID.fullmatch(job_id) is None:
        raise InvalidArgument.of(
            "pipelineJobId",
            f"must start with a lower-case letter and have at most 128 of a-z, 0-9 and -, got {job_id!r}",
        )
    return job_id


def new_job_id(now_s: float, token: str) -> str:
    """An id for a job whose caller chose none: the time in UTC to the second, and a token that tells two apart."""
    return f"tune-{time.strftime('%Y%m%d%H%M%S', time.gmtime(now_s))}-{token}"


def new_job_id_of(pipeline_name: str, now_s: float | None = None) -> str:
    """An id for a job whose client chose none, as the service makes one: the pipeline's name, the time, a token."""
    time_s = time.time() if now_s is None else now_s
    return f"{pipeline_name}-{time.strftime('%Y%m%d%H%M%S', time.gmtime(time_s))}-{secrets.token_hex(4)}"


def rfc3339(time_s: float) -> str:
    """A time as it goes out: UTC, to the microsecond, with a Z."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def job_key(project: str, job_id: str) -> str:
    """What a job is called in this installation. No two pairs have the same: an id has no dot in it."""
    return job_id if project == LOCAL_PROJECT else f"{project}.{job_id}"


def batch_job_id(project: str, request_id: str) -> str:
    """The id of the one job that this request makes, however often it is sent; a new one for a request without id."""
    return _id_of(f"{project} {request_id}", 0.0, "batch prediction job") if request_id else new_id()


def dataset_job_id(project: str, request_id: str) -> str:
    """As `batch_job_id`, of a job that builds a data set."""
    return _id_of(f"{project} {request_id}", 0.0, "data set build job") if request_id else new_id()


def model_id(key: str, create_time: float) -> str:
    """The id of the one model that a job can make: 19 digits, the same however often the job's last task is tried."""
    return _id_of(key, create_time)


def endpoint_id(key: str, create_time: float) -> str:
    """The id of the one endpoint that a job can make."""
    return _id_of(key, create_time, "endpoint")


def deployed_model_id(key: str, create_time: float) -> str:
    """The id of the model that a job deploys on its endpoint."""
    return _id_of(key, create_time, "deployed model")


def new_id() -> str:
    """18 digits that no other resource has."""
    return str(10**17 + secrets.randbelow(9 * 10**17))


def _id_of(key: str, create_time: float, *what: str) -> str:
    digest = hashlib.sha256(" ".join([key, repr(create_time), *what]).encode()).digest()
    return str(10**18 + int.from_bytes(digest[:8], "big") % (8 * 10**18))


def project_number(project: str) -> str:
    """The number that Google's clients expect beside a project's id: 12 digits that follow from it."""
    if project.isdecimal():
        return project
    digest = hashlib.sha256(f"project {project}".encode()).digest()
    return str(10**11 + int.from_bytes(digest[:8], "big") % (9 * 10**11))


def base_model_label(base_model: str, reference: str) -> str:
    """The value of BASE_MODEL_LABEL: `code-bison-002` for code-bison@002.

    A reference name without a version means its newest, 002 (the SDK turns the last dash into `@`). The name of
    any other base model is made a legal label value: lower case, other characters as dashes, 63 at most.
    """
    if reference:
        name, _, version = reference.partition("@")
        return f"{name}-{version or '002'}"
    return re.sub(r"[^a-z0-9_-]", "-", base_model.lower())[-63:]
