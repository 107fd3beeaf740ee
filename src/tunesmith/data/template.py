"""A model's own chat template: messages in, the text that the model was taught to expect out.

The template is a Jinja program that came with somebody's model, so it is run as untrusted code: in Jinja's sandbox,
with a limit on its own size, on the time of one rendering, on the text it may make, and on the numbers it may
pass around (a width of 10**9 is a way to fill the memory). It sees plain strings and flags and nothing else.
What it renders equals transformers' `apply_chat_template(..., enable_thinking=False)`, text for text; the variables,
filters and the two additions to the language (`generation` blocks, loop controls) are those of transformers 5.

Knows nothing of tokens. Called by render.py.
"""

from __future__ import annotations

import functools
import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes as nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunesmith.errors import InvalidArgument

# The longest template in use that we know of has 24 kB; one of megabytes is an attack on the compiler.
TEMPLATE_BYTES = 256 * 1024
# One rendering takes 10 to 300 microseconds.
RENDER_S = 5.0
# Characters that one rendering may make over and above this many times its messages; loops count every round.
TEXT_CHARS = 16 * 1024 * 1024
TEXT_PER_CHAR = 64
NUMBER = 1_000_000
REPEATS = 100_000

# Calls whose result may be as long as the product of what they are given.
_MULTIPLYING = frozenset({"join", "sync_do_join", "replace", "indent", "wordwrap"})

Message = Mapping[str, str]

# What a template can fail with on messages that it does not expect, beside Jinja's own errors.
_TEMPLATE_FAULTS = (
    jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError,
    MemoryError,
)  # fmt: skip


class Refused(InvalidArgument):
    """The template would not render these messages; the message is the template's own."""


