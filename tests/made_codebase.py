"""A codebase of our own making: packages with documented functions, no two of them alike, drawn from a seed."""

from __future__ import annotations

import random
from pathlib import Path

NOUNS = (
    "order", "invoice", "parcel", "depot", "ledger", "ticket", "route", "driver", "batch", "label", "pallet",
    "cargo", "manifest", "quota", "tariff", "voucher", "crate", "shift", "roster", "berth", "convoy", "shelf",
    "bundle", "docket", "freight", "harbour", "lorry", "meter", "notice", "oven", "pipe", "queue", "rail", "sensor",
    "tank",
)  # fmt: skip
VERBS = (
    "count", "merge", "split", "rank", "trim", "scale", "shift", "pack", "weigh", "sort", "filter", "group", "pair",
    "check", "price", "round", "sum", "clip", "spread", "fold", "match", "rotate", "reduce", "expand", "balance",
    "collect", "project", "smooth", "bound", "align",
)  # fmt: skip
OPERATORS = ("+", "-", "*", "//", "%", "^", "|", "&")


def make_codebase(root: Path, *, seed: int = 1, packages: int = 10, modules: int = 5) -> list[str]:
    """Writes Python packages under src/; the paths, from the root."""
    draw = random.Random(seed)
    written = []
    for number in range(packages):
        package = f"{draw.choice(NOUNS)}s{number}"
        names = [f"{draw.choice(VERBS)}_{draw.choice(NOUNS)}{index}" for index in range(modules)]
        for index, name in enumerate(names):
            path = root / "src" / package / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            other = names[index - 1] if index else ""
            path.write_text(module(draw, package, name, other), "utf-8")
            written.append(path.relative_to(root).as_posix())
    return written


def module(draw: random.Random, package: str, name: str, other: str) -> str:
    """One file with some functions and a class; it imports another one."""
    imports = f"from {package}.{other} import LIMIT_{other.upper()}\n" if other else "import math\n"
    parts = [f'"""What there is to {name.replace("_", " ")} in {package}."""\n\n{imports}']
    parts.append(f"LIMIT_{name.upper()} = {draw.randrange(10, 9999)}\n")
    parts += [function(draw, "") for _ in range(draw.randrange(3, 6))]
    noun = draw.choice(NOUNS).capitalize()
    parts.append(f'class {noun}:\n    """Keeps each {noun.lower()} of {package} with its {draw.choice(NOUNS)}."""\n')
    parts += [function(draw, "    ") for _ in range(2)]
    return "\n\n".join(parts)


def function(draw: random.Random, indent: str) -> str:
    """A documented function whose body is drawn statement by statement."""
    verb, noun = draw.choice(VERBS), draw.choice(NOUNS)
    names = draw.sample(NOUNS, 4)
    own = "self, " if indent else ""
    lines = [
        f"def {verb}_{noun}_{draw.randrange(10_000)}({own}{names[0]}, {names[1]}={draw.randrange(100)}):",
        f'    """{verb.capitalize()} each {noun} by its {names[0]}, as far as the {names[1]} of {names[2]} goes."""',
        f"    {names[2]} = {names[0]} {draw.choice(OPERATORS)} {draw.randrange(2, 99)}",
    ]
    for _ in range(draw.randrange(2, 6)):
        lines += statement(draw, names)
    lines.append(f"    return {names[2]} {draw.choice(OPERATORS)} {names[1]}")
    return "\n".join(indent + line for line in lines) + "\n"


def statement(draw: random.Random, names: list[str]) -> list[str]:
    """One of several shapes."""
    a, b, c = draw.sample(names, 3)
    sign, number = draw.choice(OPERATORS), draw.randrange(2, 999)
    return draw.choice(
        [
            [f"    if {a} > {number}:", f"        {names[2]} = {b} {sign} {draw.randrange(2, 50)}"],
            [f"    for {names[3]} in range({number}):", f"        {names[2]} {sign}= {names[3]} + {number}"],
            [f"    {names[2]} = max({a}, {b} {sign} {number})"],
            [f"    {names[2]} = sorted([{a}, {b}, {number}])[{draw.randrange(3)}] {sign} {c}"],
            [f"    while {names[2]} > {number}:", f"        {names[2]} //= {draw.randrange(2, 9)}"],
            [f"    if {a} == {b}:", f"        raise ValueError(f'{{{a}}} is no {draw.choice(NOUNS)} of {{{c}}}')"],
        ]
    )
