"""The REST client: what it repeats and what it does not, what its errors say, pages, streams, uploads, watching."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from making import make_plan
from served import Reply, Request, Served, finish, scripted, served
from tunesmith import client as client_module
from tunesmith import pipeline
from tunesmith.client import ArrayReader, Client, from_tensor, to_tensor
from tunesmith.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TunesmithError,
    Unauthenticated,
    Unavailable,
)
from tunesmith.folder import JobFolder, append_jsonl, write_json
from tunesmith.remote_jobs import PipelineJob, PipelineState
from tunesmith.settings import Settings
from tunesmith.store import Asked

SECRET = "tsk-very-secret-0123456789"
UNREACHED = "http://127.0.0.1:9"
ROWS = b'{"input_text": "a", "output_text": "b"}\n' * 12
JOB = {
    "displayName": "a job",
    "runtimeConfig": {
        "gcsOutputDirectory": "gs://data/out",
        "parameterValues": {
            "project": "p",
            "model_display_name": "m",
            "dataset_uri": "gs://data/train.jsonl",
            "large_model_reference": "code-bison@002",
            "train_steps": 2,
        },
    },
    "templateUri": "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0",
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(Settings(tmp_path)) as found:
        yield found


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    with Client(server.url, project="p") as found:
        yield found


class Script:
    """Replies in their order, the last one for ever; what was asked."""

    def __init__(self, *replies: Reply | None) -> None:
        self.replies = list(replies)
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Reply | None:
        self.asked.append(request)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def replied(value: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def refused(status: int, name: str, message: str = "no") -> Reply:
    return replied({"error": {"code": status, "message": message, "status": name}}, status)


AWAY = refused(503, "UNAVAILABLE", "not now")


# What is repeated.


@pytest.mark.parametrize("trouble", [AWAY, Reply(502, b"<html>"), Reply(504, b""), None, Reply(200, b"{", cut=True)])
def test_a_read_is_repeated_until_it_is_answered(trouble: Reply | None) -> None:
    script = Script(AWAY, trouble, trouble, replied({"name": "n"}))
    with scripted(script) as url, Client(url, project="p") as client:
        assert client.job("job") == {"name": "n"}
    assert [request.path for request in script.asked] == ["/v1/projects/p/locations/us-central1/pipelineJobs/job"] * 4


def test_a_read_that_is_never_answered_ends_with_the_servers_words() -> None:
    script = Script(AWAY)
    with scripted(script) as url, Client(url) as client, pytest.raises(Unavailable, match="not now"):
        client.job("job")
    assert len(script.asked) == client_module.TRIES


@pytest.mark.parametrize("status", [(400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (429, "RESOURCE_EXHAUSTED")])
def test_an_answer_that_will_not_change_is_not_asked_for_again(status: tuple[int, str]) -> None:
    script = Script(refused(*status))
    with scripted(script) as url, Client(url) as client, pytest.raises(TunesmithError, match="no") as caught:
        client.job("job")
    assert caught.value.status == status[1]
    assert len(script.asked) == 1


def test_a_submit_is_repeated_under_the_same_id_with_the_same_body() -> None:
    script = Script(AWAY, None, replied({"name": "n"}))
    with scripted(script) as url, Client(url) as client:
        assert client.create_job(JOB, job_id="mine") == {"name": "n"}
    assert len(script.asked) == 3
    assert {(request.path, request.body) for request in script.asked} == {(script.asked[0].path, script.asked[0].body)}
    assert script.asked[0].path.endswith("pipelineJobs?pipelineJobId=mine")


def test_a_batch_is_repeated_under_the_same_request_id() -> None:
    script = Script(replied({}), AWAY, None, replied({"name": "n"}))
    with scripted(script) as url, Client(url) as client:
        client.job("job")
        assert client.create_batch_prediction({}, request_id="mine", location="europe-west4") == {"name": "n"}
    paths = {request.path for request in script.asked[1:]}
    assert paths == {"/v1/projects/local/locations/europe-west4/batchPredictionJobs?requestId=mine"}
    assert len(script.asked) == 4


def test_a_data_set_build_is_repeated_under_the_same_request_id() -> None:
    script = Script(replied({}), AWAY, None, replied({"name": "n"}))
    with scripted(script) as url, Client(url) as client:
        client.job("job")
        assert client.create_dataset_build({}, request_id="mine") == {"name": "n"}
    paths = {request.path for request in script.asked[1:]}
    assert paths == {"/v1/projects/local/locations/us-central1/datasetBuildJobs?requestId=mine"}


def test_a_data_set_build_is_watched_until_it_ends_however_often_the_server_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "LOOK_S", 0.0)
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.0)
    states = ["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_FAILED"]
    replies = [replied({"state": state}) for state in states]
    script = Script(replies[0], *[AWAY] * 7, replies[1], None, replies[2])
    with scripted(script) as url, Client(url) as client:
        assert [job["state"] for job in client.watch_dataset_build("n")] == states


def test_a_repeated_submit_is_one_job_and_another_body_is_refused(client: Client) -> None:
    first = client.create_job(JOB, job_id="mine")
    assert client.create_job(JOB, job_id="mine")["name"] == first["name"]
    assert [job["name"] for job in client.jobs()] == [first["name"]]
    with pytest.raises(AlreadyExists):
        client.create_job({**JOB, "displayName": "another"}, job_id="mine")


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.predict("projects/p/locations/l/endpoints/1", [{}], {}),
        lambda c: c.delete_job("job"),
        lambda c: c.create_endpoint("e"),
        lambda c: list(c.stream("projects/p/locations/l/endpoints/1", {}, {})),
    ],
    ids=["predict", "delete", "endpoint", "stream"],
)
@pytest.mark.parametrize("trouble", [AWAY, None], ids=["503", "hung up"])
def test_what_must_not_arrive_twice_is_sent_once(call: Callable[[Client], Any], trouble: Reply | None) -> None:
    script = Script(replied({}), trouble)
    with scripted(script) as url, Client(url) as client:
        client.job("job")
        with pytest.raises(Unavailable):
            call(client)
    assert len(script.asked) == 2


# What errors say.


def test_a_server_that_is_not_there_is_named_with_its_url() -> None:
    with (
        Client(UNREACHED) as client,
        pytest.raises(Unavailable, match=rf"nothing answers at {UNREACHED} .*tunesmith up"),
    ):
        client.job("job")


def test_an_async_call_names_it_too() -> None:
    with Client(UNREACHED) as client, pytest.raises(Unavailable, match=f"nothing answers at {UNREACHED}"):
        asyncio.run(client.predict_async("projects/p/locations/l/endpoints/1", [{}], {}))


def test_a_wrong_value_comes_with_every_violation(client: Client) -> None:
    values = {**JOB["runtimeConfig"]["parameterValues"], "train_steps": 0, "evaluation_data_uri:": "x"}  # type: ignore[dict-item, index]
    with pytest.raises(InvalidArgument) as caught:
        client.create_job({**JOB, "runtimeConfig": {"parameterValues": values}}, job_id="mine")
    fields = [violation.field for violation in caught.value.violations]
    assert "runtimeConfig.parameterValues.train_steps" in fields
    assert "runtimeConfig.parameterValues[evaluation_data_uri:]" in fields
    assert pickle.loads(pickle.dumps(caught.value)).violations == caught.value.violations


def test_a_thing_that_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="pipelineJobs/nothing does not exist"):
        client.job("nothing")


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (Reply(200, b"<html>hello"), FailedPrecondition, "does not answer as a Tunesmith server"),
        (Reply(200, b"[1]"), FailedPrecondition, "does not answer as a Tunesmith server"),
        (Reply(301, b"", {"Location": "https://x.example/"}), TunesmithError, "points to https://x.example/"),
        (Reply(404, b"<html>\n nothing"), NotFound, "404: <html> nothing"),
        (Reply(403, b"{}"), PermissionDenied, "403"),
        (Reply(418, b'{"error": "teapot"}'), TunesmithError, "418"),
    ],
)
def test_an_answer_of_another_program_is_told_as_such(reply: Reply, kind: type[TunesmithError], said: str) -> None:
    with scripted(Script(reply)) as url, Client(url) as client, pytest.raises(kind, match=said) as caught:
        client.job("job")
    assert url in caught.value.message


def test_the_key_is_in_no_error_and_in_no_repr() -> None:
    def everything(error: BaseException) -> str:
        text = "".join(traceback.format_exception(error)) + repr(error)
        return text + (everything(error.__cause__) if error.__cause__ else "")

    shown = []
    for reply in (refused(401, "UNAUTHENTICATED"), AWAY, None, Reply(200, b"<html>")):
        with scripted(Script(reply)) as url, Client(url, key=SECRET) as client:
            shown.append(repr(client) + str(client))
            with pytest.raises(TunesmithError) as caught:
                client.job("job")
            shown.append(everything(caught.value))
    with Client(UNREACHED, key=SECRET) as client, pytest.raises(Unavailable) as unreached:
        client.job("job")
    shown.append(everything(unreached.value))
    assert all(SECRET not in text for text in shown)


def test_the_key_is_sent_as_a_bearer() -> None:
    script = Script(replied({}))
    with scripted(script) as url, Client(url, key=SECRET) as client:
        client.job("job")
    headers = {name.lower(): value for name, value in script.asked[0].headers.items()}
    assert headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"a {SECRET}", f"{SECRET}\u20ac", f"{SECRET}\r\nX: y"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client(UNREACHED, key=key)
    assert "api_key" in caught.value.message
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_missing_key_says_where_one_is_given(server: Served, client: Client) -> None:
    server.store.create_key("k", None, "tuner")
    with pytest.raises(Unauthenticated, match="TUNESMITH_API_KEY"):
        client.job("job")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://x", "http://", "http://x/v1", "http://x?y", "http://x:99999", "http://x:y"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="server"):
        Client(url)


def test_a_url_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client(f"http://me:{SECRET}@127.0.0.1:8080")
    assert SECRET not in caught.value.message


@pytest.mark.parametrize("name", ["", "../x", "A", "projects/p/locations/l/models/1", "a/b", "a?b"])
def test_a_name_that_is_no_jobs_never_reaches_a_path(name: str) -> None:
    with Client(UNREACHED) as client, pytest.raises(InvalidArgument):
        client.job(name)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", UNREACHED)
    with scripted(Script(replied({"name": "n"}))) as url, Client(url) as client:
        assert client.job("job") == {"name": "n"}


# Lists, operations, models.


def test_a_list_goes_through_all_pages(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(client_module, "PAGE_SIZE", 2)
    for number in range(5):
        client.create_job(JOB, job_id=f"job-{number}")
    assert [job["name"].rpartition("/")[2] for job in client.jobs()] == [f"job-{n}" for n in (4, 3, 2, 1, 0)]
    (found,) = client.jobs(filter_text='name="job-3"')
    assert found["name"].endswith("job-3")


def test_a_model_is_got_listed_and_deleted_once_it_is_undeployed(server: Served, client: Client) -> None:
    client.create_job(JOB, job_id="mine")
    name = finish(server.store, "p.mine")
    model = client.model(name)
    assert model == client.model(name.rpartition("/")[2]) == client.model(f"{name}@default")
    assert [m["name"] for m in client.models()] == [m["name"] for m in client.model_versions(name)] == [name]
    assert model["tunesmith"]["kind"] == "generation"
    with pytest.raises(FailedPrecondition, match="undeploy it first"):
        client.delete_model(name)
    (deployed,) = model["deployedModels"]
    client.undeploy_model(deployed["endpoint"], deployed["deployedModelId"])
    client.delete_endpoint(deployed["endpoint"])
    client.delete_model(name)
    assert list(client.models()) == list(client.endpoints()) == []


def test_what_an_operation_ends_with_is_waited_for_and_its_error_raised() -> None:
    name = "projects/p/locations/l/operations/1"
    script = Script(
        replied({"name": name, "done": False}),
        replied({"name": name, "done": True, "error": {"code": 9, "message": "still deployed"}}),
    )
    with scripted(script) as url, Client(url) as client, pytest.raises(FailedPrecondition, match="still deployed"):
        client.finish({"name": name})
    assert [request.path for request in script.asked] == [f"/v1/{name}"] * 2


def test_what_is_inside_an_operation_has_vertexs_fields_alone(client: Client) -> None:
    """Clients of Google's parse it strictly."""
    job = client.create_job(JOB, job_id="mine")
    assert "tunesmith" in job
    parent = "/v1/projects/p/locations/us-central1/pipelineJobs"
    client.cancel_job("mine")
    operation = client._call("POST", f"{parent}:batchDelete", body={"names": [job["name"]]})
    (inside,) = operation["response"]["pipelineJobs"]
    assert "tunesmith" not in inside


