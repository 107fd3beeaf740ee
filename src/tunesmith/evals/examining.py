"""The program in the second closed room: runs a problem's tests and gives the verdict. No solution's code runs here.

sandbox.py passes this file's text to jail.py; nothing imports it, and it imports nothing of ours. The first line on
standard input holds the tests; questions and, last, the verdict leave as JSON lines on file descriptor 3; answers
come on standard input. What the tests find beside Python:

    candidate(*a, **k)    calls the problem's entry point; each function of the solution can be called by its name too
    ask(expression)       the value of an expression, evaluated where the solution is
    do(statements)        runs statements there
    error_of(expression)  the class name of the exception that the expression raises, or ""

Arguments and answers are literals: numbers, strings, bytes, None, lists, tuples, dicts, sets of these. What a function
does to its arguments is not seen here; tests of that use do() and ask().
"""

import ast
import builtins
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Reply = dict[str, Any]


class SolutionRaised(Exception):
    """The solution raised an exception of the class `kind`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"the solution raised {kind}: {message}")
        self.kind = kind


def main() -> None:
    problem = json.loads(sys.stdin.readline())
    names = [name for name in problem["names"] if name not in vars(builtins)]
    namespace: dict[str, Any] = {"__name__": "tests", **{name: function(name) for name in names}}
    namespace |= {"candidate": function(problem["entry_point"]), "ask": ask, "do": do, "error_of": error_of}
    try:
        exec(compile(problem["tests"], "tests.py", "exec"), namespace)
    except AssertionError as error:
        send({"verdict": "failed", "detail": f"line {line_of(error)}: {error}"})
    except BaseException as error:  # noqa: BLE001 (whatever stops the tests means that they did not pass)
        send({"verdict": "failed", "detail": f"line {line_of(error)}: {type(error).__name__}: {error}"})
    else:
        send({"verdict": "passed", "detail": ""})


def function(name: str) -> Callable[..., Any]:
    def call(*positional: Any, **named: Any) -> Any:
        return exchange({"kind": "call", "name": name, "arguments": repr((positional, named))})

    return call


def ask(expression: str) -> Any:
    return exchange({"kind": "ask", "expression": expression.strip()})


def do(statements: str) -> None:
    exchange({"kind": "do", "code": statements})


def error_of(expression: str) -> str:
    try:
        ask(expression)
    except SolutionRaised as raised:
        return raised.kind
    return ""


def exchange(request: Reply) -> Any:
    send(request)
    reply = json.loads(sys.stdin.readline())
    if "raised" in reply:
        raise SolutionRaised(reply["raised"], reply["message"])
    return ast.literal_eval(reply["value"])


def send(message: Reply) -> None:
    os.write(3, json.dumps(message).encode() + b"\n")


def line_of(error: BaseException) -> int:
    """The line of the tests that was running, 0 if none was."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


if __name__ == "__main__":
    main()
