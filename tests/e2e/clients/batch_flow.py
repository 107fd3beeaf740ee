"""The unmodified Google SDK against a server: batch predictions of the base and of a tuned model, and Model.upload.

    python batch_flow.py SERVER ADAPTER

ADAPTER is the folder of an adapter that was tuned elsewhere on the server's code-bison. Runs in an environment of its
own that has google-cloud-aiplatform; of ours it imports vertex_compat alone. Prints a line a check, and ends with a
traceback at the first that fails.
"""

from __future__ import annotations

import json
import sys
import time
import uuid

from tunesmith import vertex_compat

SERVER, ADAPTER = sys.argv[1:3]
RUN = uuid.uuid4().hex[:8]
BUCKET = f"bucket-{RUN}"
LABEL = "google-vertex-llm-tuning-base-model-id"

vertex_compat.init(SERVER, project="myproject", location="us-central1", staging_bucket=f"gs://{BUCKET}/staging")

import pandas  # noqa: E402
from google.api_core import exceptions  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import aiplatform, storage  # noqa: E402
from vertexai.language_models import CodeGenerationModel  # noqa: E402

PROMPTS = [{"prefix": f"Write the code in Python: add {i} to x"} for i in range(6)]
PARAMETERS = {"maxOutputTokens": 8, "temperature": 0}
# Some of its lines cannot be asked.
MIXED = [*PROMPTS, {"sufix": "x"}]


def said(what: str) -> None:
    print("ok", what, flush=True)


def written(job: aiplatform.BatchPredictionJob) -> list[dict[str, object]]:
    """All lines of a job's predictions, in order."""
    blobs = sorted(job.iter_outputs(), key=lambda blob: blob.name)
    assert all(blob.name.rpartition("/")[2].startswith("prediction.results-") for blob in blobs), blobs
    return [json.loads(line) for blob in blobs for line in blob.download_as_bytes().splitlines()]


def texts(lines: list[dict]) -> list[str]:
    return [line["predictions"][0]["content"] for line in lines if not line["status"]]


def online(model: CodeGenerationModel) -> list[str]:
    return [model.predict(p["prefix"], max_output_tokens=8, temperature=0).text for p in PROMPTS]


bucket = storage.Client(project="myproject", credentials=AnonymousCredentials()).create_bucket(BUCKET)
for name, rows in (("a.jsonl", MIXED), ("b.jsonl", PROMPTS[:2])):
    bucket.blob(f"in/{name}").upload_from_string("".join(json.dumps(row) + "\n" for row in rows))

model = CodeGenerationModel.from_pretrained("code-bison@002")
job = model.batch_predict(
    dataset=f"gs://{BUCKET}/in/a.jsonl",
    destination_uri_prefix=f"gs://{BUCKET}/out/base",
    model_parameters=PARAMETERS,
)
assert job.state.name == "JOB_STATE_SUCCEEDED", job.state
lines = written(job)
assert [line["instance"] for line in lines] == MIXED
assert texts(lines) == online(model)
assert "did you mean suffix" in lines[-1]["status"]
assert lines[-1]["predictions"] == []
stats = job.completion_stats
assert (stats.successful_count, stats.failed_count, stats.incomplete_count) == (6, 1, 0), stats
assert len(job.partial_failures) == 1
assert job.output_info.gcs_output_directory.startswith(f"gs://{BUCKET}/out/base/prediction-code-bison-")
said("CodeGenerationModel.batch_predict of the base says what predict says; a bad line has its reason")

frame = pandas.DataFrame(
    [
        {
            "input_text": f"Write the code in Python: add {i} to x",
            "output_text": f"def add_{i}(x):\n    return x + {i}\n",
        }
        for i in range(30)
    ]
)
tuned = model.tune_model(
    training_data=frame,
    train_steps=4,
    learning_rate_multiplier=30,
    tuning_job_location="us-central1",
    tuned_model_location="us-central1",
    model_display_name=f"tuned {RUN}",
).get_tuned_model()
job = tuned.batch_predict(
    dataset=[f"gs://{BUCKET}/in/b.jsonl", f"gs://{BUCKET}/in/a.jsonl"],
    destination_uri_prefix=f"gs://{BUCKET}/out/tuned",
    model_parameters=PARAMETERS,
)
lines = written(job)
assert [line["instance"] for line in lines] == [*PROMPTS[:2], *MIXED]
answers = online(tuned)
assert texts(lines) == [*answers[:2], *answers]
said("CodeGenerationModel.batch_predict of a tuned model, of two objects")

