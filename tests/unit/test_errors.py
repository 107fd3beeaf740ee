"""The exception tree: statuses, exit codes, and errors that cross processes."""

from __future__ import annotations

import json
import pickle

import pytest

from tunesmith import errors
from tunesmith.errors import InvalidArgument, TunesmithError, Violation


def _tree(cls: type[TunesmithError]) -> list[type[TunesmithError]]:
    return [found for child in cls.__subclasses__() for found in (child, *_tree(child))]


ALL = [cls for cls in _tree(TunesmithError) if cls.__module__ == TunesmithError.__module__]


@pytest.mark.parametrize(
    ("cls", "status", "exit_code", "retryable"),
    [
        (errors.InvalidArgument, "INVALID_ARGUMENT", 2, False),
        (errors.FailedPrecondition, "FAILED_PRECONDITION", 2, False),
        (errors.NotFound, "NOT_FOUND", 2, False),
        (errors.AlreadyExists, "ALREADY_EXISTS", 2, False),
        (errors.Aborted, "ABORTED", 2, False),
        (errors.PermissionDenied, "PERMISSION_DENIED", 2, False),
        (errors.Unauthenticated, "UNAUTHENTICATED", 2, False),
        (errors.Cancelled, "CANCELLED", 3, False),
        (errors.ResourceExhausted, "RESOURCE_EXHAUSTED", 4, False),
        (errors.Unavailable, "UNAVAILABLE", 5, True),
        (errors.Diverged, "FAILED_PRECONDITION", 6, False),
        (errors.DataLoss, "DATA_LOSS", 7, False),
        (errors.Internal, "INTERNAL", 1, False),
    ],
)
def test_table_of_classes(cls: type[TunesmithError], status: str, exit_code: int, retryable: bool) -> None:
    assert (cls.status, cls.exit_code, cls.retryable) == (status, exit_code, retryable)


def test_table_is_complete() -> None:
    assert len(ALL) == 13


@pytest.mark.parametrize("cls", ALL)
def test_error_survives_pickling(cls: type[TunesmithError]) -> None:
    copy = pickle.loads(pickle.dumps(cls("what happened", step=12)))
    assert (type(copy), copy.message, copy.details) == (cls, "what happened", {"step": 12})
    assert str(copy) == "what happened"


@pytest.mark.parametrize("cls", ALL)
def test_error_survives_its_json_and_exit_code(cls: type[TunesmithError]) -> None:
    text = json.dumps(cls("what happened", step=12).to_json())
    copy = errors.from_json(json.loads(text), cls.exit_code)
    assert (type(copy), copy.message, copy.details) == (cls, "what happened", {"step": 12})


def test_unknown_status_is_a_bug() -> None:
    assert type(errors.from_json({"status": "TEAPOT", "message": "m"})) is errors.Internal


def test_invalid_argument_lists_every_violation() -> None:
    error = InvalidArgument.of_all([Violation("a", "must be 1"), Violation("b", "must be 2")])
    assert error.message == "a: must be 1\nb: must be 2"
    copy = errors.from_json(json.loads(json.dumps(error.to_json())))
    assert isinstance(copy, InvalidArgument)
    assert copy.violations == [Violation("a", "must be 1"), Violation("b", "must be 2")]


def test_server_and_serving_process_give_a_status_the_same_http_code() -> None:
    # Two tables, since neither may import the other, and nothing that both may import knows HTTP.
    from tunesmith.api.wire import HTTP_STATUS
    from tunesmith.engine.serve import _HTTP

    assert _HTTP.items() <= HTTP_STATUS.items()
