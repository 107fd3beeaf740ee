"""Code models as users of `vertexai.language_models` know them, answered by a Tunesmith server.

    import tunesmith as vertexai
    from tunesmith.language_models import CodeGenerationModel, TuningEvaluationSpec

In: what `tunesmith.init` or the environment says of a server. Out: models that tune, predict, stream and count, sync
and async, with the signatures, defaults and client-side errors of the preview classes there, which hold those of the
others. What is more: training data may be a file of this machine or a list of rows. Errors of the server are those of
`tunesmith.errors`; a tuning job that failed raises JobFailed, a RuntimeError. Needs httpx and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from tunesmith import catalog, default_client, resources
from tunesmith.answers import (
    CountTokensResponse,
    GroundingMetadata,
    MultiCandidateTextGenerationResponse,
    Prediction,
    TextGenerationResponse,
    chat_answer,
    code_answer,
    counted,
)
from tunesmith.client import Client, Wire
from tunesmith.default_client import Defaults
from tunesmith.remote_jobs import BatchPredictionJob, JobFailed, JobState, PipelineJob, PipelineState

__all__ = [
    "BatchPredictionJob",
    "ChatMessage",
    "CodeChatModel",
    "CodeChatSession",
    "CodeGenerationModel",
    "CountTokensResponse",
    "GroundingMetadata",
    "InputOutputTextPair",
    "JobFailed",
    "JobState",
    "MultiCandidateTextGenerationResponse",
    "PipelineJob",
    "PipelineState",
    "Prediction",
    "TextGenerationResponse",
    "TuningEvaluationSpec",
    "TuningJob",
]

MAX_DISPLAY_NAME = 128
ACCELERATORS = ("TPU", "GPU")
_TEMPLATES = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines"
_DATASET_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/datasets/[^/]+")
_TENSORBOARD_NAME = re.compile(r"projects/[^/]+/locations/([^/]+)/tensorboards/[^/]+")

M = TypeVar("M", bound="_CodeModel")


# What users say.


@dataclass
class ChatMessage:
    """One message of a chat: of `user`, or of `bot`."""

    content: str
    author: str


@dataclass
class InputOutputTextPair:
    """An example of a question and its answer."""

    input_text: str
    output_text: str


@dataclass
class TuningEvaluationSpec:
    """How a tuning job is evaluated while it runs. What is None is the server's default."""

    evaluation_data: str | None = None
    """gs:// URI of 10 to 250 examples."""
    evaluation_interval: int | None = None
    enable_early_stopping: bool | None = None
    enable_checkpoint_selection: bool | None = None
    tensorboard: Any = None
    """Resource name of a TensorBoard, or an object that has one as `resource_name`."""


# Models.


