"""A chat template is untrusted code: what it may do, what it may not, and that it always comes to an end."""

from __future__ import annotations

import json
import resource
from datetime import datetime
from pathlib import Path

import pytest

from tunesmith.data.template import TEMPLATE_BYTES, ChatTemplate, Refused, read_template
from tunesmith.errors import InvalidArgument

NOW = datetime(2026, 3, 4, 5, 6)
MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "<ho>"}]


def _render(source: str, limit_s: float = 5.0, **variables: str) -> str:
    return ChatTemplate(source, variables, NOW, limit_s).render(MESSAGES)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "{% for m in messages %}\n  {% if true %}\n{{ m.role }}:{{ m['content'] }};\n  {% endif %}\n{% endfor %}",
            None,
        ),
        ("{{ messages | tojson }}", json.dumps(MESSAGES)),
        ("{{ strftime_now('%Y-%m-%d') }}", "2026-03-04"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[1].content }}{% endgeneration %}", "<ho>"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f('a') ~ f('b') }}", "[a][b]"),
        ("{{ bos_token }}{{ absent }}{{ add_generation_prompt }}{{ enable_thinking }}", "<s>FalseFalse"),
        ("{{ 'a-b'.split('-')[-1] }}{{ '%s' % 'x' }}{{ '{}'.format('y') }}{{ 'z' * 3 }}", "bxyzzz"),
    ],
)
def test_what_templates_use_works(source: str, text: str | None) -> None:
    assert _render(source, bos_token="<s>") == (text or "user:hi;\nassistant:<ho>;\n")


@pytest.mark.parametrize(
    "source",
    [
        "{{ cycler.__init__.__globals__.os }}",  # CVE-2024-34359
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ namespace(__class__=1) }}",
        "{{ messages[0].update(role='x') }}",
        "{% include '/etc/passwd' %}",
        "{{ lipsum() }}",
    ],
)
def test_a_way_out_is_closed(source: str) -> None:
    with pytest.raises(Refused):
        _render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for a in range(99999) %}{% for b in range(999) %}{{ 'x' * 999 }}{% endfor %}{% endfor %}",
    ],
)
def test_an_endless_template_is_stopped(source: str) -> None:
    with pytest.raises(InvalidArgument, match=r"does not come to an end|more text than"):
        _render(source, limit_s=0.2)


DOUBLE = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10000000000 }}",
        "{{ [1] * 10000000000 }}",
        "{{ 10 ** 10000000000 }}",
        "{{ 'x' | center(10000000000) }}",
        "{{ 'x'.ljust(10000000000) }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%10000000000d' | format(1) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10000000000) }}",
        DOUBLE + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        DOUBLE + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
        DOUBLE + "{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
        DOUBLE + "{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor %}",
        DOUBLE + "{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
        DOUBLE + "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
        DOUBLE + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        DOUBLE.replace("'ab'", "['ab']") + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
        DOUBLE.replace("'ab'", "9") + "{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{{ ('a' * 99999).replace('a', 'b' * 99999) }}",
        "{{ (range(99999) | list) | join('x' * 99999) }}",
        "{{ ('a\n' * 9999) | indent(99999) }}",
    ],
)
def test_a_template_cannot_fill_the_memory(source: str) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidArgument):
        _render(source)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 1024 * 1024


def test_a_huge_template_is_not_compiled() -> None:
    with pytest.raises(InvalidArgument, match="bytes"):
        ChatTemplate("x" * (TEMPLATE_BYTES + 1), {}, NOW)


def test_a_broken_template_names_what_is_wrong() -> None:
    with pytest.raises(InvalidArgument, match="not a valid Jinja template: unexpected"):
        ChatTemplate("{{ messages[0]", {}, NOW)


def test_nothing_runs_while_a_template_is_compiled() -> None:
    ChatTemplate("{{ 'x' | center(10000000000) }}{{ raise_exception('no') }}", {}, NOW)


def test_a_template_says_why_it_refuses() -> None:
    with pytest.raises(Refused, match="turns must alternate"):
        _render("{{ raise_exception('turns must alternate') }}")


def test_long_messages_are_not_taken_for_an_attack() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.role + m.content | trim }}{% endfor %}", {}, NOW)
    text = "x" * 30_000_000
    assert template.render([{"role": "user", "content": text}]) == "user" + text


@pytest.mark.parametrize("name", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json", "named"])
def test_a_template_is_found_where_models_keep_it(tmp_path: Path, name: str) -> None:
    if name == "chat_template.jinja":
        (tmp_path / name).write_text("T\n")
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "another"}))
        assert read_template(tmp_path) == "T\n"
    elif name == "named":
        named = [{"name": "tools", "template": "another"}, {"name": "default", "template": "T"}]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
        assert read_template(tmp_path) == "T"
    else:
        (tmp_path / name).write_text(json.dumps({"chat_template": "T"}))
        assert read_template(tmp_path) == "T"


def test_a_folder_without_a_template_has_none(tmp_path: Path) -> None:
    assert read_template(tmp_path) is None
