"""models:upload with the adapter of a real tuned model: it answers as it did, and what is wrong leaves nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tiny_model import make_tiny_model
from tiny_run import make_plan, make_shards
from tiny_served import CPU, question
from tunesmith import catalog, folder
from tunesmith.api import model_upload, predictions
from tunesmith.api.app import create_app
from tunesmith.data.render import Renderer
from tunesmith.engine.export import export
from tunesmith.engine.generate import Generator
from tunesmith.engine.model import prepare
from tunesmith.engine.serve import open_served
from tunesmith.engine.shelf import Tuned
from tunesmith.engine.train import train
from tunesmith.folder import AttemptFolder
from tunesmith.settings import Settings
from tunesmith.storage import Storage
from tunesmith.store import Model, Store

PARENT = "/v1/projects/p/locations/us-central1"
LABEL = "google-vertex-llm-tuning-base-model-id"
ASKED = "Write the code in Python: count the words of a text."


@dataclass
class Site:
    """A server, the tiny base model behind code-bison@002, and the adapter of a run in a bucket."""

    client: TestClient
    settings: Settings
    base: Path
    adapter: Path

    @property
    def store(self) -> Store:
        found: Store = self.client.app.state.store  # type: ignore[attr-defined]
        return found

    @property
    def storage(self) -> Storage:
        found: Storage = self.client.app.state.storage  # type: ignore[attr-defined]
        return found

    def put(self, name: str, data: bytes) -> None:
        self.storage.put(f"gs://bucket/{name}", [data])

    def upload(self, **fields: Any) -> Any:
        said = {"displayName": "own", "artifactUri": "gs://bucket/adapter", "versionAliases": ["default"]}
        outer = {key: fields.pop(key) for key in ("parentModel", "modelId") if key in fields}
        return self.client.post(f"{PARENT}/models:upload", json={"model": {**said, **fields}, **outer})

    def uploaded(self, **fields: Any) -> Model:
        answer = self.upload(**fields)
        assert answer.status_code == 200, answer.text
        said = answer.json()["response"]
        return self.store.model(f"{said['model']}@{said['modelVersionId']}")

    def nothing_left(self) -> bool:
        return self.store.models() == [] and not list(self.settings.models.glob("*"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny base model, and the folder of an adapter tuned on it."""
    root = tmp_path_factory.mktemp("tuned")
    base = make_tiny_model(root / "base")
    plan = make_plan(base, train_steps=8, learning_rate_multiplier=20, replay=0)
    attempt, shards = AttemptFolder(root / "attempt"), make_shards(root / "shards")
    train(plan, attempt, shards=shards, base=prepare(catalog.from_folder(base), root / "base-models"), earlier=[])
    return base, attempt.out / "adapter"


@pytest.fixture
def site(tmp_path: Path, tuned: tuple[Path, Path]) -> Iterator[Site]:
    base, adapter = tuned
    settings = Settings(tmp_path / "home", aliases={"code-bison@002": str(base), "codechat-bison@002": str(base)})
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        found = Site(client, settings, base, adapter)
        found.storage.create_bucket("bucket", "p")
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            found.put(f"adapter/{file}", (adapter / file).read_bytes())
        yield found


def test_an_uploaded_adapter_answers_as_it_did_where_it_was_tuned(site: Site, tmp_path: Path) -> None:
    model = site.uploaded(labels={LABEL: "code-bison-002"})
    base = catalog.from_folder(site.base)
    served = open_served(base, site.settings.base_models, None, site.settings.models, {})
    target = predictions.target_of(model)
    assert (target.server.base_model, target.server.weights) == (str(site.base), None)
    asked = {"conversation": {"prefix": ASKED}, "model": target.asked, "max_output_tokens": 24}
    texts: list[str] = []
    done = threading.Event()

    def deliver(event: Any) -> None:
        texts.append(getattr(event, "text", ""))
        if type(event).__name__ in ("Done", "Failed"):
            done.set()
            served.batcher.close()

    served.batcher.submit(served.reader.generate(json.dumps(asked).encode()), deliver)
    served.batcher.run()
    prepared = prepare(base, tmp_path / "base-models")

    def alone(weights: Path | None) -> str:
        return Generator.load(prepared, base, weights, CPU).answer([question(ASKED)], max_output_tokens=24)[0]

    assert "".join(texts) == alone(site.adapter) != alone(None)