class _CodeModel:
    """What both kinds of code models share: they are loaded, listed and tuned."""

    _KIND: ClassVar[catalog.Kind]
    _TEMPLATE: ClassVar[str]

    def __init__(self, model_id: str, endpoint_name: str | None = None) -> None:
        self._defaults: Defaults = default_client.current()
        self._model_id = model_id
        self._endpoint_name = endpoint_name or self._client.publisher_target(model_id)
        self._tuned_name: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._tuned_name or self._model_id!r})"

    @property
    def _client(self) -> Client:
        return self._defaults.client

    @property
    def _model_resource_name(self) -> str:
        """The tuned model's resource name, or the publisher model's."""
        return self._tuned_name or f"publishers/google/models/{self._model_id}"

    @classmethod
    def from_pretrained(cls: type[M], model_name: str) -> M:
        """A model that can be tuned and asked: code-bison@002, or another base model that the server offers.

        ValueError if it is a model of another kind, NotFound if there is none.
        """
        said = default_client.current().client.publisher_model(model_name)
        if said["name"].rpartition("/")[2].partition("-")[0] in _other_families(cls._KIND):
            raise ValueError(f"{model_name} is not a model that {cls.__name__} can load")
        return cls(model_id=model_name)

    @classmethod
    def get_tuned_model(cls: type[M], tuned_model_name: str) -> M:
        """A tuned model, by resource name or id; put on an endpoint first if it is on none.

        ValueError if it is no tuned language model, or one of the other kind.
        """
        client = default_client.current().client
        model = client.model(tuned_model_name)
        base = _base_of(model, tuned_model_name)
        kind = model.get("tunesmith", {}).get("kind", cls._KIND)
        if kind != cls._KIND:
            raise ValueError(f"{tuned_model_name} is a code {kind} model, which {cls.__name__} cannot load")
        deployed = model.get("deployedModels") or []
        found = cls(
            model_id=base, endpoint_name=deployed[0]["endpoint"] if deployed else client.deploy_on_new_endpoint(model)
        )
        found._tuned_name = model["name"]
        return found

    def list_tuned_model_names(self) -> Sequence[str]:
        """The resource names of the models that were tuned from this one, newest first."""
        label = _label_of(self._tuning_id())
        found = self._client.models(filter_text=f'labels.{resources.BASE_MODEL_LABEL}="{label}"')
        return [m["name"] for m in found if m.get("tunesmith", {}).get("kind", self._KIND) == self._KIND]

    def _tuning_id(self) -> str:
        """The model's id as jobs name it, with its version; RuntimeError if it cannot be tuned."""
        said = self._client.publisher_model(self._model_id)
        template = str(said.get("publisherModelTemplate", ""))
        if not template:
            raise RuntimeError(f"The {self._model_id} model does not support tuning")
        return template.rpartition("/")[2]

    def _tune(
        self,
        training_data: Any,
        parameters: Mapping[str, Any],
        *,
        tuning_job_location: str | None,
        tuned_model_location: str | None,
        model_display_name: str | None,
        accelerator_type: str | None,
        tuning_evaluation_spec: TuningEvaluationSpec | None,
    ) -> TuningJob:
        """Submits the job. Values that are None are not sent: the server's defaults are one place."""
        where = _region("tuning_job_location", tuning_job_location or self._client.location)
        upload = _region("tuned_model_location", tuned_model_location or self._client.location)
        if accelerator_type is not None and accelerator_type not in ACCELERATORS:
            raise ValueError(f"accelerator_type must be one of {', '.join(ACCELERATORS)}, got {accelerator_type!r}")
        evaluation = _evaluation(tuning_evaluation_spec, where)
        model_id = self._tuning_id()
        dataset = _staged(training_data, model_id, self._defaults)
        values = {
            "project": self._client.project,
            "location": upload,
            "large_model_reference": model_id,
            "model_display_name": model_display_name or _display_name(model_id, parameters, dataset),
            "dataset_name" if _DATASET_NAME.fullmatch(dataset) else "dataset_uri": dataset,
            "accelerator_type": accelerator_type,
            "encryption_spec_key_name": self._defaults.encryption_key,
            **parameters,
            **evaluation,
        }
        body = _job_body(self._TEMPLATE, {k: v for k, v in values.items() if v is not None}, self._defaults)
        job_id = resources.new_job_id_of(self._TEMPLATE)
        job = self._client.create_job(body, job_id=job_id, location=where)
        return TuningJob(self, PipelineJob(self._client, job))


