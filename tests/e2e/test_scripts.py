"""Scripts of the reference product with nothing but their import lines changed, and the command line, against a real
service with the tiny model.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from running_service import PATHS, running_service
from tunesmith.client import Client

PATIENCE_S = 240.0
ROWS = [
    {
        "input_text": f"Write the code in Python: add {i} to x",
        "output_text": f"def add_{i}(x):\n    return x + {i}\n",
    }
    for i in range(24)
]
HELD_OUT = [
    {
        "input_text": f"Write the code in Python: take {i} from y",
        "output_text": f"def take_{i}(y):\n    return y - {i}\n",
    }
    for i in range(12)
]
CHATS = [
    {
        "messages": [
            {"author": "user", "content": f"what is {i} plus 1?"},
            {"author": "assistant", "content": f"it is {i + 1}"},
        ]
    }
    for i in range(20)
]


class House(NamedTuple):
    """A service, and what a user of it has."""

    url: str
    work: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    work = tmp_path_factory.mktemp("work")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNESMITH_")}
    with running_service(tmp_path_factory.mktemp("service")) as service:
        for name, rows in (("train", ROWS), ("evaluation", HELD_OUT), ("chat", CHATS)):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            service.put("my-bucket", f"{name}.jsonl", text)
            (work / f"{name}.jsonl").write_text(text)
        service.put("my-bucket", "instances.jsonl", '{"prefix": "add 1 to x"}\n{"prefix": "add 2 to x"}\n')
        said = {"PYTHONPATH": PATHS, "TUNESMITH_SERVER": service.url, "TUNESMITH_HOME": str(work / "home")}
        yield House(service.url, work, kept | said)


def script(house: House, text: str) -> str:
    """Runs a script with warnings as errors; what it printed."""
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(
        command, env=house.environment, cwd=house.work, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def tunesmith(house: House, *words: str, stdin: str = "") -> Any:
    """Runs a command with --server and --json; its document."""
    command = [sys.executable, "-m", "tunesmith.cli", *words, "--server", house.url, "--project", "myproject", "--json"]
    done = subprocess.run(
        command, env=house.environment, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


TUNE = """
import tunesmith as vertexai
from tunesmith.language_models import CodeGenerationModel, TuningEvaluationSpec

vertexai.init(project="myproject", location="us-central1")
model = CodeGenerationModel.from_pretrained("code-bison@002")
tuning_job = model.tune_model(
    training_data="gs://my-bucket/train.jsonl",
    train_steps=2,
    tuning_job_location="europe-west4",
    tuned_model_location="us-central1",
    tuning_evaluation_spec=TuningEvaluationSpec(
        evaluation_data="gs://my-bucket/evaluation.jsonl", evaluation_interval=1
    ),
)
print(tuning_job._status.name)
tuned = tuning_job.get_tuned_model()
answer = tuned.predict(prefix="Write the code in Python: add 3 to x", max_output_tokens=8)
print(answer.raw_prediction_response.model_resource_name)
"""
LIST_CODE = """
import tunesmith as vertexai
from tunesmith.language_models import CodeGenerationModel

vertexai.init(project="myproject", location="us-central1")
model = CodeGenerationModel.from_pretrained("code-bison@002")
for name in model.list_tuned_model_names():
    print(name)
"""
LIST_CHAT = LIST_CODE.replace("CodeGenerationModel", "CodeChatModel").replace("code-bison", "codechat-bison")
LOAD = """
import tunesmith as vertexai
from tunesmith.language_models import CodeGenerationModel

vertexai.init(project="myproject", location="us-central1")
model = CodeGenerationModel.get_tuned_model({name!r})
whole = model.predict("def f", max_output_tokens=8)
assert "".join(piece.text for piece in model.predict_streaming(prefix="def f", max_output_tokens=8)) == whole.text
assert len(model.predict("def f", temperature=0.9, candidate_count=3, max_output_tokens=4).candidates) == 3
assert model.count_tokens("def f").total_tokens > 0
print(whole.raw_prediction_response.model_resource_name)
"""
CHAT = """
import asyncio, pathlib
import tunesmith as vertexai
from tunesmith.language_models import CodeChatModel

vertexai.init(project="myproject", location="us-central1")
job = CodeChatModel.from_pretrained("codechat-bison@002").tune_model(
    pathlib.Path("chat.jsonl"), train_steps=2, default_context="You add."
)
chat = job.get_tuned_model().start_chat(max_output_tokens=6)

async def talk():
    first = await chat.send_message_async("what is 3 plus 1?")
    second = "".join([piece.text async for piece in chat.send_message_streaming_async("and 4 plus 1?")])
    return first.text, second

