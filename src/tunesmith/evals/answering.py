"""The program in the first closed room: runs an untrusted solution and answers what it is asked about it.

sandbox.py passes this file's text to jail.py; nothing imports it, and it imports nothing of ours. Requests come as
JSON lines on standard input, answers leave as JSON lines on file descriptor 3. Values cross as the text of Python
literals, so that the asking side never unpickles, imports or calls anything of the solution's.

The solution shares this process and may do with it what it likes: read the requests, write answers itself. It gains
nothing by it, because it is never told which answer is expected, and the verdict is not made here.
"""

import ast
import json
import os
import sys
import types
from typing import Any

Request = dict[str, Any]


def main() -> None:
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)  # input() finds an empty file, not the requests
    solution = types.ModuleType("solution")
    sys.modules["solution"] = solution
    for line in requests:
        reply = answer(json.loads(line), vars(solution))
        os.write(3, json.dumps(reply).encode() + b"\n")


def answer(request: Request, namespace: dict[str, Any]) -> Request:
    try:
        return {"value": repr(plain(fulfil(request, namespace)))}
    except BaseException as error:  # noqa: BLE001 (a solution may raise anything, SystemExit and KeyboardInterrupt too)
        return {"raised": type(error).__name__, "message": str(error)[:2_000]}


def fulfil(request: Request, namespace: dict[str, Any]) -> Any:
    if request["kind"] == "load":
        for name, source in request["modules"].items():
            sys.modules[name] = module = types.ModuleType(name)
            exec(compile(source, f"{name}.py", "exec"), vars(module))
        exec(compile(request["code"], "solution.py", "exec"), namespace)
        return sorted(name for name, value in namespace.items() if callable(value) and name.isidentifier())
    if request["kind"] == "call":
        positional, named = ast.literal_eval(request["arguments"])
        return namespace[request["name"]](*positional, **named)
    if request["kind"] == "do":
        exec(compile(request["code"], "request.py", "exec"), namespace)
        return None
    return eval(compile(request["expression"], "request.py", "eval"), namespace)


def plain(value: Any) -> Any:
    """The value made of built-in types only; a TypeError says what cannot cross."""
    if value is None or value is True or value is False or value is ...:
        return value
    scalars: tuple[type[Any], ...] = (int, float, complex, str, bytes)
    for kind in scalars:
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    for collection in (list, tuple, set, frozenset):
        if isinstance(value, collection):
            return (set if collection is frozenset else collection)(plain(entry) for entry in value)
    raise TypeError(f"the answer holds a {type(value).__name__}, which is not a literal")


if __name__ == "__main__":
    main()