def test_an_uploaded_adapter_is_exported_with_a_proof(site: Site, tmp_path: Path) -> None:
    model = site.uploaded(labels={LABEL: "code-bison-002"})
    base = catalog.from_folder(site.base)
    prepared = prepare(base, site.settings.base_models)
    proof = export(model.folder, prepared, base, "merged", tmp_path / "out")
    assert proof["equal"] == proof["prompts"]


def test_a_version_is_kept_as_a_tuned_one_is(site: Site) -> None:
    site.put("adapter/README.md", b"hello")
    fields = {"description": "d", "versionDescription": "first", "labels": {"own": "yes"}}
    key = {"kmsKeyName": "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"}
    model = site.uploaded(**fields, containerSpec={"imageUri": "example.test/serve:1"}, encryptionSpec=key)
    folder.verify(model.folder)
    folder.verify(model.folder / "adapter")
    assert {p.name for p in model.folder.iterdir()} == {"adapter", "lineage.json", "README.md", "manifest.json"}
    weights = model.folder / "adapter" / "adapter_model.safetensors"
    source = model.lineage["source"]
    assert weights.read_bytes() == (site.adapter / weights.name).read_bytes()
    assert source["files"][weights.name]["sha256"] == folder.file_sha256(weights)
    assert source["left_out"] == ["README.md"]
    assert model.lineage["base"]["sha256"] == prepare(catalog.from_folder(site.base), site.settings.base_models).sha256
    said = site.client.get(f"/v1/{model.name}").json()
    assert (said["versionDescription"], said["description"], said["labels"]["own"]) == ("first", "d", "yes")
    assert (said["containerSpec"], said["artifactUri"]) == ({"imageUri": "example.test/serve:1"}, "gs://bucket/adapter")
    assert said["encryptionSpec"] == key
    assert said["modelSourceInfo"]["sourceType"] == "CUSTOM"
    assert LABEL in said["labels"]


def test_the_answer_is_an_operation_that_is_done(site: Site) -> None:
    operation = site.upload().json()
    assert operation["name"].startswith("projects/p/locations/us-central1/operations/")
    assert operation["metadata"]["@type"].endswith("UploadModelOperationMetadata")
    assert operation["response"]["@type"].endswith("UploadModelResponse")
    assert site.client.get(f"/ui/{operation['name']}").json() == operation


def test_a_chat_model_by_its_label_is_asked_as_one(site: Site) -> None:
    assert predictions.target_of(site.uploaded(labels={LABEL: "codechat-bison-002"})).kind == "chat"
    assert predictions.target_of(site.uploaded()).kind == "generation"


def test_an_uploaded_model_is_deployed_and_taken_for_batches(site: Site) -> None:
    model = site.uploaded()
    endpoint = site.client.post(f"{PARENT}/endpoints", json={"displayName": "e"}).json()["response"]["name"]
    body = {"deployedModel": {"model": f"{model.name}@1"}, "trafficSplit": {"0": 100}}
    assert site.client.post(f"/v1/{endpoint}:deployModel", json=body).status_code == 200
    assert site.client.get(f"/v1/{model.name}").json()["deployedModels"][0]["endpoint"] == endpoint


def test_a_parent_gets_versions_and_the_default_moves_when_it_is_asked_for(site: Site) -> None:
    first = site.uploaded()
    second = site.uploaded(parentModel=first.name, versionAliases=["two"])
    third = site.uploaded(parentModel=first.name, versionAliases=["three", "default"])
    assert [m.version_id for m in (first, second, third)] == ["1", "2", "3"]
    assert {m.name for m in (first, second, third)} == {first.name}
    assert site.store.model(first.name).version_id == "3"
    assert site.store.model(f"{first.name}@two").version_id == "2"
    site.client.delete(f"/v1/{first.name}@2:deleteVersion")
    assert site.uploaded(parentModel=first.name, versionAliases=[]).version_id == "4"


