"""Cancelling and deleting at every awkward moment, by HTTP: refused in clear words, or done once and wholly."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from faults.house import assert_history_is_legal, processes_of
from faults.service import JOBS, PARENT, Service
from faults.slow_task import Behaviour
from tunesmith import folder
from tunesmith.folder import JobFolder

LONG = Behaviour(steps=100_000, step_s=0.01)
SHORT = Behaviour(steps=3, step_s=0.0)


def cancel(service: Service, job_id: str = "job") -> Any:
    return service.ask("POST", f"{JOBS}/{job_id}:cancel", json={})


def delete(service: Service, job_id: str = "job") -> Any:
    return service.ask("DELETE", f"{JOBS}/{job_id}")


def state(service: Service, job_id: str = "job") -> str:
    return service.ask("GET", f"{JOBS}/{job_id}").json()["state"].removeprefix("PIPELINE_STATE_")


def assert_refused(answer: Any, *words: str) -> None:
    """400 FAILED_PRECONDITION, with those words."""
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["status"] == "FAILED_PRECONDITION"
    assert all(word in error["message"] for word in words), error["message"]


def stop(worker: subprocess.Popen) -> None:
    worker.kill()
    worker.wait()


def test_cancel_before_the_start_ends_the_job_and_nothing_of_it_ever_begins(service: Service) -> None:
    key = service.submit("job", LONG)
    service.submit("next", SHORT)
    assert cancel(service).json() == {}
    assert state(service) == "CANCELLED"
    service.add_worker()
    assert service.wait_for_end("p.next").state == "SUCCEEDED"
    assert {task.attempt for task in service.job(key).tasks} == {0}
    assert not (service.home / "jobs" / key).exists()
    error = service.ask("GET", f"{JOBS}/job").json()["error"]
    assert (error["code"], error["message"]) == (1, "cancelled on request")


def test_cancel_while_a_checkpoint_is_being_written_leaves_only_whole_ones(service: Service) -> None:
    key = service.submit("job", Behaviour(steps=100_000, step_s=0.01, checkpoint_every=3, checkpoint_s=0.5))
    service.add_worker()
    service.wait_for_step(6, job_id=key)
    checkpoints = JobFolder(service.home / "jobs" / key).attempt("tune", 1).checkpoints
    service.wait(lambda: list(checkpoints.glob(".step-*.tmp")), "a checkpoint is being written")
    assert cancel(service).status_code == 200
    assert service.wait_for_end(key).state == "CANCELLED"
    assert processes_of(service.home) == []
    left = list(checkpoints.iterdir())
    assert left
    for path in left:
        assert path.name.startswith("step-"), path
        folder.verify(path)
    assert_history_is_legal(service.store, key)


def test_cancel_after_success_is_refused_and_takes_nothing_back(service: Service) -> None:
    key = service.submit("job", SHORT)
    service.add_worker(SERVES="1")
    service.wait_for_end(key)
    said = service.predicted(service.endpoint_of(key))
    assert_refused(cancel(service), "already ended", "SUCCEEDED")
    assert state(service) == "SUCCEEDED"
    assert service.predicted(service.endpoint_of(key)) == said


def test_cancel_after_failure_is_refused_and_keeps_the_reason(service: Service) -> None:
    key = service.submit("job", Behaviour(trouble="diverged"))
    service.add_worker()
    reason = service.wait_for_end(key).error
    assert_refused(cancel(service), "already ended", "FAILED")
    assert service.job(key).error == reason


def test_cancel_twice_at_once_is_one_cancel(service: Service) -> None:
    key = service.submit("job", LONG)
    service.add_worker()
    service.wait_for_step(3, job_id=key)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: cancel(service), range(24)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "{}")}
    assert service.wait_for_end(key).state == "CANCELLED"
    assert cancel(service).json() == {}
    states = [event.state for event in service.store.events(key) if event.task is None]
    assert states == ["QUEUED", "PENDING", "RUNNING", "CANCELLING", "CANCELLED"]


def test_cancel_with_a_dead_worker_is_finished_by_the_next_one(service: Service) -> None:
    key = service.submit("job", LONG)
    worker = service.add_worker()
    service.wait_for_step(3, job_id=key)
    stop(worker)
    assert cancel(service).json() == {}
    assert cancel(service).json() == {}
    assert state(service) == "CANCELLING"
    service.add_worker()
    assert service.wait_for_end(key).state == "CANCELLED"
    assert processes_of(service.home) == []
    assert_history_is_legal(service.store, key)


def test_worker_and_task_that_die_while_cancelling_do_not_keep_the_job_from_ending(service: Service) -> None:
    # Deaf: it looks at neither STOP nor SIGTERM, so that CANCELLING lasts.
    key = service.submit("job", Behaviour(steps=100_000, step_s=0.01, trouble="deaf"))
    worker = service.add_worker()
    service.wait_for_step(3, job_id=key)
    assert cancel(service).json() == {}
    stop(worker)
    assert service.kill_task(key)
    assert state(service) == "CANCELLING"
    service.add_worker()
    assert service.wait_for_end(key).state == "CANCELLED"
    assert service.job(key).task("tune").attempt == 1
    assert_history_is_legal(service.store, key)


def test_cancelled_jobs_devices_go_to_the_next_in_the_queue(service: Service) -> None:
    key = service.submit("job", LONG)
    service.submit("next", SHORT)
    service.add_worker()
    service.wait_for_step(3, job_id=key)
    assert state(service, "next") == "QUEUED"
    cancel(service)
    assert service.wait_for_end("p.next").state == "SUCCEEDED"
    assert state(service) == "CANCELLED"


def test_delete_is_refused_until_the_job_has_ended_and_then_takes_all_of_it(service: Service) -> None:
    key = service.submit("job", Behaviour(steps=100_000, step_s=0.01, trouble="deaf"))
    assert_refused(delete(service), "QUEUED", "cancel it before deleting")
    service.add_worker()
    service.wait_for_step(3, job_id=key)
    assert_refused(delete(service), "RUNNING", "cancel it before deleting")
    cancel(service)
    assert_refused(delete(service), "CANCELLING")
    service.wait_for_end(key)
    assert delete(service).json()["done"] is True
    assert service.ask("GET", f"{JOBS}/job").status_code == 404
    assert delete(service).status_code == 404
    assert not (service.home / "jobs" / key).exists()


def test_a_deleted_jobs_id_can_be_used_again(service: Service) -> None:
    service.submit("job", LONG)
    cancel(service)
    delete(service)
    key = service.submit("job", SHORT)
    service.add_worker()
    assert service.wait_for_end(key).state == "SUCCEEDED"


def test_batch_delete_with_one_running_job_deletes_none(service: Service) -> None:
    done, running = service.submit("done", SHORT), service.submit("running", LONG)
    service.add_worker()
    service.wait_for_end(done)
    service.wait_for_step(1, job_id=running)
    names = [f"{PARENT}/pipelineJobs/{name}" for name in ("done", "running")]
    assert_refused(service.ask("POST", f"{JOBS}:batchDelete", json={"names": names}), "running", "RUNNING")
    assert state(service, "done") == "SUCCEEDED"
    assert (service.home / "jobs" / done).exists()


@pytest.mark.parametrize("version", ["", "@1"])
def test_a_deployed_model_is_not_deleted_and_goes_on_answering(service: Service, version: str) -> None:
    key = service.submit("job", SHORT)
    service.add_worker(SERVES="1")
    service.wait_for_end(key)
    endpoint, model = service.endpoint_of(key), service.job(key).model
    said = service.predicted(endpoint)
    if version:
        assert_refused(service.ask("DELETE", f"/v1/{model}@1:deleteVersion"), "default")
        return
    assert_refused(service.ask("DELETE", f"/v1/{model}"), "is deployed at", "undeploy it first")
    assert service.predicted(endpoint) == said
    deployed = service.ask("GET", f"/v1/{endpoint}").json()["deployedModels"][0]["id"]
    service.ask("POST", f"/v1/{endpoint}:undeployModel", json={"deployedModelId": deployed}).raise_for_status()
    assert service.ask("DELETE", f"/v1/{model}").json()["done"] is True
    assert service.ask("GET", f"/v1/{model}").status_code == 404
    assert not list((service.home / "models").glob("*/*"))
    assert_refused(service.ask("POST", f"/v1/{endpoint}:predict", json={"instances": [{"prefix": "a"}]}), "no model")
