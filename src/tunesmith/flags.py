"""The flags of `tune`: the fields of TuningSpec, as options of a command line.

In: TuningSpec's fields with their types, defaults and explanations. Out: parameters for typer, each None where the
caller did not give it, so that the spec knows what was asked. Values stay text: TuningSpec alone says what is right
and what is usual. Nothing is parsed or checked here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

import typer

from tunesmith.errors import InvalidArgument, Violation
from tunesmith.spec import TuningSpec

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# What a field is called on the command line where that differs from its own name.
NAMES = {"display_name": "--name"}
ARGUMENTS = ("dataset",)
METAVARS = {
    "dataset": "FILE",
    "evaluation_data": "FILE",
    "base_model": "NAME",
    "display_name": "NAME",
    "replay": "SHARE",
}


class Flag(NamedTuple):
    """One field of TuningSpec on the command line."""

    name: str
    flag: str
    field: FieldInfo


def flags() -> Iterator[Flag]:
    """Every field of TuningSpec, in its order."""
    for name, field in TuningSpec.model_fields.items():
        flag = NAMES.get(name, "--" + name.replace("_", "-"))
        yield Flag(name, METAVARS[name] if name in ARGUMENTS else flag, field)


def parameters() -> list[inspect.Parameter]:
    """A keyword parameter for each flag, described for typer."""
    return [_parameter(flag) for flag in flags()]


def in_flags(error: InvalidArgument) -> InvalidArgument:
    """The error with flags for field names, since that is what the caller wrote."""
    known = {flag.name: flag.flag for flag in flags()}
    return InvalidArgument.of_all([Violation(known.get(v.field, v.field), v.message) for v in error.violations])


def help_text(flag: Flag) -> str:
    """The field's own explanation, and its default where there is one to name."""
    text = flag.field.description or ""
    if flag.name in ARGUMENTS or flag.field.default in (None, ""):
        return text
    return f"{text} [default: {_shown_default(flag)}]"


def metavar(flag: Flag) -> str:
    """What stands for the value: the choices, a number's kind, or a word."""
    choices = [value for value in _parts(flag.field.annotation) if isinstance(value, str)]
    if choices:
        return "|".join(choices)
    if flag.name in METAVARS:
        return METAVARS[flag.name]
    kinds = {int: "N", float: "NUMBER"}
    return next((word for kind, word in kinds.items() if kind in _parts(flag.field.annotation)), "TEXT")


def _parameter(flag: Flag) -> inspect.Parameter:
    annotation: Any
    if flag.name in ARGUMENTS:
        annotation = Annotated[str, typer.Argument(metavar=flag.flag, help=help_text(flag))]
        return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    if flag.field.annotation is bool:
        spelling = f"{flag.flag}/--no-{flag.flag[2:]}"
        annotation = Annotated[bool | None, typer.Option(spelling, help=help_text(flag), show_default=False)]
    else:
        option = typer.Option(flag.flag, help=help_text(flag), metavar=metavar(flag), show_default=False)
        annotation = Annotated[str | None, option]
    return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _shown_default(flag: Flag) -> str:
    default = flag.field.default
    if isinstance(default, bool):
        return flag.flag if default else f"--no-{flag.flag[2:]}"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _parts(annotation: Any) -> list[Any]:
    """The type itself and everything inside its unions, literals and annotations."""
    return [annotation, *(inner for part in get_args(annotation) for inner in _parts(part))]