# Objects.


@pytest.mark.parametrize("name", ["train.jsonl", "deep/a b/\u00fc\u4e2d@002:13.9/100%25+x#?&=~.jsonl"])
def test_bytes_and_files_come_back_as_they_were_stored(tmp_path: Path, client: Client, name: str) -> None:
    client.make_bucket("data")
    client.make_bucket("data")
    data = ROWS * 50_000
    (tmp_path / "file").write_bytes(data)
    for source in (b"", ROWS, tmp_path / "file"):
        assert client.upload(source, f"gs://data/{name}") == f"gs://data/{name}"
        assert client.download(f"gs://data/{name}") == (data if isinstance(source, Path) else source)
    assert list(client.objects("gs://data")) == [f"gs://data/{name}"]


def test_an_upload_that_breaks_off_is_sent_again_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(ROWS)
    script = Script(replied({}), AWAY, None, replied({}))
    with scripted(script) as url, Client(url) as client:
        client.job("job")
        client.upload(tmp_path / "file", "gs://data/x")
    assert [request.body for request in script.asked[1:]] == [ROWS] * 3


def test_a_file_that_changes_while_it_is_sent_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(ROWS)

    def change(request: Request) -> Reply:
        file.write_bytes(b"other")
        return refused(400, "INVALID_ARGUMENT", "md5 differs")

    with scripted(change) as url, Client(url) as client, pytest.raises(FailedPrecondition, match="changed while"):
        client.upload(file, "gs://data/x")


