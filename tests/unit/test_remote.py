"""Commands with --server against the real application: the same documents as here, whose key, what is refused."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from making import make_plan
from served import Served, finish, served
from tunesmith import cli, client, pipeline, remote
from tunesmith.client import WatchEvent
from tunesmith.errors import DataLoss
from tunesmith.folder import JobFolder, write_json
from tunesmith.settings import Settings
from tunesmith.store import Asked, Ending, open_store

ELSEWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _same_hook_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("TUNESMITH_API_KEY", "TUNESMITH_PROJECT", "TUNESMITH_SERVER"):
        monkeypatch.delenv(name, raising=False)
    hook = sys.excepthook
    yield
    sys.excepthook = hook


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(Settings(tmp_path / "there")) as found:
        yield found


@pytest.fixture
def job(server: Served) -> str:
    """A job of the project `local`, with a model on an endpoint."""
    made = server.store.create_job(
        make_plan(project="local", display_name="my model"), job_id="mine", asked=Asked(deploys=True, request={})
    )
    finish(server.store, made.id)
    return made.id


def run(*words: str, home: Path, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.build_app(), [*words, "--home", str(home)], input=stdin)


def there(server: Served, *words: str, home: Path, stdin: str = "") -> Result:
    return run(*words, "--server", server.url, home=home, stdin=stdin)


@pytest.mark.parametrize(
    "words", [["jobs", "list"], ["jobs", "show", "mine"], ["models", "list"], ["jobs", "watch", "mine"]]
)
def test_a_document_is_the_same_there_as_here(server: Served, job: str, tmp_path: Path, words: list[str]) -> None:
    here = run(*words, "--json", home=tmp_path / "there")
    remotely = there(server, *words, "--json", home=tmp_path / "here")
    assert (here.exit_code, remotely.exit_code) == (0, 0)
    assert _without_folders(json.loads(remotely.stdout)) == _without_folders(json.loads(here.stdout))
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("words", [["jobs", "list"], ["models", "list"], ["jobs", "watch", "mine"]])
def test_a_text_is_the_same_there_as_here(server: Served, job: str, tmp_path: Path, words: list[str]) -> None:
    assert there(server, *words, home=tmp_path).stdout == run(*words, home=tmp_path / "there").stdout != ""


def test_a_models_document_is_the_same_by_id_name_and_display_name(server: Served, job: str, tmp_path: Path) -> None:
    name = server.store.job(job).model or ""
    here = json.loads(run("models", "show", name, "--json", home=tmp_path / "there").stdout)
    for given in (name, name.rpartition("/")[2], "my model"):
        remotely = json.loads(there(server, "models", "show", given, "--json", home=tmp_path).stdout)
        assert _without_folders(remotely) == _without_folders(here)


def test_two_models_of_one_name_are_refused_with_their_ids(server: Served, job: str, tmp_path: Path) -> None:
    again = server.store.create_job(
        make_plan(project="local", display_name="my model"), job_id="again", asked=Asked(deploys=True, request={})
    )
    ids = [finish(server.store, again.id).rpartition("/")[2], (server.store.job(job).model or "").rpartition("/")[2]]
    result = there(server, "models", "show", "my model", home=tmp_path)
    assert result.exit_code == 2
    assert all(number in result.stderr for number in ids)


def test_an_unknown_model_names_the_nearest(server: Served, job: str, tmp_path: Path) -> None:
    result = there(server, "predict", "my modl", "--prefix", "x", home=tmp_path)
    assert result.exit_code == 2
    assert "did you mean 'my model'" in result.stderr
    assert "nor is a base model" in result.stderr


def test_a_job_is_cancelled(server: Served, tmp_path: Path) -> None:
    server.store.create_job(make_plan(project="local"), job_id="mine")
    result = there(server, "jobs", "cancel", "mine", home=tmp_path)
    assert (result.exit_code, result.stdout) == (0, "job mine is CANCELLED\n")
    assert server.store.job("mine").state == "CANCELLED"


def test_a_model_is_deleted_once_it_is_on_no_endpoint(server: Served, job: str, tmp_path: Path) -> None:
    name = server.store.job(job).model or ""
    refused = there(server, "models", "delete", "my model", home=tmp_path)
    assert refused.exit_code == 2
    assert "undeploy it first" in refused.stderr
    (deployment,) = server.store.model(name).deployments
    server.store.undeploy_model(deployment.endpoint, deployment.id)
    done = there(server, "models", "delete", "my model", "--json", home=tmp_path)
    assert json.loads(done.stdout) == {"deleted": name}
    assert server.store.models() == []


# Answers.


@pytest.mark.parametrize("model", ["my model", "code-bison@002"])
def test_a_model_is_asked_once(server: Served, job: str, tmp_path: Path, model: str) -> None:
    words = ("predict", model, "--prefix", "-", "--suffix", "end", "--max-output-tokens", "9", "--seed", "3")
    result = there(server, *words, home=tmp_path, stdin="begin")
    assert (result.exit_code, result.stdout) == (0, "ab\n")
    (asked,) = server.asked
    assert asked["conversation"] == {"kind": "generation", "prefix": "begin", "suffix": "end"}
    assert (asked["max_output_tokens"], asked["seed"], asked["temperature"]) == (9, 3, 0.0)


def test_an_answers_document_names_the_model(server: Served, job: str, tmp_path: Path) -> None:
    result = there(server, "predict", "my model", "--prefix", "x", "--json", home=tmp_path)
    assert json.loads(result.stdout) == {"model": server.store.job(job).model, "predictions": [{"content": "ab"}]}


def test_a_model_on_no_endpoint_is_put_on_one_and_said_so(server: Served, tmp_path: Path) -> None:
    """What `tunesmith tune` made on the server's machine."""
    made = server.store.create_job(make_plan(project="local", display_name="bare"), job_id="bare")
    name = finish(server.store, made.id)
    assert server.store.model(name).deployments == ()
    result = there(server, "predict", "bare", "--prefix", "x", home=tmp_path)
    assert (result.stdout, result.exit_code) == ("ab\n", 0)
    assert "on no endpoint yet" in result.stderr
    assert len(server.store.model(name).deployments) == 1