class CodeGenerationModel(_CodeModel):
    """A model that writes code: what follows a prefix, or what stands between a prefix and a suffix."""

    _KIND = "generation"
    _TEMPLATE = "tune-large-model"

    def tune_model(
        self,
        training_data: Any,
        *,
        train_steps: int | None = None,
        learning_rate_multiplier: float | None = None,
        tuning_job_location: str | None = None,
        tuned_model_location: str | None = None,
        model_display_name: str | None = None,
        tuning_evaluation_spec: TuningEvaluationSpec | None = None,
        accelerator_type: Literal["TPU", "GPU"] | None = None,
        max_context_length: str | None = None,
    ) -> TuningJob:
        """Begins to tune the model; the job that does it.

        training_data  gs:// URI of JSON Lines, a DataFrame, a file of this machine, or a list of rows

        ValueError for a region, an accelerator or evaluation data that cannot be; TypeError for data of another kind.
        """
        return self._tune(
            training_data,
            {
                "train_steps": train_steps,
                "learning_rate_multiplier": learning_rate_multiplier,
                "max_context_length": max_context_length,
            },
            tuning_job_location=tuning_job_location,
            tuned_model_location=tuned_model_location,
            model_display_name=model_display_name,
            accelerator_type=accelerator_type,
            tuning_evaluation_spec=tuning_evaluation_spec,
        )

    def predict(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        stop_sequences: list[str] | None = None,
        candidate_count: int | None = None,
    ) -> MultiCandidateTextGenerationResponse:
        """The model's answer; with a suffix, what stands in between."""
        parameters = _sampling("maxOutputTokens", max_output_tokens, temperature, stop_sequences, candidate_count)
        answer = self._client.predict(self._endpoint_name, [_instance(prefix, suffix)], parameters)
        return code_answer(answer)

    async def predict_async(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        stop_sequences: list[str] | None = None,
        candidate_count: int | None = None,
    ) -> MultiCandidateTextGenerationResponse:
        """As `predict`."""
        parameters = _sampling("maxOutputTokens", max_output_tokens, temperature, stop_sequences, candidate_count)
        answer = await self._client.predict_async(self._endpoint_name, [_instance(prefix, suffix)], parameters)
        return code_answer(answer)

    def predict_streaming(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        stop_sequences: list[str] | None = None,
    ) -> Iterator[TextGenerationResponse]:
        """The answer in pieces, as they come."""
        parameters = _sampling("maxOutputTokens", max_output_tokens, temperature, stop_sequences)
        for piece in self._client.stream(self._endpoint_name, _instance(prefix, suffix), parameters):
            yield code_answer({"predictions": [piece]}).candidates[0]

    async def predict_streaming_async(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        stop_sequences: list[str] | None = None,
    ) -> AsyncIterator[TextGenerationResponse]:
        """As `predict_streaming`."""
        parameters = _sampling("maxOutputTokens", max_output_tokens, temperature, stop_sequences)
        async for piece in self._client.stream_async(self._endpoint_name, _instance(prefix, suffix), parameters):
            yield code_answer({"predictions": [piece]}).candidates[0]

    def count_tokens(self, prefix: str, *, suffix: str | None = None) -> CountTokensResponse:
        """How long a prompt is."""
        return counted(self._client.count_tokens(self._endpoint_name, [_instance(prefix, suffix)]))

    def batch_predict(
        self, *, dataset: str | list[str], destination_uri_prefix: str, model_parameters: dict[str, Any] | None = None
    ) -> BatchPredictionJob:
        """Answers every line of JSON Lines objects into objects below a prefix; returns when it is done.

        ValueError for anything but gs:// URIs; JobFailed if it did not succeed.
        """
        sources = [dataset] if isinstance(dataset, str) else list(dataset)
        if not sources:
            raise ValueError("dataset must be a gs:// URI, or a list of at least one")
        for uri in [*sources, destination_uri_prefix]:
            if not uri.startswith("gs://"):
                raise ValueError(f"batch predictions are read from gs:// and written to gs://, got {uri!r}")
        body = {
            "displayName": f"BatchPredictionJob {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
            "model": self._model_resource_name,
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": sources}},
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": destination_uri_prefix},
            },
            "modelParameters": model_parameters or {},
        }
        # Where the model is, which need not be where init says.
        where = resources.parse_model_name(self._tuned_name).location if self._tuned_name else None
        request_id = resources.new_job_id_of("batch")
        made = self._client.create_batch_prediction(body, request_id=request_id, location=where)
        job = BatchPredictionJob(self._client, made)
        job.wait()
        return job


class CodeChatModel(_CodeModel):
    """A model that talks about code."""

    _KIND = "chat"
    _TEMPLATE = "tune-large-chat-model"

    def tune_model(
        self,
        training_data: Any,
        *,
        train_steps: int | None = None,
        learning_rate_multiplier: float | None = None,
        tuning_job_location: str | None = None,
        tuned_model_location: str | None = None,
        model_display_name: str | None = None,
        default_context: str | None = None,
        accelerator_type: Literal["TPU", "GPU"] | None = None,
        tuning_evaluation_spec: TuningEvaluationSpec | None = None,
    ) -> TuningJob:
        """Begins to tune the model; the job that does it. As for code generation, but chats are not evaluated.

        default_context  applied to every example that has none of its own

        AttributeError for anything but a TensorBoard in the evaluation.
        """
        for name in ("evaluation_data", "evaluation_interval", "enable_early_stopping", "enable_checkpoint_selection"):
            value = getattr(tuning_evaluation_spec, name, None)
            if value is not None:
                raise AttributeError(
                    f"CodeChatModel takes nothing but tensorboard in a TuningEvaluationSpec, got {name}={value!r}; "
                    f"leave {name} out"
                )
        return self._tune(
            training_data,
            {
                "train_steps": train_steps,
                "learning_rate_multiplier": learning_rate_multiplier,
                "default_context": default_context or None,
            },
            tuning_job_location=tuning_job_location,
            tuned_model_location=tuned_model_location,
            model_display_name=model_display_name,
            accelerator_type=accelerator_type,
            tuning_evaluation_spec=tuning_evaluation_spec,
        )

    def start_chat(
        self,
        *,
        context: str | None = None,
        examples: list[InputOutputTextPair] | None = None,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        message_history: list[ChatMessage] | None = None,
        stop_sequences: list[str] | None = None,
    ) -> CodeChatSession:
        """A chat with the model; what is given here holds for each of its messages."""
        return CodeChatSession(
            self,
            context=context,
            examples=examples,
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            message_history=message_history,
            stop_sequences=stop_sequences,
        )