said = asyncio.run(talk())
assert [message.content for message in chat.message_history[1::2]] == list(said)
assert chat.send_message("and 5 plus 1?") is not None
print(len(chat.message_history))
"""


@pytest.fixture(scope="module")
def tuned(house: House) -> str:
    """The model that the tuning script has made."""
    state, name = script(house, TUNE).split()
    assert state in ("PIPELINE_STATE_QUEUED", "PIPELINE_STATE_PENDING", "PIPELINE_STATE_RUNNING")
    return name


def test_a_tuning_script_tunes_and_asks_the_tuned_model(house: House, tuned: str) -> None:
    """S61."""
    assert tuned.startswith("projects/myproject/locations/us-central1/models/")


def test_tuned_models_are_listed_by_their_base(house: House, tuned: str) -> None:
    """S65."""
    assert tuned in script(house, LIST_CODE).split()
    assert tuned not in script(house, LIST_CHAT).split()


def test_a_tuned_model_is_loaded_by_its_name(house: House, tuned: str) -> None:
    """S67."""
    assert script(house, LOAD.format(name=tuned)).strip() == tuned


BATCH = """
import json
import tunesmith as vertexai
from tunesmith.language_models import CodeGenerationModel
vertexai.init(project="myproject", location="us-central1")
model = CodeGenerationModel.get_tuned_model(sys.argv[1])
job = model.batch_predict(
    dataset="gs://my-bucket/instances.jsonl",
    destination_uri_prefix="gs://my-bucket/answers",
    model_parameters={"maxOutputTokens": 8, "temperature": 0},
)
lines = [json.loads(line) for output in job.iter_outputs() for line in output.download_as_text().splitlines()]
assert [line["instance"] for line in lines] == [{"prefix": "add 1 to x"}, {"prefix": "add 2 to x"}], lines
for line in lines:
    alone = model.predict(line["instance"]["prefix"], max_output_tokens=8, temperature=0)
    assert line["predictions"][0]["content"] == alone.text, (line, alone.text)
"""


def test_a_tuned_model_answers_a_batch_as_it_answers_one_by_one(house: House, tuned: str) -> None:
    script(house, BATCH.replace("sys.argv[1]", repr(tuned)))


def test_a_chat_model_is_tuned_from_a_local_file_listed_and_talked_to(house: House) -> None:
    """S66, S67."""
    assert script(house, CHAT).strip() == "6"
    assert len(script(house, LIST_CHAT).split()) == 1


def test_a_job_is_followed_on_the_command_line(house: House, tuned: str) -> None:
    listed = {job["model"]: job for job in tunesmith(house, "jobs", "list", "--location", "europe-west4")["jobs"]}
    job = listed[tuned]
    assert (job["state"], job["location"]) == ("SUCCEEDED", "europe-west4")
    command = [sys.executable, "-m", "tunesmith.cli", "jobs", "watch", job["id"], "--server", house.url]
    command += ["--project", "myproject", "--location", "europe-west4"]
    done = subprocess.run(command, env=house.environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"job {job['id']} is SUCCEEDED\n"
    assert [f"step {n}: held-out loss" in done.stderr for n in (1, 2)] == [True, True], done.stderr


def test_a_tuned_model_answers_on_the_command_line_as_in_a_script(house: House, tuned: str) -> None:
    document = tunesmith(house, "predict", tuned, "--prefix", "-", "--max-output-tokens", "8", stdin="def f")
    with Client(house.url, project="myproject") as client:
        endpoint = client.model(tuned)["deployedModels"][0]["endpoint"]
        parameters = {"maxOutputTokens": 8, "temperature": 0.0}
        pieces = client.stream(endpoint, {"prefix": "def f"}, parameters)
        assert "".join(piece["content"] for piece in pieces) == document["predictions"][0]["content"]
        whole = asyncio.run(client.predict_async(endpoint, [{"prefix": "def f"}], parameters))
    assert whole["predictions"][0]["content"] == document["predictions"][0]["content"]
    assert document["model"] == tuned


def test_tune_on_a_server_sends_the_data_and_ends_with_the_model(house: House) -> None:
    files = [str(house.work / "train.jsonl"), "--evaluation-data", str(house.work / "evaluation.jsonl")]
    outcome = tunesmith(house, "tune", *files, "--train-steps", "2", "--evaluation-interval", "1", "--name", "sent")
    assert (outcome["state"], outcome["steps"]) == ("SUCCEEDED", 2)
    shown = tunesmith(house, "models", "show", "sent")
    assert shown["name"] == outcome["model"]
    assert shown["metrics"]["held_out"] == "evaluation"
    assert tunesmith(house, "jobs", "show", outcome["job"])["model"] == outcome["model"]
    assert not (house.work / "home").exists()