class ChatTemplate:
    """A compiled template. Safe to share between threads: one rendering at a time."""

    def __init__(self, source: str, variables: Mapping[str, str], now: datetime, limit_s: float = RENDER_S) -> None:
        """`variables` are the named special tokens (bos_token, ...); `now` is what `strftime_now` tells."""
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > TEMPLATE_BYTES:
            raise _wrong(f"its chat template has {size:,} bytes, more than the {TEMPLATE_BYTES:,} that are allowed")
        self.source = source
        self._variables = dict(variables)
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._sandbox = _Sandbox(now)
        try:
            self._template = self._sandbox.from_string(source)
        except (*_TEMPLATE_FAULTS, SyntaxError) as error:
            raise _wrong(f"its chat template is not a valid Jinja template: {error}") from error

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """The text of these messages. Refused if the template raises; InvalidArgument if it breaks a limit."""
        given = sum(len(message["content"]) for message in messages)
        with self._lock:
            self._sandbox.allow(self._limit_s, TEXT_CHARS + TEXT_PER_CHAR * given)
            try:
                return self._text([dict(message) for message in messages], add_generation_prompt)
            except _Exceeded as error:
                raise _wrong(f"its chat template {error}") from error
            except _TEMPLATE_FAULTS as error:
                raise Refused.of("messages", f"the model's chat template refuses them: {error}") from error

    def _text(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        parts = []
        for part in self._template.generate(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=False,
            **self._variables,
        ):
            self._sandbox.charge(part)
            parts.append(part)
        return "".join(parts)


def read_template(folder: Path) -> str | None:
    """The template of a model folder, looked for where transformers does; None if the model has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        file = folder / name
        value = json.loads(file.read_text("utf-8")).get("chat_template") if file.is_file() else None
        if isinstance(value, list):  # several by name: the one for plain conversations is called default
            value = {item["name"]: item["template"] for item in value}.get("default")
        if isinstance(value, str):
            return value
    return None


class _Exceeded(Exception):
    """A limit was broken."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with the limits: every call and every round of a loop looks at the clock, every text made is
    counted, and no operator or argument may be used to make something huge in one go."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, now: datetime) -> None:
        # optimized=False: nothing of the template is evaluated while it is compiled, where no limit holds yet.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_Generation, jinja2.ext.loopcontrols]
        )
        self._deadline_s = 0.0
        self._chars_left = 0
        self.finalize = self._shown
        self.filters = {name: self._limited(call) for name, call in self.filters.items()}
        self.filters["tojson"] = self._limited(_tojson)
        self.filters["counted"] = self._limited(lambda text: text)
        self.globals.pop("lipsum", None)
        self.globals.update(
            raise_exception=_raise_exception, strftime_now=now.strftime, dict=_Dict(), namespace=_Namespace
        )

    def allow(self, limit_s: float, chars: int) -> None:
        """Starts the clock and the count of one rendering."""
        self._deadline_s = time.monotonic() + limit_s
        self._chars_left = chars

    def charge(self, value: Any) -> Any:
        """The value, after it has been counted if it is a text."""
        if isinstance(value, str):
            self._chars_left -= len(value)
            self._fits(0)
        return value

    def tick(self) -> None:
        """One round of a loop or one call."""
        if time.monotonic() > self._deadline_s:
            raise _Exceeded("does not come to an end")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in jinja2
        subject = getattr(__obj, "__self__", "")
        __self._check(getattr(__obj, "__name__", ""), (subject if isinstance(subject, str) else "", *args), kwargs)
        return __self.charge(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("powers are not available to chat templates")
        if operator == "*":
            _refuse_long_product(left, right)
            _refuse_long_product(right, left)
        if operator == "%" and isinstance(left, str):
            _refuse_wide(left)
            self._measure(right)
        if operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, (str, list, tuple)):
            self._chars_left -= len(left) + len(right)
            self._fits(0)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _refuse_wide(value.__self__)
        return wrapped

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        repeating: list[nodes.For | nodes.Macro] = [*tree.find_all(nodes.For), *tree.find_all(nodes.Macro)]
        for repeated in repeating:
            call = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)
            repeated.body.insert(0, nodes.ExprStmt(call))
        for block in tree.find_all(nodes.AssignBlock):
            block.filter = nodes.Filter(block.filter, "counted", [], [], None, None)
        _count_concatenations(tree)
        tree.set_environment(self)
        return tree

    def _check(self, name: str, values: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Refuses a call whose result could be huge; `values` begins with the text that it is made of."""
        self.tick()
        given = (*values, *named.values())
        sizes = [self._measure(value) for value in given]
        if name in _MULTIPLYING:
            widths = [abs(value) if isinstance(value, int) else 0 for value in given]
            self._fits(math.prod(size + width + 1 for size, width in zip(sizes, widths, strict=True)))
        if name == "format" and isinstance(values[0], str):
            _refuse_wide(values[0])
        if name == "translate":
            raise SecurityError("translate is not available to chat templates")

    def _measure(self, value: Any) -> int:
        """Characters and items of a value, nested ones too: about what it would take as text."""
        if isinstance(value, int) and abs(value) > NUMBER:
            raise SecurityError(f"a number of {value.bit_length()} bits is not allowed as an argument")
        size = 0
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                size += len(item)
            elif isinstance(item, (list, tuple)):
                size += len(item)
                waiting.extend(item)
            elif isinstance(item, dict):
                size += len(item)
                waiting.extend([*item, *item.values()])
            self._fits(size)
        return size

    def _fits(self, chars: int) -> None:
        if chars > self._chars_left:
            raise _Exceeded("makes more text than any conversation needs")

    def _shown(self, value: Any) -> Any:
        """Called with each value before it is written out."""
        if isinstance(value, (list, tuple, dict)):
            self._measure(value)
        return value

    def _limited(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)  # keeps jinja_pass_arg: which filters want the context
        def limited(*args: Any, **kwargs: Any) -> Any:
            self._check(call.__name__.removeprefix("do_"), args, kwargs)
            return self.charge(call(*args, **kwargs))

        return limited


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`: transformers' mark around what the assistant says. Here it only groups."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own form

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Dict:
    """`dict(...)` for templates: a callable without the attributes of the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(jinja2.utils.Namespace):
    """`namespace(...)` without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _refuse_private(name)
        jinja2.utils.Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _count_concatenations(tree: nodes.Template) -> None:
    """Counts the parts of every `a ~ b`: the one operator that Jinja's sandbox does not let us see."""
    for concatenation in list(tree.find_all(nodes.Concat)):
        concatenation.nodes = [nodes.Filter(part, "counted", [], [], None, None) for part in concatenation.nodes]


def _refuse_long_product(many: Any, times: Any) -> None:
    if isinstance(many, int) and isinstance(times, int):
        if many.bit_length() + times.bit_length() > 1024:
            raise SecurityError("a product of more than 1024 bits is not allowed")
    elif isinstance(times, int) and isinstance(many, (str, list, tuple)) and len(many) * times > REPEATS:
        raise SecurityError(f"a repetition of more than {REPEATS:,} is not allowed")


def _refuse_wide(form: str) -> None:
    if re.search(r"\d{7}", form):
        raise SecurityError("a width of more than 6 digits is not allowed")


def _refuse_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}")


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own would escape < and > for HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument.of("base_model", f"{message}; use a model whose template you trust")