class CodeChatSession:
    """A chat that remembers. A question and its answer enter the history once the answer is whole."""

    USER_AUTHOR = "user"
    MODEL_AUTHOR = "bot"

    def __init__(
        self,
        model: CodeChatModel,
        context: str | None = None,
        examples: list[InputOutputTextPair] | None = None,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        message_history: list[ChatMessage] | None = None,
        stop_sequences: list[str] | None = None,
    ) -> None:
        self._model = model
        self._context = context
        self._examples = examples or []
        self._sampling = _sampling("maxDecodeSteps", max_output_tokens, temperature, stop_sequences, None, top_k, top_p)
        self._message_history = message_history if message_history is not None else []

    @property
    def message_history(self) -> list[ChatMessage]:
        """What was said so far."""
        return self._message_history

    def send_message(
        self,
        message: str,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_sequences: list[str] | None = None,
        candidate_count: int | None = None,
        grounding_source: Any = None,
    ) -> MultiCandidateTextGenerationResponse:
        """The model's answer. What is None is as the chat was started with."""
        _refuse_grounding(grounding_source)
        own = _sampling("maxDecodeSteps", max_output_tokens, temperature, stop_sequences, candidate_count, top_k, top_p)
        client, target = self._model._client, self._model._endpoint_name
        answer = chat_answer(client.predict(target, [self._instance(message)], self._sampling | own))
        self._remember(message, answer.text)
        return answer

    async def send_message_async(
        self,
        message: str,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_sequences: list[str] | None = None,
        candidate_count: int | None = None,
        grounding_source: Any = None,
    ) -> MultiCandidateTextGenerationResponse:
        """As `send_message`."""
        _refuse_grounding(grounding_source)
        own = _sampling("maxDecodeSteps", max_output_tokens, temperature, stop_sequences, candidate_count, top_k, top_p)
        client, target = self._model._client, self._model._endpoint_name
        said = await client.predict_async(target, [self._instance(message)], self._sampling | own)
        answer = chat_answer(said)
        self._remember(message, answer.text)
        return answer

    def send_message_streaming(
        self,
        message: str,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_sequences: list[str] | None = None,
    ) -> Iterator[TextGenerationResponse]:
        """The answer in pieces, as they come."""
        own = _sampling("maxDecodeSteps", max_output_tokens, temperature, stop_sequences, None, top_k, top_p)
        client, target = self._model._client, self._model._endpoint_name
        text = ""
        for prediction in client.stream(target, self._instance(message), self._sampling | own):
            piece = chat_answer({"predictions": [prediction]})
            text += piece.text
            yield piece
        self._remember(message, text)

    async def send_message_streaming_async(
        self,
        message: str,
        *,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_sequences: list[str] | None = None,
    ) -> AsyncIterator[TextGenerationResponse]:
        """As `send_message_streaming`."""
        own = _sampling("maxDecodeSteps", max_output_tokens, temperature, stop_sequences, None, top_k, top_p)
        client, target = self._model._client, self._model._endpoint_name
        text = ""
        async for prediction in client.stream_async(target, self._instance(message), self._sampling | own):
            piece = chat_answer({"predictions": [prediction]})
            text += piece.text
            yield piece
        self._remember(message, text)

    def count_tokens(self, message: str) -> CountTokensResponse:
        """How long the chat would be with that message."""
        client, target = self._model._client, self._model._endpoint_name
        return counted(client.count_tokens(target, [self._instance(message)]))

    def _instance(self, message: str) -> Wire:
        said = [*self._message_history, ChatMessage(message, self.USER_AUTHOR)]
        instance: Wire = {"messages": [{"author": one.author, "content": one.content} for one in said]}
        if self._context:
            instance["context"] = self._context
        if self._examples:
            instance["examples"] = [
                {"input": {"content": pair.input_text}, "output": {"content": pair.output_text}}
                for pair in self._examples
            ]
        return instance

    def _remember(self, message: str, answer: str) -> None:
        self._message_history.append(ChatMessage(message, self.USER_AUTHOR))
        self._message_history.append(ChatMessage(answer, self.MODEL_AUTHOR))