def test_a_download_with_other_bytes_than_were_stored_is_data_loss() -> None:
    reply = Reply(200, b"damaged", {"X-Goog-Hash": "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg=="})
    with scripted(Script(reply)) as url, Client(url) as client, pytest.raises(DataLoss, match="gs://data/x"):
        client.download("gs://data/x")


@pytest.mark.parametrize("uri", ["x", "gs://", "gs://data", "gs://data/", "s3://data/x", "gs://A/x"])
def test_a_uri_that_names_no_object_is_refused(uri: str) -> None:
    with Client(UNREACHED) as client, pytest.raises(InvalidArgument, match="gs://BUCKET/OBJECT"):
        client.upload(b"", uri)


# Streams.


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_array_gives_the_same_elements_however_it_is_cut(size: int) -> None:
    value = [{"a": 'x],"[{\\'}, {"b": [1, {"c": "\u4e2d"}]}, {}]
    text = json.dumps(value[:1])[:-1] + ",\r\n" + json.dumps(value[1:], ensure_ascii=False)[1:]
    reader = ArrayReader()
    found = [element for i in range(0, len(text), size) for element in reader.feed(text[i : i + size])]
    reader.check_ended()
    assert found == value


def test_an_array_gives_each_element_as_soon_as_it_is_whole() -> None:
    reader = ArrayReader()
    assert list(reader.feed('[{"a": 1}')) == [{"a": 1}]
    assert list(reader.feed(',\r\n{"b"')) == []
    assert list(reader.feed(": 2}")) == [{"b": 2}]


