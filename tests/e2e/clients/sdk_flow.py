"""The unmodified Google SDK against a server: tuning, loading, predicting, jobs, models, endpoints, tensorboards.

    python sdk_flow.py SERVER

Runs in an environment of its own that has google-cloud-aiplatform; of ours it imports vertex_compat alone. Prints a
line a check, and ends with a traceback at the first that fails.
"""

from __future__ import annotations

import sys
import time
import uuid

from tunesmith import vertex_compat

SERVER = sys.argv[1]
RUN = uuid.uuid4().hex[:8]
BUCKET = f"bucket-{RUN}"

vertex_compat.init(SERVER, project="myproject", location="us-central1", staging_bucket=f"gs://{BUCKET}/staging")

import pandas  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import aiplatform, storage  # noqa: E402
from vertexai.preview.language_models import (  # noqa: E402
    CodeChatModel,
    CodeGenerationModel,
    TuningEvaluationSpec,
)


def rows(number: int, word: str) -> list[dict[str, str]]:
    return [
        {
            "input_text": f"Write the code in Python: {word} {i} to x",
            "output_text": f"def {word}_{i}(x):\n    return x + {i}\n",
        }
        for i in range(number)
    ]


def said(what: str) -> None:
    print("ok", what, flush=True)


bucket = storage.Client(project="myproject", credentials=AnonymousCredentials()).create_bucket(BUCKET)
bucket.blob("evaluation.jsonl").upload_from_string(
    pandas.DataFrame(rows(12, "held")).to_json(orient="records", lines=True)
)
bucket.blob("chat.jsonl").upload_from_string(
    pandas.DataFrame(
        [
            {
                "messages": [
                    {"author": "user", "content": f"what is {i} plus 1?"},
                    {"author": "assistant", "content": f"it is {i + 1}"},
                ]
            }
            for i in range(20)
        ]
    ).to_json(orient="records", lines=True)
)
said("bucket and objects")

board = aiplatform.Tensorboard.create(display_name=f"board {RUN}", description="d", labels={"run": RUN})
model = CodeGenerationModel.from_pretrained("code-bison@002")
job = model.tune_model(
    training_data=pandas.DataFrame(rows(30, "add")),
    train_steps=2,
    learning_rate_multiplier=1.5,
    tuning_job_location="us-central1",
    tuned_model_location="us-central1",
    model_display_name=f"tuned {RUN}",
    accelerator_type="GPU",
    max_context_length="8k",
    tuning_evaluation_spec=TuningEvaluationSpec(
        evaluation_data=f"gs://{BUCKET}/evaluation.jsonl",
        evaluation_interval=1,
        enable_early_stopping=True,
        enable_checkpoint_selection=True,
        tensorboard=board,
    ),
)
tuned = job.get_tuned_model()
said("tune_model from a DataFrame with everything set, get_tuned_model")

[experiment] = aiplatform.TensorboardExperiment.list(tensorboard_name=board.resource_name)
assert experiment.display_name == f"tuned {RUN}", experiment.display_name
[run] = aiplatform.TensorboardRun.list(tensorboard_experiment_name=experiment.resource_name)
figures = run.read_time_series_data()
assert {name: [point.step for point in data.values] for name, data in figures.items()} == {
    "/train_total_loss": [1, 2],
    "/train_fraction_of_correct_next_step_preds": [1, 2],
    "/train_num_predictions": [1, 2],
    "/eval_total_loss": [0, 1, 2],
    "/eval_fraction_of_correct_next_step_preds": [0, 1, 2],
    "/eval_num_predictions": [0, 1, 2],
}, figures
assert all(point.scalar.value > 0 for point in figures["/train_total_loss"].values)
said("the job's figures in its tensorboard")

names = model.list_tuned_model_names()
assert any("/models/" in n for n in names), names
said("list_tuned_model_names")

loaded = CodeGenerationModel.get_tuned_model(names[0])
answer = loaded.predict("Write the code in Python: add 3 to x", max_output_tokens=8, temperature=0.2, candidate_count=2)
assert len(answer.candidates) == 2
pieces = [piece.text for piece in loaded.predict_streaming(prefix="Write the code in Python", max_output_tokens=8)]
greedy = loaded.predict("Write the code in Python", max_output_tokens=8, temperature=0)
assert "".join(pieces) == greedy.text, (pieces, greedy.text)
said("predict, two candidates, streaming")

assert model.predict("def add(a, b):", max_output_tokens=4) is not None
assert model.count_tokens("def add(a, b):").total_tokens > 0
said("the base model predicts and counts")

