"""models:export and models:card: what leaves the registry, where to, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tunesmith import folder, resources
from tunesmith.api.app import create_app
from tunesmith.settings import Settings
from tunesmith.store import Store, Uploaded

PARENT = "/v1/projects/local/locations/us-central1/models"
FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256)) * 9000}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(tmp_path)), base_url="http://127.0.0.1") as found:
        found.post("/storage/v1/b?project=local", json={"name": "out"})
        yield found


def make_model(client: TestClient, model_id: str = "7", method: str = "lora", display_name: str = "shop / 1") -> Path:
    """Registers a version; its folder."""
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    staging = client.app.state.settings.models / ".staging"  # type: ignore[attr-defined]
    with folder.sealed(staging) as unfinished:
        with folder.sealed(unfinished / ("adapter" if method == "lora" else "model")) as weights:
            for name, content in FILES.items():
                (weights / name).write_bytes(content)
        folder.write_text(unfinished / "README.md", "# shop\n\n\uc548\ub155\n")
    name = resources.ModelName("local", "us-central1", model_id)
    lineage = {"tuning": {"method": method}, "source": {}}
    return store.add_uploaded(Uploaded(name, display_name, "", {}, [], "b", lineage, staging)).folder


def export(client: TestClient, prefix: str, model: str = "7", **said: Any) -> Any:
    body = {"outputConfig": {"artifactDestination": {"outputUriPrefix": prefix}, **said}}
    return client.post(f"{PARENT}/{model}:export", json=body)


def objects(client: TestClient) -> list[str]:
    return [item["name"] for item in client.get("/storage/v1/b/out/o").json().get("items", [])]


def test_the_registered_files_come_out_with_card_and_manifest(client: TestClient) -> None:
    place = make_model(client)
    operation = export(client, "gs://out/weights/", exportFormatId="peft").json()
    target = operation["metadata"]["outputInfo"]["artifactOutputUri"]
    assert operation["done"]
    assert target.startswith("gs://out/weights/model-export-shop___1-7-1-")
    storage = client.app.state.storage  # type: ignore[attr-defined]
    for name, content in FILES.items():
        assert b"".join(storage.open(f"{target}/{name}").chunks()) == content
    assert {n.rpartition("/")[2] for n in objects(client)} == {*FILES, "README.md", "manifest.json"}
    manifest = b"".join(storage.open(f"{target}/manifest.json").chunks())
    assert manifest == (place / "adapter" / "manifest.json").read_bytes()


def test_an_operation_tells_where_the_export_lies_when_asked_again(client: TestClient) -> None:
    make_model(client)
    operation = export(client, "gs://out").json()
    assert client.get(f"/v1/{operation['name']}").json() == operation


@pytest.mark.parametrize(("method", "format_id"), [("lora", "peft"), ("full", "safetensors")])
def test_a_model_lists_the_format_that_it_has(client: TestClient, method: str, format_id: str) -> None:
    make_model(client, method=method)
    listed = client.get(f"{PARENT}/7").json()["supportedExportFormats"]
    assert listed == [{"id": format_id, "exportableContents": ["ARTIFACT"]}]
    assert export(client, "gs://out", exportFormatId=format_id).status_code == 200


def test_two_exports_lie_in_two_folders(client: TestClient) -> None:
    make_model(client)
    places = {export(client, "gs://out").json()["metadata"]["outputInfo"]["artifactOutputUri"] for _ in range(2)}
    assert len(places) == 2


@pytest.mark.parametrize(
    ("config", "field", "remedy"),
    [
        ({"exportFormatId": "gguf"}, "outputConfig.exportFormatId", "this model has 'peft'"),
        ({"imageDestination": {"outputUri": "x"}}, "outputConfig.imageDestination", "leave it out"),
        ({"artifactDestination": None}, "outputConfig.artifactDestination", "say where"),
        ({"artifactDestination": {"outputUriPrefix": "/etc"}}, "outputUriPrefix", "must be gs://"),
        ({"artifactDestination": {"outputUriPrefix": "file:///etc"}}, "outputUriPrefix", "must be gs://"),
        ({"artifactDestination": {"outputUriPrefix": "gs://out/../x"}}, "outputUriPrefix", ".."),
        ({"artifactDestination": {"outputUriPrefix": "gs://out/" + "x/" * 500}}, "outputUriPrefix", "bytes"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    client: TestClient, config: dict[str, Any], field: str, remedy: str
) -> None:
    make_model(client)
    answer = export(client, "gs://out", **config)
    assert answer.status_code == 400
    (violation,) = answer.json()["error"]["details"][0]["fieldViolations"]
    assert violation["field"].endswith(field)
    assert remedy in violation["description"]
    assert objects(client) == []


def test_a_damaged_model_is_not_exported(client: TestClient) -> None:
    place = make_model(client)
    (place / "adapter" / "adapter_model.safetensors").write_bytes(b"\0" * len(FILES["adapter_model.safetensors"]))
    answer = export(client, "gs://out")
    assert answer.status_code == 500
    assert "is damaged" in answer.json()["error"]["message"]
    assert objects(client) == []


def test_an_export_that_fails_in_the_middle_leaves_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(client)
    storage = client.app.state.storage  # type: ignore[attr-defined]
    putting = storage.put

    def full(uri: str, chunks: Iterator[bytes]) -> None:
        if uri.endswith("manifest.json"):
            raise FileNotFoundError(uri)
        putting(uri, chunks)

    monkeypatch.setattr(storage, "put", full)
    answer = export(client, "gs://out")
    assert answer.status_code == 409
    assert "deleted meanwhile" in answer.json()["error"]["message"]
    assert objects(client) == []


def test_weights_go_into_no_bucket_that_is_closed_to_the_caller(client: TestClient) -> None:
    make_model(client)
    client.post("/storage/v1/b?project=theirs", json={"name": "theirs"})
    store: Store = client.app.state.store  # type: ignore[attr-defined]
    keys = {role: store.create_key("k", "local", role).secret for role in ("viewer", "tuner")}  # type: ignore[arg-type]

    def asked(role: str, prefix: str) -> int:
        client.headers["Authorization"] = f"Bearer {keys[role]}"
        return int(export(client, prefix).status_code)

    assert [asked("tuner", "gs://theirs/x"), asked("viewer", "gs://out"), asked("tuner", "gs://out")] == [403, 403, 200]


def test_a_card_is_the_one_in_the_registry(client: TestClient) -> None:
    make_model(client)
    card = client.get(f"{PARENT}/7@default:card").json()
    assert (card["versionId"], card["markdown"]) == ("1", "# shop\n\n\uc548\ub155\n")


def test_a_model_without_a_card_says_so(client: TestClient) -> None:
    (make_model(client) / "README.md").unlink()
    answer = client.get(f"{PARENT}/7:card")
    assert answer.status_code == 404
    assert "has no card" in answer.json()["error"]["message"]