def test_a_number_of_a_version_that_was_deleted_is_not_given_again(site: Site) -> None:
    first = site.uploaded()
    second = site.uploaded(parentModel=first.name, versionAliases=[])
    assert site.client.delete(f"/v1/{first.name}@2:deleteVersion").status_code == 200
    assert not second.folder.exists()
    assert site.uploaded(parentModel=first.name, versionAliases=[]).version_id == "3"


def test_versions_uploaded_at_once_are_all_there(site: Site) -> None:
    first = site.uploaded()
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: site.uploaded(parentModel=first.name, versionAliases=[]), range(6)))
    assert sorted(int(m.version_id) for m in made) == [2, 3, 4, 5, 6, 7]
    for model in made:
        folder.verify(model.folder)


def test_of_uploads_under_one_id_at_once_one_is_made(site: Site) -> None:
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: site.upload(modelId="42").status_code, range(6)))
    assert sorted(codes) == [200, 409, 409, 409, 409, 409]
    (model,) = site.store.models()
    folder.verify(model.folder)
    assert [p.name for p in site.settings.models.iterdir()] == ["42"]


def test_what_a_killed_server_left_is_taken_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    left = site.settings.models / ".upload-0123456789abcdef"
    (left / "adapter").mkdir(parents=True)
    orphan = site.settings.models / "42" / "1"
    orphan.mkdir(parents=True)
    (orphan / "half").write_text("x")
    site.uploaded()
    assert left.exists()
    monkeypatch.setattr(model_upload, "LEFT_S", -1.0)
    model = site.uploaded(modelId="42")
    assert not left.exists()
    assert not (model.folder / "half").exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("adapter_model.bin", b"x", "adapter_model.bin: can run code"),
        ("pytorch_model.pt", b"x", "can run code"),
        ("deep/modeling.py", b"x", "can run code"),
        ("adapter_model.safetensors", b"\x80\x04payload", "is not safetensors"),
        ("adapter_config.json", b"{", "is not JSON"),
        ("base.json", json.dumps({"name": "tiny", "sha256": "0" * 64}).encode(), "says that the base model has hash"),
        ("base.json", b"[]", "must be a JSON object"),
        ("manifest.json", json.dumps({"files": {"adapter_config.json": {"sha256": "0"}}}).encode(), "is not the file"),
    ],
)
def test_a_folder_that_is_not_safe_or_not_whole_is_refused_and_leaves_nothing(
    site: Site, name: str, data: bytes, words: str
) -> None:
    site.put(f"adapter/{name}", data)
    answer = site.upload()
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert site.nothing_left()


def test_our_own_folder_with_its_hashes_passes(site: Site) -> None:
    for name in ("base.json", "manifest.json"):
        site.put(f"adapter/{name}", (site.adapter / name).read_bytes())
    assert site.uploaded().lineage["source"]["left_out"] == []


def layout(site: Site, **fields: Any) -> bytes:
    return json.dumps({**json.loads((site.adapter / "adapter_config.json").read_text()), **fields}).encode()


@pytest.mark.parametrize(
    ("named", "labels", "words"),
    [
        ("org/unknown", {}, "is no base model here"),
        ("", {}, "is no base model here"),
        ("/etc", {}, "is no base model here"),
        ("../..", {}, "is no base model here"),
        ("https://example.test/x", {}, "no address"),
        ("org/unknown", {LABEL: "nonsense"}, "'nonsense' is no base model"),
        ("smollm2-135m-instruct", {LABEL: "code-bison-002"}, "give the one that is right"),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", {}, "tunesmith models pull qwen2.5-coder-7b-instruct"),
    ],
)
def test_a_base_model_that_is_not_known_or_not_the_same_is_refused(
    site: Site, named: str, labels: dict[str, str], words: str
) -> None:
    site.put("adapter/adapter_config.json", layout(site, base_model_name_or_path=named))
    answer = site.upload(labels=labels)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]
    assert site.nothing_left()


def test_a_label_speaks_for_an_adapter_that_names_a_folder_of_elsewhere(site: Site) -> None:
    site.put("adapter/adapter_config.json", layout(site, base_model_name_or_path="/home/me/models/tiny"))
    assert site.uploaded(labels={LABEL: "code-bison-002"}).base_model == str(site.base)