def test_a_chat_remembers_until_it_is_told_to_forget(server: Served, tmp_path: Path) -> None:
    words = ("chat", "codechat-bison@002", "--context", "c", "--json")
    result = there(server, *words, home=tmp_path, stdin="one\ntwo\n/reset\nthree\n/exit\nnever\n")
    said = json.loads(result.stdout)
    assert said["messages"] == [{"author": "user", "content": "three"}, {"author": "assistant", "content": "ab"}]
    asked = [[m["content"] for m in question["conversation"]["messages"]] for question in server.asked]
    assert asked == [["one"], ["one", "ab", "two"], ["three"]]
    assert result.stderr == "ab\n" * 3


def test_a_chat_with_a_model_that_does_not_chat_is_refused(server: Served, job: str, tmp_path: Path) -> None:
    result = there(server, "chat", "my model", home=tmp_path, stdin="one\n")
    assert result.exit_code == 2
    assert "use predict" in result.stderr


def test_a_chat_model_fills_no_gap(server: Served, tmp_path: Path) -> None:
    result = there(server, "predict", "codechat-bison@002", "--prefix", "a", "--suffix", "b", home=tmp_path)
    assert result.exit_code == 2
    assert "--suffix" in result.stderr
    assert there(server, "predict", "codechat-bison@002", "--prefix", "a", home=tmp_path).stdout == "ab\n"


# Tuning.


