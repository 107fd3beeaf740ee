"""language_models against the real application: what is submitted, what is refused here, answers, chats, jobs, init."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from served import Reply, Request, Served, finish, scripted, served
from tunesmith import default_client, remote_jobs
from tunesmith.answers import chat_answer, code_answer
from tunesmith.errors import DataLoss, InvalidArgument, NotFound
from tunesmith.language_models import (
    ChatMessage,
    CodeChatModel,
    CodeGenerationModel,
    InputOutputTextPair,
    JobFailed,
    TuningEvaluationSpec,
    TuningJob,
)
from tunesmith.settings import Settings
from tunesmith.store import Ending

DATA = "gs://my-bucket/train.jsonl"
ROWS = [{"input_text": f"a {i}", "output_text": f"b {i}"} for i in range(12)]
VARIABLES = ("TUNESMITH_SERVER", "TUNESMITH_API_KEY", *default_client.PROJECT_VARIABLES)


@pytest.fixture(autouse=True)
def _as_if_new(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(default_client, "_said", default_client.Defaults())
    monkeypatch.setattr(remote_jobs, "FIRST_LOOK_S", 0.01)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    default_client.current().client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(Settings(tmp_path / "home", chat_evaluation=False)) as found:
        tunesmith.init(project="p", location="us-central1", server=found.url, staging_bucket="gs://staging/area")
        yield found


@pytest.fixture
def code(server: Served) -> CodeGenerationModel:
    return CodeGenerationModel.from_pretrained("code-bison@002")


@pytest.fixture
def chat(server: Served) -> CodeChatModel:
    return CodeChatModel.from_pretrained("codechat-bison@002")


def submitted(job: TuningJob) -> Any:
    """What the server has of a job."""
    return job._job.to_dict()


def values(job: TuningJob) -> Any:
    return submitted(job)["runtimeConfig"]["parameterValues"]


def tuned(server: Served, model: Any, **given: Any) -> Any:
    job = model.tune_model(DATA, train_steps=2, **given)
    finish(server.store, f"p.{job.pipeline_job_name}")
    return job.get_tuned_model()


# What is submitted.


def test_only_what_was_given_is_submitted(code: CodeGenerationModel) -> None:
    job = code.tune_model(DATA)
    assert values(job) == {
        "project": "p",
        "location": "us-central1",
        "large_model_reference": "code-bison@002",
        "model_display_name": f"code-bison@002 tuned on {DATA}",
        "dataset_uri": DATA,
    }
    assert submitted(job)["templateUri"].endswith("/tune-large-model/v3.0.0")
    assert job.pipeline_job_name.startswith("tune-large-model-20")


def test_everything_that_was_given_is_submitted(server: Served, code: CodeGenerationModel) -> None:
    """M.1, M.2, S22-S26."""
    spec = TuningEvaluationSpec(
        evaluation_data="gs://my-bucket/evaluation.jsonl",
        evaluation_interval=5,
        enable_early_stopping=False,
        enable_checkpoint_selection=True,
    )
    job = code.tune_model(
        training_data=DATA,
        train_steps=20,
        learning_rate_multiplier=1.5,
        tuning_job_location="europe-west4",
        tuned_model_location="us-central1",
        model_display_name="mine",
        tuning_evaluation_spec=spec,
        accelerator_type="GPU",
        max_context_length="8k",
    )
    assert submitted(job)["name"].startswith("projects/p/locations/europe-west4/pipelineJobs/")
    assert values(job) == {
        "project": "p",
        "location": "us-central1",
        "large_model_reference": "code-bison@002",
        "model_display_name": "mine",
        "dataset_uri": DATA,
        "train_steps": 20,
        "learning_rate_multiplier": 1.5,
        "accelerator_type": "GPU",
        "max_context_length": "8k",
        "evaluation_data_uri": "gs://my-bucket/evaluation.jsonl",
        "evaluation_interval": 5,
        "enable_early_stopping": False,
        "enable_checkpoint_selection": True,
    }


def test_a_chat_is_submitted_with_its_context_to_its_own_template(chat: CodeChatModel) -> None:
    job = chat.tune_model(DATA, default_context="You write Go.")
    assert values(job)["default_context"] == "You write Go."
    assert submitted(job)["templateUri"].endswith("/tune-large-chat-model/v3.0.0")


def test_a_customers_key_and_account_of_init_are_submitted(server: Served) -> None:
    """T11."""
    key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
    tunesmith.init(encryption_spec_key_name=key, service_account="me@example.test", network="n")
    job = CodeGenerationModel.from_pretrained("code-bison").tune_model(DATA)
    said = submitted(job)
    assert said["encryptionSpec"] == {"kmsKeyName": key}
    assert values(job)["encryption_spec_key_name"] == key
    assert (said["serviceAccount"], said["network"]) == ("me@example.test", "n")


def test_a_name_that_nobody_gave_says_steps_multiplier_and_the_end_of_the_uri(code: CodeGenerationModel) -> None:
    """M.5."""
    uri = "gs://my-bucket/" + "x" * 200 + "/end.jsonl"
    name = values(code.tune_model(uri, train_steps=7, learning_rate_multiplier=0.5))["model_display_name"]
    assert name.startswith("code-bison@002 tuned for 7 steps with learning_rate_multiplier=0.5 on ...x")
    assert name.endswith("/end.jsonl")
    assert len(name) == 128


class Frame:
    """As much of a DataFrame as is asked for."""

    def to_json(self, *, orient: str, lines: bool) -> str:
        assert (orient, lines) == ("records", True)
        return "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize("kind", ["DataFrame", "rows", "file", "path"])
def test_data_of_this_machine_are_uploaded_under_a_place_of_their_own(
    tmp_path: Path, code: CodeGenerationModel, kind: str
) -> None:
    """M.4."""
    file = tmp_path / "training_data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    data = {"DataFrame": Frame(), "rows": ROWS, "file": str(file), "path": file}[kind]
    uris = [values(code.tune_model(data))["dataset_uri"] for _ in range(2)]
    assert uris[0] != uris[1]
    for uri in uris:
        assert uri.startswith("gs://staging/area/tuned_language_models/code-bison@002/tuned_model_20")
        assert uri.endswith("/training_data.jsonl")
        assert [json.loads(line) for line in code._client.download(uri).splitlines()] == ROWS


def test_without_a_staging_bucket_the_project_has_one(server: Served) -> None:
    tunesmith.init(project="other")
    default_client._said = default_client.Defaults(project="my.project", server=server.url)
    job = CodeGenerationModel.from_pretrained("code-bison").tune_model(ROWS)
    assert values(job)["dataset_uri"].startswith("gs://my-project-tunesmith-staging/tuned_language_models/")


# What is refused before anything is sent (M.3).


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"tuning_job_location": "us-centra1"}, ValueError, "northamerica-northeast1.*'us-centra1'"),
        ({"tuned_model_location": "mars"}, ValueError, "tuned_model_location.*europe-west9"),
        ({"accelerator_type": "A100"}, ValueError, "TPU, GPU"),
        (
            {"tuning_evaluation_spec": TuningEvaluationSpec(evaluation_data="e.jsonl")},
            ValueError,
            "gs:// URI, got 'e.jsonl'",
        ),
        (
            {"tuning_evaluation_spec": TuningEvaluationSpec(evaluation_data=Frame())},
            TypeError,
            "gs:// URI, got a Frame",
        ),  # type: ignore[arg-type]
        (
            {
                "tuning_evaluation_spec": TuningEvaluationSpec(
                    tensorboard="projects/p/locations/us-west1/tensorboards/1"
                )
            },
            ValueError,
            "us-central1.*us-west1",
        ),
        ({"tuning_evaluation_spec": TuningEvaluationSpec(tensorboard="123")}, ValueError, "tensorboards/ID"),
        ({"tuning_evaluation_spec": TuningEvaluationSpec(tensorboard=3)}, TypeError, "int"),
        ({"training_data": 3}, TypeError, "got int"),
        ({"training_data": []}, TypeError, "got list"),
        ({"training_data": ["a"]}, TypeError, "got list"),
        ({"training_data": "bq://p.d.t"}, ValueError, "bq://p.d.t"),
        ({"training_data": "/no/such/file"}, FileNotFoundError, "/no/such/file"),
    ],
)
def test_a_wrong_argument_is_refused_and_nothing_is_submitted(
    code: CodeGenerationModel, given: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        code.tune_model(**({"training_data": DATA} | given))
    assert list(code._client.jobs()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("evaluation_data", "gs://b/e.jsonl"),
        ("evaluation_interval", 20),
        ("enable_early_stopping", False),
        ("enable_checkpoint_selection", True),
    ],
)
def test_a_chat_takes_no_evaluation(chat: CodeChatModel, name: str, value: Any) -> None:
    with pytest.raises(AttributeError, match=f"{name}={value!r}"):
        chat.tune_model(DATA, tuning_evaluation_spec=TuningEvaluationSpec(**{name: value}))


def test_a_model_that_cannot_be_tuned_says_so() -> None:
    script = Reply(200, b'{"name": "publishers/google/models/fixed"}')
    with scripted(lambda request: script) as url:
        tunesmith.init(server=url)
        with pytest.raises(RuntimeError, match="fixed model does not support tuning"):
            CodeGenerationModel.from_pretrained("fixed").tune_model(DATA)


def test_what_the_server_refuses_comes_with_its_fields(code: CodeGenerationModel) -> None:
    with pytest.raises(InvalidArgument) as caught:
        code.tune_model(DATA, train_steps=0)
    assert [v.field for v in caught.value.violations] == ["runtimeConfig.parameterValues.train_steps"]


# Loading and listing.


@pytest.mark.parametrize("name", ["codechat-bison@002", "text-bison@001", "chat-bison"])
def test_a_model_of_another_kind_is_not_loaded(server: Served, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CodeGenerationModel.from_pretrained(name)


def test_an_unknown_model_is_not_found(server: Served) -> None:
    with pytest.raises(NotFound, match="code-bisom"):
        CodeGenerationModel.from_pretrained("code-bisom")


def test_tuned_models_are_listed_with_the_base_that_they_were_tuned_from(server: Served, code: Any, chat: Any) -> None:
    """S65, S66."""
    names = [tuned(server, model)._tuned_name for model in (code, code, chat)]
    assert code.list_tuned_model_names() == [names[1], names[0]]
    assert chat.list_tuned_model_names() == [names[2]]
    assert CodeGenerationModel.from_pretrained("code-bison").list_tuned_model_names() == [names[1], names[0]]


def test_a_tuned_model_is_loaded_by_its_name_and_asked_at_its_endpoint(server: Served, code: Any) -> None:
    """S67."""
    name = tuned(server, code)._tuned_name
    for given in (name, name.rpartition("/")[2]):
        loaded = CodeGenerationModel.get_tuned_model(given)
        assert loaded.predict("def f").raw_prediction_response.model_resource_name == name
        assert loaded._model_id == "code-bison@002"
    with pytest.raises(ValueError, match="code generation model, which CodeChatModel cannot load"):
        CodeChatModel.get_tuned_model(name)


def test_a_tuned_model_on_no_endpoint_is_put_on_one(server: Served, code: Any) -> None:
    """M.6."""
    name = tuned(server, code)._tuned_name
    (deployed,) = code._client.model(name)["deployedModels"]
    code._client.undeploy_model(deployed["endpoint"], deployed["deployedModelId"])
    loaded = CodeGenerationModel.get_tuned_model(name)
    assert loaded._endpoint_name != deployed["endpoint"]
    assert loaded.predict("def f").text == "ab"
    assert CodeGenerationModel.get_tuned_model(name)._endpoint_name == loaded._endpoint_name


def test_a_model_without_the_label_of_its_base_is_no_language_model() -> None:
    body = json.dumps({"name": "projects/p/locations/us-central1/models/1", "labels": {}}).encode()
    with scripted(lambda request: Reply(200, body)) as url:
        tunesmith.init(server=url, project="p")
        with pytest.raises(ValueError, match="google-vertex-llm-tuning-base-model-id"):
            CodeGenerationModel.get_tuned_model("1")


# Answers.


def test_what_is_asked_reaches_the_model(server: Served, code: CodeGenerationModel) -> None:
    code.predict("def f", "return", max_output_tokens=9, temperature=1, stop_sequences=["\n"], candidate_count=2)
    code.predict("def f")
    full, plain = server.asked
    assert full["conversation"] == {"kind": "generation", "prefix": "def f", "suffix": "return"}
    assert (full["max_output_tokens"], full["temperature"], full["stop"], full["candidates"]) == (9, 1.0, ["\n"], 2)
    assert not {"max_output_tokens", "temperature", "stop", "candidates"} & set(plain)


def test_a_zero_is_sent_and_not_taken_for_nothing(server: Served, code: CodeGenerationModel) -> None:
    code.predict("def f", max_output_tokens=0, temperature=0)
    assert (server.asked[-1]["max_output_tokens"], server.asked[-1]["temperature"]) == (0, 0.0)


def test_every_candidate_is_there_and_the_first_is_the_answer(code: CodeGenerationModel) -> None:
    answer = code.predict("def f", candidate_count=3)
    assert [candidate.text for candidate in answer.candidates] == ["ab"] * 3
    assert (answer.text, str(answer), repr(answer)) == ("ab", "ab", "ab")
    assert (answer.is_blocked, answer.errors, answer.safety_attributes) == (False, (), {})
    assert answer.grounding_metadata is not None
    assert answer.grounding_metadata.citations == []
    assert answer.raw_prediction_response.predictions[0]["content"] == "ab"


def test_pieces_make_the_answer_sync_and_async(code: CodeGenerationModel) -> None:
    async def pieces() -> list[str]:
        return [piece.text async for piece in code.predict_streaming_async("def f", max_output_tokens=9)]

    async def whole() -> str:
        return (await code.predict_async("def f", max_output_tokens=9)).text

    assert [piece.text for piece in code.predict_streaming("def f", max_output_tokens=9)] == ["a", "b"]
    assert asyncio.run(pieces()) == ["a", "b"]
    assert asyncio.run(whole()) == code.predict("def f", max_output_tokens=9).text == "ab"


def test_tokens_are_counted(code: CodeGenerationModel, chat: CodeChatModel) -> None:
    counted = code.count_tokens("def f", suffix="x")
    assert (counted.total_tokens, counted.total_billable_characters) == (7, 5)
    assert chat.start_chat().count_tokens("def f").total_billable_characters == 4


def test_what_was_found_of_an_answer_is_told() -> None:
    safety = {"blocked": True, "categories": ["Toxic"], "scores": [0.5], "errors": [220.0]}
    sources = {"citations": [{"startIndex": 1, "url": "u", "publicationDate": "d"}], "searchQueries": ["q"]}
    one = {"content": "", "safetyAttributes": safety, "groundingMetadata": sources}
    code = code_answer({"predictions": [one]})
    chat = chat_answer(
        {"predictions": [{"candidates": [one], "safetyAttributes": [safety], "groundingMetadata": [sources]}]}
    )
    for answer in (code, chat):
        assert (answer.is_blocked, answer.errors, answer.safety_attributes) == (True, (220,), {"Toxic": 0.5})
        assert answer.grounding_metadata is not None
        (citation,) = answer.grounding_metadata.citations
        assert (citation.start_index, citation.url, citation.publication_date) == (1, "u", "d")
        assert answer.grounding_metadata.search_queries == ["q"]
        assert "is_blocked=True" in repr(answer)


# Chats.


def conversation(server: Served) -> list[tuple[str, str]]:
    return [(m["author"], m["content"]) for m in server.asked[-1]["conversation"]["messages"]]


def test_a_chat_remembers(server: Served, chat: CodeChatModel) -> None:
    session = chat.start_chat(context="c", examples=[InputOutputTextPair("i", "o")], max_output_tokens=9)
    assert session.send_message("one").text == "ab"
    session.send_message("two", temperature=0.5)
    shown = [("user", "i"), ("assistant", "o")]
    assert conversation(server) == [*shown, ("user", "one"), ("assistant", "ab"), ("user", "two")]
    assert server.asked[-1]["conversation"]["context"] == "c"
    assert (server.asked[-1]["max_output_tokens"], server.asked[-1]["temperature"]) == (9, 0.5)
    assert session.message_history == [
        ChatMessage("one", "user"),
        ChatMessage("ab", "bot"),
        ChatMessage("two", "user"),
        ChatMessage("ab", "bot"),
    ]


def test_a_chat_goes_on_from_a_history(server: Served, chat: CodeChatModel) -> None:
    history = [ChatMessage(author="user", content="before"), ChatMessage(author="bot", content="yes")]
    session = chat.start_chat(message_history=history)

    async def talk() -> str:
        text = "".join([piece.text async for piece in session.send_message_streaming_async("one")])
        return text + (await session.send_message_async("two", candidate_count=2)).candidates[1].text

    assert asyncio.run(talk()) == "abab"
    assert [content for _, content in conversation(server)] == ["before", "yes", "one", "ab", "two"]
    assert len(session.message_history) == 6


def test_an_answer_that_was_not_read_to_its_end_is_not_remembered(chat: CodeChatModel) -> None:
    session = chat.start_chat()
    pieces = session.send_message_streaming("one")
    assert next(pieces).text == "a"
    pieces.close()  # type: ignore[attr-defined]
    assert session.message_history == []
    assert "".join(piece.text for piece in session.send_message_streaming("two")) == "ab"
    assert [message.content for message in session.message_history] == ["two", "ab"]


def test_a_refused_message_is_not_remembered(chat: CodeChatModel) -> None:
    session = chat.start_chat()
    with pytest.raises(InvalidArgument, match="must be a text"):
        session.send_message(3)  # type: ignore[arg-type]
    assert session.message_history == []


def test_grounding_is_refused(chat: CodeChatModel) -> None:
    with pytest.raises(ValueError, match="grounding_source"):
        chat.start_chat().send_message("one", grounding_source=object())


# Jobs.


def test_a_jobs_state_is_the_apis(server: Served, code: CodeGenerationModel) -> None:
    job = code.tune_model(DATA, train_steps=2)
    assert job._status == job.status == job.tuning_status == job._job.state == 1
    assert job.status.name == "PIPELINE_STATE_QUEUED"
    finish(server.store, f"p.{job.pipeline_job_name}")
    job.wait()
    assert job.status.name == "PIPELINE_STATE_SUCCEEDED"
    assert job.get_tuned_model() is job.get_tuned_model() is job.result()


def test_a_job_that_failed_is_a_runtime_error_with_the_reason(server: Served, code: CodeGenerationModel) -> None:
    job = code.tune_model(DATA, train_steps=2)
    claim = server.store.claim("w", now_s=1.0, lease_s=10.0)
    assert claim is not None
    server.store.started(claim, "h", now_s=1.0)
    error = DataLoss("the file is torn").to_json()
    server.store.settle(claim, Ending("failed", error=error), now_s=2.0)
    for look in (job.wait, job.get_tuned_model):
        with pytest.raises(RuntimeError, match="the file is torn") as caught:
            look()
        assert isinstance(caught.value, JobFailed)
        assert isinstance(caught.value.error, DataLoss)
    assert job._job.has_failed


def test_a_cancelled_job_has_made_no_model(code: CodeGenerationModel) -> None:
    job = code.tune_model(DATA)
    job._cancel()
    job.wait()
    with pytest.raises(RuntimeError, match="is cancelled: it has made no model"):
        job.get_tuned_model()


# Batch predictions.


class Batches:
    """A server of batch predictions: each look moves the job on."""

    def __init__(self, ending: dict[str, Any]) -> None:
        self.states = ["JOB_STATE_RUNNING", ending["state"]]
        self.ending = ending
        self.body: Any = None

    def __call__(self, request: Request) -> Reply:
        said: Any = {"name": "publishers/google/models/code-bison", "publisherModelTemplate": "x/code-bison@002"}
        name = "projects/p/locations/us-central1/batchPredictionJobs/1"
        if "/batchPredictionJobs?requestId=batch-" in request.path:
            self.body = json.loads(request.body)
            said = {"name": name, "state": "JOB_STATE_PENDING"}
        elif request.path == f"/v1/{name}":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            said = {"name": name, **self.ending, "state": state}
        elif "/o?" in request.path:
            assert "prefix=out%2Fprediction%2F" in request.path
            said = {"items": [{"name": "out/prediction/000.jsonl"}]}
        elif "/download/" in request.path:
            return Reply(200, b'{"predictions": []}\n')
        return Reply(200, json.dumps(said).encode())


def test_a_batch_is_submitted_waited_for_and_read() -> None:
    server = Batches(
        {"state": "JOB_STATE_SUCCEEDED", "outputInfo": {"gcsOutputDirectory": "gs://bucket/out/prediction"}}
    )
    with scripted(server) as url:
        tunesmith.init(server=url, project="p")
        job = CodeGenerationModel.from_pretrained("code-bison@002").batch_predict(
            dataset="gs://bucket/in.jsonl",
            destination_uri_prefix="gs://bucket/out",
            model_parameters={"maxOutputTokens": 9},
        )
        assert job.state.name == "JOB_STATE_SUCCEEDED"
        assert [(one.name, one.download_as_text()) for one in job.iter_outputs()] == [
            ("out/prediction/000.jsonl", '{"predictions": []}\n')
        ]
    assert server.body["model"] == "publishers/google/models/code-bison@002"
    assert server.body["inputConfig"] == {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://bucket/in.jsonl"]}}
    assert server.body["outputConfig"] == {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "gs://bucket/out"},
    }
    assert server.body["modelParameters"] == {"maxOutputTokens": 9}


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED"])
def test_a_batch_without_a_result_is_a_runtime_error(state: str) -> None:
    server = Batches({"state": f"JOB_STATE_{state}", "error": {"code": 3, "message": "line 3 is none"}})
    with scripted(server) as url:
        tunesmith.init(server=url, project="p")
        model = CodeGenerationModel.from_pretrained("code-bison@002")
        with pytest.raises(RuntimeError, match=f"{state.lower()}: line 3 is none"):
            model.batch_predict(dataset=["gs://b/i"], destination_uri_prefix="gs://b/o")


@pytest.mark.parametrize(
    ("dataset", "prefix"), [("bq://x", "gs://b/o"), ("in.jsonl", "gs://b/o"), (["gs://b/i", "x"], "gs://b/o"), ([], ""),
                            ("gs://b/i", "/tmp/x")]
)  # fmt: skip
def test_a_batch_is_read_and_written_in_buckets_only(code: CodeGenerationModel, dataset: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match="gs://"):
        code.batch_predict(dataset=dataset, destination_uri_prefix=prefix)


# init.


def test_what_init_does_not_say_stays_as_it_was(server: Served) -> None:
    tunesmith.init(location="europe-west4")
    client = default_client.current().client
    assert (client.server, client.project, client.location) == (server.url, "p", "europe-west4")


def test_what_init_does_not_say_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_SERVER", "http://127.0.0.1:7")
    monkeypatch.setenv("TUNESMITH_API_KEY", "secret-key")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-environment")
    client = default_client.Defaults().client
    assert (client.server, client.project) == ("http://127.0.0.1:7", "from-environment")
    assert client._headers == {"Authorization": "Bearer secret-key"}
    client.close()


def test_without_a_word_it_is_this_machines_server() -> None:
    client = default_client.current().client
    assert (client.server, client.project, client.location) == ("http://127.0.0.1:8080", "local", "us-central1")


@pytest.mark.parametrize("name", ["credentials", "api_endpoint", "experiment", "api_transport"])
def test_what_is_googles_alone_is_named_in_a_warning(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name}: a Tunesmith server has no use"):
        tunesmith.init(project="p", **{name: "x"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", [{"server": "nowhere"}, {"project": "A B"}, {"api_key": "a\nb"}, {"staging_bucket": "s3://b"}]
)
def test_a_wrong_word_is_refused_and_changes_nothing(given: dict[str, str]) -> None:
    before = default_client.current()
    with pytest.raises(InvalidArgument):
        tunesmith.init(**given)  # type: ignore[arg-type]
    assert default_client.current() is before


def test_the_key_is_in_no_repr(server: Served) -> None:
    tunesmith.init(api_key="very-secret")
    model = CodeGenerationModel("code-bison")
    shown = [repr(default_client.current()), repr(model), str(vars(model)), repr(model._client)]
    assert all("very-secret" not in text for text in shown)


def test_importing_the_package_loads_nothing_and_language_models_needs_httpx_alone() -> None:
    code = (
        "import sys, tunesmith; before = set(sys.modules)\n"
        "assert 'httpx' not in before and 'tunesmith.client' not in before, before\n"
        "tunesmith.language_models.CodeChatModel; tunesmith.init\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    source = str(Path(tunesmith.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours = {"fastapi", "pydantic", "typer", "numpy", "torch", "sqlalchemy", "uvicorn", "obstore", "starlette", "pandas"}
    assert not ours & set(eval(done.stdout))


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        _: Callable[..., Any] = tunesmith.nothing_such  # type: ignore[attr-defined]