@pytest.mark.parametrize("text", ["", "[", '[{"a": 1}', '[{"a": 1},', '[{"a": 1}, {"b":'])
def test_an_array_that_breaks_off_is_an_error(text: str) -> None:
    reader = ArrayReader()
    list(reader.feed(text))
    with pytest.raises(Unavailable, match="broke off"):
        reader.check_ended()


@pytest.mark.parametrize(
    "value", [{"a": None, "b": [1, "x", [0.5]], "c": True, "d": {"e": {}}}, "x", 3, 0.25, False, None, []]
)
def test_a_value_is_the_same_after_it_was_a_tensor(value: Any) -> None:
    assert from_tensor(json.loads(json.dumps(to_tensor(value)))) == value


def test_streamed_and_whole_answers_are_the_same_sync_and_async(server: Served, client: Client) -> None:
    target = client.publisher_target("code-bison@002")
    instance, parameters = {"prefix": "def f"}, {"maxOutputTokens": 8, "temperature": 0.0}

    async def pieces() -> list[Any]:
        return [piece async for piece in client.stream_async(target, instance, parameters)]

    async def whole() -> Any:
        return await client.predict_async(target, [instance], parameters)

    assert [piece["content"] for piece in client.stream(target, instance, parameters)] == ["a", "b"]
    assert [piece["content"] for piece in asyncio.run(pieces())] == ["a", "b"]
    assert client.predict(target, [instance], parameters) == asyncio.run(whole())
    assert client.count_tokens(target, [instance])["totalTokens"] == 7
    sent = [{k: v for k, v in question.items() if k != "path"} for question in server.asked[:4]]
    assert sent == [sent[0]] * 4


