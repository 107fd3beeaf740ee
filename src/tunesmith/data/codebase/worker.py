"""`python -m tunesmith.data.codebase.worker`: does the tasks of crew.py, lot after lot, until its input ends."""

from __future__ import annotations

import resource
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.data.codebase.crew import NO_MEMORY, receive, send

MEMORY_BYTES = 3 << 30
"""Of address space. A text of 1 MiB with its tree takes a tenth of it."""


def main() -> None:
    """Does the tasks of a build."""
    from tunesmith.data.codebase.analysis import analyse
    from tunesmith.data.codebase.overlap import compare_share
    from tunesmith.data.codebase.rows import make

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve({"analyse": analyse, "make": make, "compare": compare_share})


def serve(tasks: Mapping[str, Callable[[Any], Any]]) -> None:
    """Does what standard input asks for. What a task raises is a fault of ours: it is sent back and ends the build."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while (asked := receive(source)) is not None:
        name, lot = asked
        send(target, _done(tasks[name], lot))


def _done(task: Callable[[Any], Any], lot: Sequence[Any]) -> list[Any] | Exception:
    try:
        return [task(item) for item in lot]
    except MemoryError:  # of a file that was made to need much: the lot is tried again one by one, by another process
        sys.exit(NO_MEMORY)
    except Exception as error:  # noqa: BLE001 - it crosses to the process that asked
        error.add_note(traceback.format_exc())
        return error


if __name__ == "__main__":
    main()
