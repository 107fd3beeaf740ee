"""The one exception tree of Tunesmith: what went wrong, where, and what to do about it.

Each class has a canonical status (the google.rpc names, which Vertex uses on the wire), says whether trying
again may help (`retryable`), and has the exit code with which a task or a command ends. Each instance has a
message for people and typed details for programs. Nothing here knows HTTP, files or processes:

    TunesmithError
      InvalidArgument      the caller's value is wrong          exit 2
      FailedPrecondition   right value, wrong moment or state   exit 2
      NotFound             no such thing                        exit 2
      AlreadyExists        the name is taken by something else  exit 2
      Aborted              somebody else got there first        exit 2
      PermissionDenied     not allowed                          exit 2
      Unauthenticated      nobody knows who the caller is       exit 2
      Cancelled            stopped on request                   exit 3
      ResourceExhausted    memory, disk, devices or quota       exit 4
      Unavailable          not now; try again                   exit 5
      Diverged             the loss is not a number any more    exit 6
      DataLoss             stored bytes are not what was stored exit 7
      Internal             a bug                                exit 1

Task code raises these; `task.py` turns them into error.json and an exit code, `cli.py` prints them.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

EXIT_DONE = 0


class Violation(NamedTuple):
    """One thing that is wrong with one field of what the caller sent."""

    field: str
    message: str


class TunesmithError(Exception):
    """Root of the tree; never raised itself."""

    status: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders: the default reduce would drop the keyword arguments.
        return _rebuild, (type(self), self.message, self.details)

    def to_json(self) -> dict[str, Any]:
        """What error.json holds; `from_json` is its inverse."""
        return {"status": self.status, "message": self.message, "retryable": self.retryable, "details": self.details}


class InvalidArgument(TunesmithError):
    """A value that the caller sent is wrong whatever the state of the system."""

    status = "INVALID_ARGUMENT"
    exit_code = 2

    @classmethod
    def of(cls, field: str, message: str) -> InvalidArgument:
        """One violation of one field."""
        return cls.of_all([Violation(field, message)])

    @classmethod
    def of_all(cls, violations: Sequence[Violation]) -> InvalidArgument:
        """All violations at once, so that the caller mends them in one go."""
        text = "\n".join(f"{v.field}: {v.message}" for v in violations)
        return cls(text, violations=[v._asdict() for v in violations])

    @property
    def violations(self) -> list[Violation]:
        return [Violation(**v) for v in self.details.get("violations", [])]


class FailedPrecondition(TunesmithError):
    """The request would be right in another state of the system."""

    status = "FAILED_PRECONDITION"
    exit_code = 2


class NotFound(TunesmithError):
    """The thing that the caller named does not exist."""

    status = "NOT_FOUND"
    exit_code = 2


class AlreadyExists(TunesmithError):
    """The name is taken by something that differs from what the caller sent."""

    status = "ALREADY_EXISTS"
    exit_code = 2


class Aborted(TunesmithError):
    """Somebody else changed the thing in between; the caller may look again and repeat."""

    status = "ABORTED"
    exit_code = 2


class PermissionDenied(TunesmithError):
    """The caller is known and may not do this."""

    status = "PERMISSION_DENIED"
    exit_code = 2


class Unauthenticated(TunesmithError):
    """The caller showed no key, or one that is not in force."""

    status = "UNAUTHENTICATED"
    exit_code = 2


class Cancelled(TunesmithError):
    """Stopped because somebody asked for it; what was saved is in the details."""

    status = "CANCELLED"
    exit_code = 3


class ResourceExhausted(TunesmithError):
    """Memory, disk, devices or a quota ran out; the message names the setting to change."""

    status = "RESOURCE_EXHAUSTED"
    exit_code = 4


class Unavailable(TunesmithError):
    """Something did not answer; the same call may work later."""

    status = "UNAVAILABLE"
    exit_code = 5
    retryable = True


class Diverged(TunesmithError):
    """Loss or gradients stopped being finite numbers; nothing was updated with them."""

    status = "FAILED_PRECONDITION"
    exit_code = 6


class DataLoss(TunesmithError):
    """Stored bytes are not the bytes that were stored."""

    status = "DATA_LOSS"
    exit_code = 7


class Internal(TunesmithError):
    """A bug of ours; the traceback is in the log."""

    status = "INTERNAL"
    exit_code = 1


_BY_EXIT_CODE: dict[int, type[TunesmithError]] = {
    1: Internal,
    2: InvalidArgument,
    3: Cancelled,
    4: ResourceExhausted,
    5: Unavailable,
    6: Diverged,
    7: DataLoss,
}
_BY_STATUS: dict[str, type[TunesmithError]] = {
    cls.status: cls
    for cls in (
        InvalidArgument,
        FailedPrecondition,
        NotFound,
        AlreadyExists,
        Aborted,
        PermissionDenied,
        Unauthenticated,
        Cancelled,
        ResourceExhausted,
        Unavailable,
        DataLoss,
        Internal,
    )
}


def from_json(error: Mapping[str, Any], exit_code: int | None = None) -> TunesmithError:
    """The exception that `to_json` described; the exit code tells Diverged from FailedPrecondition."""
    cls = _BY_STATUS.get(error["status"], Internal)
    if exit_code is not None and _BY_EXIT_CODE.get(exit_code, Internal).status == cls.status:
        cls = _BY_EXIT_CODE[exit_code]
    return cls(error["message"], **error.get("details", {}))


def from_exception(error: BaseException) -> TunesmithError:
    """Ours as it is; memory or disk that ran out as ResourceExhausted; anything else as the bug that it is."""
    if isinstance(error, TunesmithError):
        return error
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or _is_device_out_of_memory(error):
        return ResourceExhausted(
            f"out of memory ({text}); set a smaller micro_batch_tokens, or shorten the longest rows"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(f"the disk is full ({text}); free some space, then resume the job")
    if isinstance(error, KeyboardInterrupt):
        return Cancelled("interrupted from the keyboard")
    return Internal(f"a bug, or a library that failed: {text}; the traceback is in the log")


def _is_device_out_of_memory(error: BaseException) -> bool:
    # By name: torch.OutOfMemoryError, without importing torch. On a CPU its allocator raises a plain RuntimeError.
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _rebuild(cls: type[TunesmithError], message: str, details: dict[str, Any]) -> TunesmithError:
    return cls(message, **details)