def test_a_refused_stream_is_the_servers_error(client: Client) -> None:
    target = client.publisher_target("code-bison@002")

    async def pieces() -> list[Any]:
        return [piece async for piece in client.stream_async(target, {"prefx": ""}, {})]

    with pytest.raises(InvalidArgument, match="did you mean prefix"):
        list(client.stream(target, {"prefx": ""}, {}))
    with pytest.raises(InvalidArgument, match="did you mean prefix"):
        asyncio.run(pieces())


def test_a_stream_that_breaks_off_is_an_error_after_what_came() -> None:
    body = b'[{"outputs": [{"structVal": {"content": {"stringVal": ["a"]}}}]},'
    for reply in (Reply(200, body), Reply(200, body, cut=True)):
        with scripted(Script(reply)) as url, Client(url) as client:
            pieces = client.stream("projects/p/locations/l/endpoints/1", {}, {})
            assert next(pieces) == {"content": "a"}
            with pytest.raises(Unavailable, match="broke off"):
                next(pieces)


# Watching.


def event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def test_a_watch_says_nothing_twice_after_a_lost_connection() -> None:
    begun = event("state", state="RUNNING") + event("log", task="tune", attempt=1, line="one")
    begun += b": still here\n\n" + event("metrics", step=1)
    more = (
        event("log", task="tune", attempt=2, line="one") + event("metrics", step=1) + event("state", state="SUCCEEDED")
    )
    script = Script(Reply(200, begun, cut=True), AWAY, None, Reply(200, begun), Reply(200, begun + more))
    with scripted(script) as url, Client(url) as client:
        said = [(one.kind, one.data) for one in client.watch_job("job")]
    assert said == [
        ("state", {"state": "RUNNING"}),
        ("log", {"task": "tune", "attempt": 1, "line": "one"}),
        ("metrics", {"step": 1}),
        ("log", {"task": "tune", "attempt": 2, "line": "one"}),
        ("metrics", {"step": 1}),
        ("state", {"state": "SUCCEEDED"}),
    ]