def test_tune_sends_what_was_given_and_watches_to_the_end(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, held_out = tmp_path / "train.jsonl", tmp_path / "evaluation.jsonl"
    for file, word in ((data, "add"), (held_out, "hold")):
        rows = [{"input_text": f"{word} {i}", "output_text": f"{word}({i})"} for i in range(12)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def at_once(session: object, client: object, job_id: str) -> bool:
        finish(server.store, server.store.jobs()[0].id)
        return True

    monkeypatch.setattr(remote, "follow", at_once)
    words = ["tune", str(data), "--evaluation-data", str(held_out), "--train-steps", "7", "--no-early-stopping"]
    result = there(
        server, *words, "--name", "mine", "--project", "p", "--location", "europe-west4", "--json", home=tmp_path
    )
    assert result.exit_code == 0, result.stderr
    (job,) = server.store.jobs()
    said = json.loads(result.stdout)
    assert (said["job"], said["state"], said["model"]) == (job.job_id, "SUCCEEDED", job.model)
    assert (said["steps"], said["metrics"]) == (2, {"last": {"step": 2}})
    assert (job.project, job.location, job.display_name) == ("p", "europe-west4", "mine")
    spec = job.plan.spec
    assert (spec.train_steps, spec.early_stopping, spec.base_model) == (7, False, "code-bison@002")
    for uri, file in ((spec.dataset, data), (spec.evaluation_data, held_out)):
        with remote.connect(server.url, "p", None, "") as client:
            assert client.download(str(uri)) == file.read_bytes()


def test_tune_takes_chats_for_the_chat_model(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "chat.jsonl"
    talk = [{"author": "user", "content": "a"}, {"author": "assistant", "content": "b"}]
    data.write_text(
        "".join(json.dumps({"messages": [*talk, {**talk[0], "content": str(i)}, talk[1]]}) + "\n" for i in range(12))
    )
    monkeypatch.setattr(remote, "follow", lambda *_: False)
    result = there(server, "tune", str(data), home=tmp_path)
    assert result.exit_code == 3
    assert "goes on; see tunesmith jobs watch tune-large-chat-model-" in result.stderr
    (job,) = server.store.jobs()
    assert job.plan.reference == "codechat-bison@002"
    assert job.display_name.startswith("codechat-bison@002 tuned for 300 steps on ")


def test_data_that_cannot_be_trained_on_are_not_sent(server: Served, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"input_text": "a"}\n')
    result = there(server, "tune", str(data), home=tmp_path)
    assert result.exit_code == 2
    assert "cannot be trained on" in result.stderr
    assert server.store.jobs() == []


@pytest.mark.parametrize(
    "words", [["--seed", "3"], ["--adapter-rank", "4"], ["--dry-run"], ["--tuning-method", "full"]]
)
def test_what_no_pipeline_can_be_told_is_refused(server: Served, tmp_path: Path, words: list[str]) -> None:
    result = there(server, "tune", "gs://bucket/train.jsonl", *words, home=tmp_path)
    assert result.exit_code == 2
    assert words[0] in result.stderr
    assert server.store.jobs() == []


def test_a_job_that_fails_ends_the_command_with_its_error_and_code(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: object, client: object, job_id: str) -> bool:
        claim = server.store.claim("w", now_s=1.0, lease_s=10.0)
        assert claim is not None
        server.store.started(claim, "h", now_s=1.0)
        server.store.settle(claim, Ending("failed", error=DataLoss("torn").to_json()), now_s=2.0)
        return True

    monkeypatch.setattr(remote, "follow", fail)
    result = there(server, "tune", "gs://bucket/train.jsonl", "--json", home=tmp_path)
    assert result.exit_code == DataLoss.exit_code
    said = json.loads(result.stdout)
    assert (said["state"], said["error"]["message"]) == ("FAILED", "torn")
    assert "error: torn" in result.stderr


# Watching.


def test_a_watched_job_is_shown_as_it_would_be_here() -> None:
    evaluation = {"step": 20, "eval_total_loss": 1.5, "eval_fraction_of_correct_next_step_preds": 0.5}
    events = [
        WatchEvent("state", {"state": "RUNNING"}),
        WatchEvent("metrics", evaluation),
        WatchEvent("metrics", {"step": 20, "train_total_loss": 1.0}),
        WatchEvent("progress", {"task": "tune", "attempt": 1, "phase": "training", "step": 20, "steps": 40}),
        WatchEvent("log", {"line": "x"}),
        WatchEvent("progress", {"task": "tune", "attempt": 2, "phase": "training", "step": 21, "steps": 40}),
        WatchEvent("metrics", evaluation),
        WatchEvent("metrics", {**evaluation, "step": 40}),
    ]
    seen = [
        (view.attempt, view.step, [line["step"] for line in view.evaluations]) for view in remote.views(iter(events))
    ]
    assert seen == [(1, 20, [20]), (2, 21, []), (2, 21, [40])]


def test_a_job_is_watched_to_its_end_on_standard_error(server: Served, job: str, tmp_path: Path) -> None:
    attempt = JobFolder(tmp_path / "there" / "jobs" / job).attempt(pipeline.DEPLOY, 1).create()
    write_json(attempt.progress, {"phase": "loading", "step": 3, "steps": 4})
    result = there(server, "jobs", "watch", "mine", home=tmp_path)
    assert result.stdout == "job mine is SUCCEEDED\n"
    assert "deploying the model: loading step 3/4" in result.stderr


# Servers, projects, keys.


def test_the_project_and_the_region_are_those_that_were_named(server: Served, tmp_path: Path) -> None:
    server.store.create_job(make_plan(project="p", location="europe-west4"), job_id="mine")
    assert there(server, "jobs", "show", "mine", home=tmp_path).exit_code == 2
    words = ("jobs", "show", "mine", "--project", "p", "--location", "europe-west4")
    assert there(server, *words, home=tmp_path).exit_code == 0


def test_the_key_comes_from_a_file_or_the_environment_and_is_never_shown(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = server.store.create_key("k", "p", "viewer").secret
    (tmp_path / "key").write_text(f"{secret}\n")
    (tmp_path / "key").chmod(0o600)
    words = ("jobs", "list", "--project", "p")
    refused = there(server, *words, home=tmp_path)
    assert refused.exit_code == 2
    assert "TUNESMITH_API_KEY" in refused.stderr
    assert there(server, *words, "--key-file", str(tmp_path / "key"), home=tmp_path).exit_code == 0
    monkeypatch.setenv("TUNESMITH_API_KEY", secret)
    results = [there(server, *words, home=tmp_path), there(server, "jobs", "list", "--debug", home=tmp_path)]
    assert [result.exit_code for result in results] == [0, 2]
    assert all(secret not in result.output for result in results)


def test_a_key_file_that_others_can_read_is_said(server: Served, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o644)
    assert "chmod 600" in there(server, "jobs", "list", "--key-file", str(tmp_path / "key"), home=tmp_path).stderr


@pytest.mark.parametrize("content", [None, "", "two words"])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    result = run("jobs", "list", "--server", ELSEWHERE, "--key-file", str(tmp_path / "key"), home=tmp_path)
    assert result.exit_code == 2
    assert "--key-file" in result.stderr
    assert "two words" not in result.stderr


def test_a_key_is_no_option_of_any_command() -> None:
    assert "--key" not in {option for words in _options() for option in words}
    assert "--api-key" not in {option for words in _options() for option in words}


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("jobs", "list", "--server", ELSEWHERE, home=tmp_path)
    assert result.exit_code == 5
    assert f"nothing answers at {ELSEWHERE}" in result.stderr


@pytest.mark.parametrize("words", [["--project", "p"], ["--location", "l"], ["--key-file", "f"]])
def test_what_is_said_of_a_server_needs_one(tmp_path: Path, words: list[str]) -> None:
    result = run("jobs", "list", *words, home=tmp_path)
    assert result.exit_code == 2
    assert f"{words[0]}: " in result.stderr


@pytest.mark.parametrize(
    "words", [["jobs", "resume", "x"], ["models", "pull", "x"], ["models", "export", "x", "--output", "y"],
              ["models", "list", "--base"]]
)  # fmt: skip
def test_what_only_this_machine_can_do_says_so(tmp_path: Path, words: list[str]) -> None:
    result = run(*words, "--server", ELSEWHERE, home=tmp_path)
    assert result.exit_code == 2
    assert "machine" in result.stderr


def test_every_command_of_remote_is_one_of_the_command_line() -> None:
    assert set(remote.COMMANDS) == cli.REMOTE


def test_without_a_server_the_store_of_this_machine_is_asked(tmp_path: Path) -> None:
    with_job = Settings(tmp_path)
    open_store(with_job).create_job(make_plan(), job_id="mine")
    assert [job["id"] for job in json.loads(run("jobs", "list", "--json", home=tmp_path).stdout)["jobs"]] == ["mine"]


def _options() -> Iterator[list[str]]:
    waiting: list[Any] = [typer.main.get_command(cli.build_app())]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield from (parameter.opts for parameter in command.params)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items() if key != "folder"}
    return [_without_folders(inner) for inner in value] if isinstance(value, list) else value


def test_a_version_is_not_taken_for_its_model(server: Served, job: str, tmp_path: Path) -> None:
    name = (server.store.job(job).model or "").rpartition("/")[2]
    refused = there(server, "models", "delete", f"{name}@1", home=tmp_path)
    assert refused.exit_code == 2
    assert "is one version" in refused.stderr
    assert len(server.store.models()) == 1


BUILD = ("data", "build")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ssh-key", "k"), "--ssh-key: a server has its own keys"),
        (("--known-hosts", "k"), "--known-hosts: a server has its own host keys"),
        (("--certificates", "k"), "--certificates: a server has its own certificates"),
        (("--network", "any"), "--network: a server has its own list"),
        (("--processes", "2"), "--processes: a server takes one for each"),
        (("--no-cache",), "--no-cache: a server always keeps"),
        (("--kinds", "poems"), "'poems' is not known"),
        (("--split", "time", "--since", "2025-01-01"), "--since: shop is sent without its history"),
        (("--suite", "none.jsonl"), "none.jsonl: no such file"),
    ],
)
def test_what_a_server_cannot_take_of_a_build_is_refused_before_a_job_is_made(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.py").write_text("x = 1\n")
    result = there(server, *BUILD, "shop", "--output", "gs://data/out", *words, home=tmp_path)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert server.store.jobs() == []


def test_a_folder_is_no_place_for_what_a_server_builds_and_no_bucket_for_what_is_built_here(
    server: Served, tmp_path: Path
) -> None:
    assert "gs://BUCKET/OBJECT" in there(server, *BUILD, "shop", "--output", "out", home=tmp_path).stderr
    assert "--server URL" in run(*BUILD, "shop", "--output", "gs://data/out", home=tmp_path).stderr


def test_a_build_sends_what_was_chosen_and_ends_as_its_job_does(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LOOK_S", 0.01)
    (tmp_path / "suite.jsonl").write_text("{}\n")
    error = {"status": "NOT_FOUND", "message": "there is no such repository", "details": {}}

    def fail() -> None:
        while not server.store.jobs():
            time.sleep(0.01)
        claim = server.store.claim("w", now_s=1.0, lease_s=10.0)
        assert claim is not None
        server.store.settle(claim, Ending("failed", error), now_s=2.0)

    chosen = ("--max-rows", "7", "--limit", "a/**: mean_line=50", "--suite", str(tmp_path / "suite.jsonl"))
    url = "https://example.com/shop.git"
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(fail)
        result = there(
            server, *BUILD, url, "--output", "gs://data/out/", "--revision", "v1", *chosen, "--json", home=tmp_path
        )
        failing.result()
    assert (result.exit_code, json.loads(result.stdout)["error"]["message"]) == (2, "there is no such repository")
    (job,) = server.store.jobs()
    assert job.request["codebaseSource"] == {"repository": url, "revision": "v1"}
    plan = job.dataset
    assert (plan.options["most_rows"], plan.options["rules"]) == (7, ["a/**: mean_line=50.0"])
    assert plan.options["suites"][0].endswith("/suite.jsonl")
    assert plan.destination.startswith("gs://data/out/shop-")
    listed = json.loads(run("jobs", "list", "--json", home=tmp_path / "there").stdout)["jobs"]
    assert [(one["kind"], one["state"], one["base_model"]) for one in listed] == [("dataset", "FAILED", "")]