def test_a_version_is_of_its_parents_base_if_it_does_not_say_otherwise(site: Site) -> None:
    site.put("adapter/adapter_config.json", layout(site, base_model_name_or_path="/home/me/models/tiny"))
    first = site.uploaded(labels={LABEL: "codechat-bison-002"})
    second = site.uploaded(parentModel=first.name, versionAliases=[])
    assert (second.base_model, predictions.target_of(second).kind) == (str(site.base), "chat")


def test_an_adapter_of_another_base_of_other_shapes_is_refused(site: Site, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(site.adapter / "adapter_model.safetensors")
    name = next(key for key in tensors if "lora_A" in key)
    tensors[name] = tensors[name][:, :-1].copy()
    save_file(tensors, tmp_path / "w")
    site.put("adapter/adapter_model.safetensors", (tmp_path / "w").read_bytes())
    answer = site.upload()
    assert answer.status_code == 400
    assert "another base model's" in answer.json()["error"]["message"]
    assert site.nothing_left()


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"artifactUri": "gs://bucket/nothing"}, 404, "there is nothing in"),
        ({"artifactUri": "gs://nowhere/x"}, 404, "nowhere"),
        ({"artifactUri": "/etc"}, 400, "artifactUri: must be gs://"),
        ({"artifactUri": "file:///etc"}, 400, "artifactUri: must be gs://"),
        ({"artifactUri": "gs://bucket/../x"}, 400, "artifactUri"),
        ({"displayName": ""}, 400, "displayName"),
        ({"labels": {"A": "b"}}, 400, "labels"),
        ({"versionAliases": ["-default"]}, 400, "versionAliases"),
        ({"modelId": "abc"}, 400, "modelId"),
        ({"modelId": "0" * 30}, 400, "modelId"),
        ({"parentModel": "projects/p/locations/us-central1/models/404"}, 404, "is not found"),
        ({"parentModel": "projects/other/locations/us-central1/models/1"}, 400, "parentModel"),
        ({"parentModel": "projects/p/locations/us-central1/models/1", "modelId": "2"}, 400, "modelId"),
        ({"explanationSpec": {"x": 1}}, 400, "is not offered"),
        ({"containerSpec": {"imageUri": "x", "command": ["sh"]}}, 400, "command"),
        ({"encryptionSpec": {"key": "k"}}, 400, "model.encryptionSpec.kmsKeyName"),
        ({"artefactUri": "gs://x/y"}, 400, "did you mean artifactUri"),
    ],
)
def test_a_body_that_is_wrong_is_named_and_leaves_nothing(
    site: Site, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = site.upload(**fields)
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (status, True), answer.text
    assert site.nothing_left()


def test_a_folder_with_too_much_in_it_is_not_an_adapters(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_upload, "MAX_FILES", 1)
    assert "holds more than 1 files" in site.upload().json()["error"]["message"]


def test_a_version_of_another_base_than_its_parent_is_refused(site: Site) -> None:
    first = site.uploaded()
    other = make_tiny_model(site.settings.home / "other", seed=5)
    site.settings.aliases["text-bison@002"] = str(other)  # type: ignore[index]
    site.put("adapter/adapter_config.json", layout(site, base_model_name_or_path="elsewhere"))
    answer = site.upload(parentModel=first.name, labels={LABEL: "text-bison-002"})
    assert answer.status_code == 400
    assert "make a model of its own" in answer.json()["error"]["message"]


def test_prompts_are_rendered_for_the_uploaded_model_as_for_the_base(site: Site) -> None:
    """One renderer for the base and everything beside it."""
    base = catalog.from_folder(site.base)
    served = open_served(base, site.settings.base_models, None, site.settings.models, {})
    model = site.uploaded()
    tuned = {"name": "m", "folder": str(model.folder)}
    asks = [
        served.reader.ask({"conversation": {"prefix": ASKED}, "seed": 1, **more}) for more in ({}, {"model": tuned})
    ]
    assert asks[0].prompt == asks[1].prompt == tuple(Renderer.open(site.base, base).prompt(question(ASKED)))
    assert asks[1].tuned == Tuned("m", model.folder.resolve())