registered = aiplatform.Model(tuned._endpoint.list_models()[0].model)
job = registered.batch_predict(
    job_display_name=f"own {RUN}",
    gcs_source=f"gs://{BUCKET}/in/*.jsonl",
    gcs_destination_prefix=f"gs://{BUCKET}/out/model",
    model_parameters=PARAMETERS,
    labels={"run": RUN},
    batch_size=2,
)
assert len(written(job)) == 9
found = aiplatform.BatchPredictionJob.list(filter=f'labels.run="{RUN}" AND state="JOB_STATE_SUCCEEDED"')
assert [one.display_name for one in found] == [f"own {RUN}"], found
assert len(aiplatform.BatchPredictionJob.list(order_by="create_time")) >= 3
again = aiplatform.BatchPredictionJob(job.resource_name)
assert again.display_name == f"own {RUN}"
said("Model.batch_predict with a pattern; BatchPredictionJob.list, get")

many = [{"prefix": f"def f{i}(x):"} for i in range(3000)]
bucket.blob("in/many.jsonl").upload_from_string("".join(json.dumps(row) + "\n" for row in many))
late = aiplatform.BatchPredictionJob.submit(
    job_display_name=f"late {RUN}",
    model_name="publishers/google/models/code-bison@002",
    gcs_source=f"gs://{BUCKET}/in/many.jsonl",
    gcs_destination_prefix=f"gs://{BUCKET}/out/late",
    instances_format="jsonl",
    predictions_format="jsonl",
    model_parameters={"maxOutputTokens": 512, "temperature": 1},
)
try:
    late.delete()
    raise AssertionError("a job that runs was deleted")
except (exceptions.BadRequest, exceptions.FailedPrecondition, RuntimeError):
    pass
late.cancel()
for _ in range(900):
    if late.state.name == "JOB_STATE_CANCELLED":
        break
    time.sleep(0.2)
assert late.state.name == "JOB_STATE_CANCELLED", late.state
assert list(bucket.list_blobs(prefix="out/late")) == []
late.delete()
said("BatchPredictionJob submit, cancel, delete")

try:
    aiplatform.BatchPredictionJob.submit(
        job_display_name="x",
        model_name="publishers/google/models/code-bison@099",
        gcs_source=f"gs://{BUCKET}/in/a.jsonl",
        gcs_destination_prefix=f"gs://{BUCKET}/out/none",
    )
    raise AssertionError("a model that is not known was taken")
except exceptions.NotFound:
    pass
bucket.blob("in/bad.jsonl").upload_from_string("no\nnor this\n")
try:
    model.batch_predict(dataset=f"gs://{BUCKET}/in/bad.jsonl", destination_uri_prefix=f"gs://{BUCKET}/out/bad")
    why = ""
except RuntimeError as error:
    why = str(error)
assert "none of its 2 lines is an instance" in why, why
said("an unknown model is NotFound; an input without instances fails with its lines")

own = aiplatform.Model.upload(
    display_name=f"uploaded {RUN}",
    artifact_uri=ADAPTER,
    serving_container_image_uri="example.test/serve:1",
    labels={LABEL: "code-bison-002"},
)
second = aiplatform.Model.upload(
    display_name=f"uploaded {RUN}",
    artifact_uri=ADAPTER,
    serving_container_image_uri="example.test/serve:1",
    parent_model=own.resource_name,
    is_default_version=False,
    version_aliases=["second"],
)
assert (own.version_id, second.version_id) == ("1", "2")
assert aiplatform.Model(f"{own.resource_name}@second").version_id == "2"
endpoint = aiplatform.Endpoint.create(display_name=f"uploaded {RUN}")
endpoint.deploy(own, machine_type="n1-standard-2")
predicted = endpoint.predict(PROMPTS, parameters=PARAMETERS).predictions
batch = own.batch_predict(
    job_display_name=f"uploaded {RUN}",
    gcs_source=f"gs://{BUCKET}/in/a.jsonl",
    gcs_destination_prefix=f"gs://{BUCKET}/out/uploaded",
    model_parameters=PARAMETERS,
)
assert texts(written(batch)) == [one["content"] for one in predicted]
endpoint.undeploy_all()
endpoint.delete()
said("Model.upload of an adapter's folder, twice; deployed, asked, batch predicted")