class TuningJob:
    """A job that tunes a model, and the model that it makes."""

    def __init__(self, base_model: _CodeModel, job: PipelineJob) -> None:
        self._base_model = base_model
        self._job = job
        self._model: Any = None

    def __repr__(self) -> str:
        return f"TuningJob({self._job.resource_name!r})"

    @property
    def pipeline_job_name(self) -> str:
        """The job's id."""
        return self._job.name

    @property
    def status(self) -> PipelineState:
        """The job's state now."""
        return self._job.state

    tuning_status = status
    _status = status

    def wait(self) -> None:
        """Returns when the job has ended; JobFailed if it failed."""
        self._job.wait()

    def get_tuned_model(self) -> Any:
        """The tuned model, waited for. JobFailed if there is none: the job failed, or was cancelled or paused."""
        if self._model is None:
            self._job.wait()
            name = self._job.model_name
            if name is None:
                ending = self._job.state.name.removeprefix("PIPELINE_STATE_").lower()
                raise JobFailed(f"job {self._job.resource_name} is {ending}: it has made no model", self._job.error)
            self._model = type(self._base_model).get_tuned_model(name)
        return self._model

    result = get_tuned_model

    def cancel(self) -> None:
        """Asks for the job's end."""
        self._job.cancel()

    _cancel = cancel


# Of models.


def _other_families(kind: catalog.Kind) -> set[str]:
    """The first words of the reference product's models that are of another kind; other base models are of every."""
    own = {"generation": {"code"}, "chat": {"codechat"}}[kind]
    return {"code", "codechat", "text", "chat"} - own


def _base_of(model: Mapping[str, Any], name: str) -> str:
    """The id of the publisher model that a model was tuned from."""
    label = model.get("labels", {}).get(resources.BASE_MODEL_LABEL)
    if not label:
        raise ValueError(f"{name} has no label {resources.BASE_MODEL_LABEL}: it is no tuned language model")
    family, _, version = label.rpartition("-")
    reference = f"{family}@{version}"
    own: str = model.get("tunesmith", {}).get("baseModel", label)
    return reference if reference in catalog.REFERENCE_MODELS else own


def _label_of(tuning_id: str) -> str:
    if tuning_id in catalog.REFERENCE_MODELS:
        return resources.base_model_label("", tuning_id)
    return resources.base_model_label(tuning_id, "")


# Of tuning jobs.


def _region(name: str, location: str) -> str:
    if location not in catalog.REGIONS:
        raise ValueError(f"{name} must be one of {', '.join(catalog.REGIONS)}, got {location!r}")
    return location


def _evaluation(spec: TuningEvaluationSpec | None, location: str) -> dict[str, Any]:
    """What a job is told of its evaluation."""
    if spec is None:
        return {}
    if spec.evaluation_data is not None and not isinstance(spec.evaluation_data, str):
        raise TypeError(f"evaluation_data must be a gs:// URI, got a {type(spec.evaluation_data).__name__}")
    if spec.evaluation_data and not spec.evaluation_data.startswith("gs://"):
        raise ValueError(f"evaluation_data must be a gs:// URI, got {spec.evaluation_data!r}")
    return {
        "evaluation_data_uri": spec.evaluation_data or None,
        "evaluation_interval": spec.evaluation_interval,
        "enable_early_stopping": spec.enable_early_stopping,
        "enable_checkpoint_selection": spec.enable_checkpoint_selection,
        "tensorboard_resource_id": _tensorboard(spec.tensorboard, location),
    }