chat_model = CodeChatModel.from_pretrained("codechat-bison@002")
chat_job = chat_model.tune_model(
    training_data=f"gs://{BUCKET}/chat.jsonl",
    train_steps=2,
    tuning_job_location="us-central1",
    tuned_model_location="us-central1",
    model_display_name=f"chat {RUN}",
    default_context="You add.",
)
chat = chat_job.get_tuned_model().start_chat(max_output_tokens=8)
first = chat.send_message("what is 3 plus 1?")
assert first is not None
assert len(chat.message_history) == 2
second = "".join(piece.text for piece in chat.send_message_streaming("and 4 plus 1?"))
assert len(chat.message_history) == 4, second
said("code chat: tune_model from gs://, a session, streaming")

template = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines/tune-large-model/v3.0.0"
values = {
    "project": "myproject",
    "location": "us-central1",
    "model_display_name": f"pipeline {RUN}",
    "dataset_uri": f"gs://{BUCKET}/evaluation.jsonl",
    "large_model_reference": "code-bison@002",
    "train_steps": 2,
}
pipeline = aiplatform.PipelineJob(
    display_name=f"pipeline {RUN}",
    template_path=template,
    job_id=f"job-{RUN}",
    parameter_values=values,
    pipeline_root=f"gs://{BUCKET}/root",
    labels={"run": RUN},
)
pipeline.submit(service_account="me@example.test")
pipeline.wait()
assert pipeline.state.name == "PIPELINE_STATE_SUCCEEDED", pipeline.state
found = aiplatform.PipelineJob.list(filter=f'labels.run="{RUN}"')
assert [j.job_id if hasattr(j, "job_id") else j.name for j in found] == [f"job-{RUN}"], found
said("PipelineJob submit, wait, list")

late = aiplatform.PipelineJob(
    display_name=f"late {RUN}",
    template_path=template,
    job_id=f"late-{RUN}",
    parameter_values={**values, "train_steps": 5000},
    pipeline_root=f"gs://{BUCKET}/root",
)
late.submit()
late.cancel()
for _ in range(600):
    if late.state.name == "PIPELINE_STATE_CANCELLED":
        break
    time.sleep(0.2)
assert late.state.name == "PIPELINE_STATE_CANCELLED", late.state
late.delete()
said("PipelineJob cancel, delete")

registered = aiplatform.Model(names[0])
registered.update(display_name=f"renamed {RUN}", labels={"team": "x"})
assert aiplatform.Model(names[0]).display_name == f"renamed {RUN}"
registered.versioning_registry.add_version_aliases(["golden"], version="1")
assert "golden" in aiplatform.Model(f"{names[0]}@golden").version_aliases
assert len(registered.versioning_registry.list_versions()) == 1
assert len(registered.list_model_evaluations()) == 1
said("Model: update, aliases, versions, evaluations")

endpoint = aiplatform.Endpoint.create(display_name=f"own {RUN}")
endpoint.deploy(registered, deployed_model_display_name="second", machine_type="n1-standard-2")
assert endpoint.predict([{"prefix": "def f"}], parameters={"maxOutputTokens": 4}).predictions
endpoint.undeploy_all()
endpoint.delete()
said("Endpoint: create, deploy, predict, undeploy, delete")

board.update(display_name=f"renamed {RUN}", description="other", labels={"run": RUN, "team": "x"})
assert aiplatform.Tensorboard(board.name).display_name == f"renamed {RUN}"
found = aiplatform.Tensorboard.list(filter=f'labels.run="{RUN}"', order_by="create_time")
assert [b.resource_name for b in found] == [board.resource_name], found
own = aiplatform.TensorboardExperiment.create(
    tensorboard_experiment_id=f"own-{RUN}",
    tensorboard_name=board.resource_name,
    display_name="own",
    labels={"team": "x"},
)
run = aiplatform.TensorboardRun.create(tensorboard_run_id="run-1", tensorboard_experiment_name=own.resource_name)
loss = run.create_tensorboard_time_series(display_name="loss", description="nats")
aiplatform.TensorboardTimeSeries.create(display_name="accuracy", tensorboard_run_name=run.resource_name)
for step in (0, 1, 1, 2):
    run.write_tensorboard_scalar_data({"loss": 4.0 - step, "accuracy": 0.0}, step=step)
own_figures = aiplatform.TensorboardRun(run.resource_name).read_time_series_data()
assert [(p.step, p.scalar.value) for p in own_figures["loss"].values] == [(0, 4.0), (1, 3.0), (2, 2.0)], own_figures
assert len(own_figures["accuracy"].values) == 3, own_figures
again = aiplatform.TensorboardTimeSeries(loss.resource_name)
assert (again.display_name, again.to_dict()["metadata"]["maxStep"]) == ("loss", "2"), again.to_dict()
again.delete()
assert [s.display_name for s in aiplatform.TensorboardTimeSeries.list(run.resource_name)] == ["accuracy"]
run.delete()
own.delete()
board.delete()
assert not aiplatform.Tensorboard.list(filter=f'labels.run="{RUN}"')
said("Tensorboard: update, list, delete; experiments, runs, time series; points written and read")