def test_a_connection_lost_while_an_old_end_is_told_does_not_end_the_watch() -> None:
    """A failed job that was resumed."""
    failed = event("state", state="FAILED")
    script = Script(Reply(200, failed, cut=True), Reply(200, failed + event("state", state="SUCCEEDED")))
    with scripted(script) as url, Client(url) as client:
        assert [one.data["state"] for one in client.watch_job("job")] == ["FAILED", "SUCCEEDED"]


def test_a_server_that_stays_away_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "OUTAGE_S", 0.02)
    script = Script(Reply(200, event("state", state="RUNNING")), AWAY)
    with scripted(script) as url, Client(url) as client:
        events = client.watch_job("job")
        assert next(events).data == {"state": "RUNNING"}
        with pytest.raises(Unavailable, match="not now"):
            next(events)


def test_a_job_that_is_deleted_while_it_is_watched_is_not_found() -> None:
    error = {"status": "NOT_FOUND", "message": "gone", "retryable": False, "details": {}}
    script = Script(Reply(200, event("error", **error)))
    with scripted(script) as url, Client(url) as client, pytest.raises(NotFound, match="gone"):
        list(client.watch_job("job"))


def test_a_watched_job_says_states_progress_metrics_and_log(tmp_path: Path, server: Served, client: Client) -> None:
    server.store.create_job(make_plan(project="p"), job_id="mine", asked=Asked(deploys=True, request={}))
    attempt = JobFolder(tmp_path / "jobs" / "p.mine").attempt(pipeline.TUNE, 1).create()
    for step in (1, 2):
        append_jsonl(attempt.metrics, {"step": step, "eval_total_loss": 1.5})
    attempt.log.write_text("line of 1\n")
    validated = JobFolder(tmp_path / "jobs" / "p.mine").attempt(pipeline.VALIDATE, 1).create()
    write_json(validated.progress, {"phase": "counting", "step": 3})
    validated.log.write_text("x" * 400_000 + "\nlast line\n")
    finish(server.store, "p.mine")
    for task in (pipeline.EVALUATE, pipeline.UPLOAD, pipeline.DEPLOY):
        JobFolder(tmp_path / "jobs" / "p.mine").attempt(task, 1).create()
    said = list(client.watch_job("mine"))
    assert [one.data["step"] for one in said if one.kind == "metrics"] == [1, 2]
    assert [one.data["state"] for one in said if one.kind == "state" and "task" not in one.data][-1] == "SUCCEEDED"
    logged = [one.data["line"] for one in said if one.kind == "log"]
    assert "line of 1" in logged
    assert "last line" in logged
    assert {"task": pipeline.DEPLOY, "attempt": 1} in [one.data for one in said if one.kind == "progress"]


def test_a_stream_waits_as_long_as_a_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: Request) -> Reply:
        time.sleep(1.0)
        return Reply(200, b"[]", {"Content-Type": "application/json"})

    with scripted(slow) as url, Client(url, project="p", timeout_s=0.2) as client:
        assert list(client.stream(client.publisher_target("code-bison"), {"prefix": "x"}, {})) == []


@pytest.mark.parametrize("state", ["PAUSED", "FAILED"])
def test_a_job_that_somebody_resumes_is_seen_to_go_on(state: str) -> None:
    name = "projects/p/locations/us-central1/pipelineJobs/j"
    found = replied({"name": name, "state": "PIPELINE_STATE_SUCCEEDED"})
    with scripted(Script(found)) as url, Client(url, project="p") as client:
        job = PipelineJob(client, {"name": name, "state": f"PIPELINE_STATE_{state}"})
        assert job.state == PipelineState.PIPELINE_STATE_SUCCEEDED
