"""A server that dies and comes back, and two servers on one home: the same answers, and nothing half done."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator

import pytest

from faults.service import BUCKET, JOBS, Service, free_port
from faults.slow_task import Behaviour

MEGABYTE = 1 << 20
OBJECTS = f"/storage/v1/b/{BUCKET}/o"


def restart(service: Service) -> None:
    service.kill(service.server)
    service.start_server()


def test_the_same_request_after_a_restart_is_the_same_job(service: Service) -> None:
    body = service.body("job", Behaviour(steps=3, step_s=0.0))
    path = f"{JOBS}?pipelineJobId=job"
    made = service.ask("POST", path, json=body).json()
    restart(service)
    assert service.ask("POST", path, json=body).json() == made
    service.add_worker()
    service.wait_for_end("p.job")
    restart(service)
    again = service.ask("POST", path, json=body)
    assert again.status_code == 200
    assert again.json()["state"] == "PIPELINE_STATE_SUCCEEDED"
    assert (again.json()["name"], again.json()["createTime"]) == (made["name"], made["createTime"])
    assert len(service.store.jobs()) == len(service.store.models()) == 1


def test_another_body_under_the_same_id_after_a_restart_is_a_conflict(service: Service) -> None:
    body = service.body("job", Behaviour(steps=3))
    path = f"{JOBS}?pipelineJobId=job"
    made = service.ask("POST", path, json=body).json()
    restart(service)
    other = copy.deepcopy(body)
    other["runtimeConfig"]["parameterValues"]["train_steps"] = 4
    answer = service.ask("POST", path, json=other)
    assert answer.status_code == 409
    assert answer.json()["error"]["status"] == "ALREADY_EXISTS"
    assert "job" in answer.json()["error"]["message"]
    assert service.ask("GET", f"{JOBS}/job").json() == made


@pytest.fixture
def pair(service: Service) -> Iterator[tuple[Service, Service]]:
    """Two servers on one home, each with its client."""
    second = Service(service.home, port=free_port())
    second.start_server()
    yield service, second
    second.kill(second.server)
    second.store.close()


def test_two_servers_on_one_home_both_serve_one_set_of_jobs(pair: tuple[Service, Service]) -> None:
    first, second = pair
    body = first.body("job", Behaviour(steps=3, step_s=0.0))
    path = f"{JOBS}?pipelineJobId=job"
    made = [one.ask("POST", path, json=body).json() for one in (first, second, first)]
    assert made[0] == made[1] == made[2]
    first.submit("first", Behaviour(steps=3, step_s=0.0))
    second.submit("second", Behaviour(steps=3, step_s=0.0))
    first.add_worker(SERVES="1")
    for key in ("p.job", "p.first", "p.second"):
        assert second.wait_for_end(key).state == "SUCCEEDED"
    listed = [[job["name"] for job in one.ask("GET", JOBS).json()["pipelineJobs"]] for one in pair]
    assert listed[0] == listed[1]
    assert len(listed[0]) == 3
    endpoint = first.endpoint_of("p.job")
    assert first.predicted(endpoint) == second.predicted(endpoint)
    assert len(list(first.home.glob("servers/*/attempt-*"))) == 1  # one serving process for both


def test_the_death_of_one_of_two_servers_is_not_noticed_at_the_other(pair: tuple[Service, Service]) -> None:
    first, second = pair
    key = first.submit("job", Behaviour(steps=30, step_s=0.01))
    first.add_worker(SERVES="1")
    first.wait_for_step(5, job_id=key)
    first.kill(first.server)
    assert second.wait_for_end(key).state == "SUCCEEDED"
    assert second.predicted(second.endpoint_of(key))


# Uploads.


def make_bucket(service: Service) -> None:
    service.ask("POST", "/storage/v1/b?project=p", json={"name": BUCKET}).raise_for_status()


def names(service: Service) -> list[str]:
    return [item["name"] for item in service.ask("GET", OBJECTS).json().get("items", [])]


def files(service: Service) -> set[str]:
    root = service.home / "buckets" / BUCKET
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def send_half(service: Service, path: str, headers: str, size: int, sent: int) -> socket.socket:
    """A connection over which a part of a body has gone, and begun to arrive (the server writes whole megabytes)."""
    connection = socket.create_connection(("127.0.0.1", service.port))
    head = f"{path} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nContent-Length: {size}\r\n{headers}\r\n"
    connection.sendall(head.encode() + b"x" * sent)
    drafts = service.home / "buckets" / ".tunesmith" / BUCKET / "drafts"
    service.wait(lambda: any(p.stat().st_size >= MEGABYTE for p in drafts.glob("*.part")), "the bytes have arrived")
    return connection


@pytest.mark.parametrize("before", [None, b"the old bytes"])
def test_an_upload_that_dies_with_its_server_leaves_no_half_object(service: Service, before: bytes | None) -> None:
    make_bucket(service)
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=rows.jsonl"
    if before is not None:
        service.ask("POST", path, content=before).raise_for_status()
    there = names(service), files(service)
    with send_half(service, f"POST {path}", "", 4 * MEGABYTE, 3 * MEGABYTE):
        assert (names(service), files(service)) == there  # nothing to be seen while it goes on either
        restart(service)
    assert (names(service), files(service)) == there
    answer = service.ask("GET", f"/download{OBJECTS}/rows.jsonl?alt=media")
    assert (answer.status_code, answer.content) == (200, before) if before else answer.status_code == 404
    service.ask("POST", path, content=b"y" * MEGABYTE).raise_for_status()
    assert service.ask("GET", f"/download{OBJECTS}/rows.jsonl?alt=media").content == b"y" * MEGABYTE


def test_a_resumable_upload_goes_on_after_its_server_died(service: Service) -> None:
    make_bucket(service)
    begun = service.ask(
        "POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=rows.jsonl", json={}
    ).headers["location"]
    where = begun.removeprefix(service.url)
    ranges = f"Content-Range: bytes 0-{4 * MEGABYTE - 1}/{4 * MEGABYTE}\r\n"
    with send_half(service, f"PUT {where}", ranges, 4 * MEGABYTE, 3 * MEGABYTE):
        restart(service)
    assert names(service) == []
    there = service.ask("PUT", where, headers={"Content-Range": f"bytes */{4 * MEGABYTE}"})
    assert there.status_code == 308
    have = int(there.headers["range"].removeprefix("bytes=0-")) + 1
    assert have >= MEGABYTE
    rest = b"x" * (4 * MEGABYTE - have)
    span = {"Content-Range": f"bytes {have}-{4 * MEGABYTE - 1}/{4 * MEGABYTE}"}
    service.ask("PUT", where, content=rest, headers=span).raise_for_status()
    assert names(service) == ["rows.jsonl"]
    assert service.ask("GET", f"/download{OBJECTS}/rows.jsonl?alt=media").content == b"x" * 4 * MEGABYTE
