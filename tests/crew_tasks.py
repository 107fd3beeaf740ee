"""A process of a crew whose tasks do what hostile files make parsers do."""

from __future__ import annotations

import os
import time

from tunesmith.data.codebase.worker import serve


def double(item: int) -> int:
    return 2 * item


def die_at_seven(item: int) -> int:
    if item == 7:
        os._exit(139)
    return item


def hang_at_seven(item: int) -> int:
    if item == 7:
        time.sleep(600)
    return item


def raise_at_seven(item: int) -> int:
    if item == 7:
        raise LookupError("seven")
    return item


def starve_at_seven(item: int) -> int:
    if item == 7:
        raise MemoryError
    return item


def who(item: int) -> int:
    return os.getpid()


if __name__ == "__main__":
    serve({task.__name__: task for task in (double, die_at_seven, hang_at_seven, raise_at_seven, starve_at_seven, who)})