def _tensorboard(board: Any, location: str) -> str | None:
    if board is None:
        return None
    name = getattr(board, "resource_name", board)
    if not isinstance(name, str):
        raise TypeError(f"tensorboard must be a TensorBoard's resource name, got a {type(board).__name__}")
    match = _TENSORBOARD_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"tensorboard must be projects/P/locations/L/tensorboards/ID, got {name!r}")
    if match[1] != location:
        raise ValueError(f"the TensorBoard must be where the tuning job is, {location}; {name} is in {match[1]}")
    return name


def _display_name(model_id: str, parameters: Mapping[str, Any], dataset: str) -> str:
    """What a tuned model is called if nobody says: model, steps, multiplier, and the end of its data's URI."""
    name = f"{model_id} tuned"
    if parameters.get("train_steps"):
        name += f" for {parameters['train_steps']} steps"
    if parameters.get("learning_rate_multiplier"):
        name += f" with learning_rate_multiplier={parameters['learning_rate_multiplier']}"
    name += " on "
    room = MAX_DISPLAY_NAME - len(name)
    return name + (dataset if len(dataset) <= room else f"...{dataset[-(room - 3) :]}")


def _job_body(template: str, values: Mapping[str, Any], defaults: Defaults) -> Wire:
    """The PipelineJob that is submitted."""
    body: Wire = {
        "displayName": values["model_display_name"],
        "runtimeConfig": {"gcsOutputDirectory": defaults.staging, "parameterValues": dict(values)},
        "templateUri": f"{_TEMPLATES}/{template}/v3.0.0",
    }
    if defaults.encryption_key:
        body["encryptionSpec"] = {"kmsKeyName": defaults.encryption_key}
    if defaults.service_account:
        body["serviceAccount"] = defaults.service_account
    if defaults.network:
        body["network"] = defaults.network
    return body


def _staged(data: Any, model_id: str, defaults: Defaults) -> str:
    """Where the server finds the training data; what is not there yet is put there."""
    if isinstance(data, str) and ("://" in data or _DATASET_NAME.fullmatch(data)):
        if not data.startswith(("gs://", "s3://", "projects/")):
            raise ValueError(f"training_data must be a gs:// URI or a file of this machine, got {data!r}")
        return data
    if isinstance(data, str | os.PathLike):
        file = Path(data).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"training_data: there is no file {file}; give a gs:// URI or a file")
        return _upload(file, file.name, model_id, defaults)
    return _upload(_rows_as_lines(data), "training_data.jsonl", model_id, defaults)


def _rows_as_lines(data: Any) -> bytes:
    """A DataFrame's rows, or a list's, as JSON Lines."""
    if hasattr(data, "to_json"):
        text = data.to_json(orient="records", lines=True)
    elif hasattr(data, "write_ndjson"):
        text = data.write_ndjson()
    elif isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in data)
    else:
        raise TypeError(
            f"training_data must be a gs:// URI, a file, a DataFrame or a list of rows, got {type(data).__name__}"
        )
    return str(text).encode()


def _upload(source: bytes | Path, name: str, model_id: str, defaults: Defaults) -> str:
    token = resources.new_job_id_of("x").removeprefix("x-")
    uri = f"{defaults.staging}/tuned_language_models/{model_id}/tuned_model_{token}/{name}"
    return defaults.client.stage(source, uri)


# Of predictions.


def _instance(prefix: str, suffix: str | None) -> Wire:
    return {"prefix": prefix} if suffix is None else {"prefix": prefix, "suffix": suffix}


def _sampling(
    length: str,
    max_output_tokens: int | None,
    temperature: float | None,
    stop_sequences: list[str] | None,
    candidate_count: int | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> dict[str, Any]:
    """The parameters that were given. `length`: what the longest answer is called for this kind of model."""
    values = {
        length: max_output_tokens,
        "temperature": None if temperature is None else float(temperature),
        "stopSequences": stop_sequences or None,
        "candidateCount": candidate_count,
        "topK": top_k,
        "topP": None if top_p is None else float(top_p),
    }
    return {name: value for name, value in values.items() if value is not None}


def _refuse_grounding(source: Any) -> None:
    if source is not None:
        raise ValueError("grounding_source: models answer from their weights alone here; leave it out")
