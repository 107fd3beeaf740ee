"""Writes examples of the private library `wharfline`, and tasks of the same kind with tests, from a seed.

    python generate.py --output DIR [--seed 0] [--rows 500] [--evaluation-rows 48] [--problems 80]

Into DIR go train.jsonl and evaluation.jsonl (input_text, output_text), problems.jsonl (prompt, tests), answers.jsonl
(the wanted answer to each problem, to check the tests with) and a copy of wharfline.py, against which the tests run.

A task is a form (build a plan, run a flow, ask a plan) and a chain of idioms in it, each put into words in one of two
ways, with names and numbers of its own. Chains of two idioms and more are dealt to three groups by their idioms in
order, so that a chain that is asked in the problems never occurs in training, with any words, names or
numbers; the same holds for the evaluation rows. Single idioms occur in training only. What a model can have learned
are the idioms, not the answers.
Every test is one that a wrong answer fails: for each problem, answers with a step left out or a number changed are run
too, and inputs are drawn until each of them gives another result.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIBRARY = HERE / "wharfline.py"
INSTRUCTION = "Write the code in Python with wharfline:"

GOODS = ("salt", "iron", "coal", "grain", "glass", "timber", "wool", "slate", "copper", "barley", "cider", "hemp")
DECKS = ("low", "bow", "stern")  # "top" is where a parcel goes when nothing is said
PLACES = ("Osby", "Halden", "Marrow", "Finnick", "Tarn", "Luden", "Pell", "Corvin", "Sedge", "Brack", "Yarrow", "Ness")
FLAGS = ("red", "blue", "white", "green", "black", "yellow")
GAUGES = ("depth", "current", "silt", "wind", "rain", "heat")
FALLBACKS = ("held", "none", "wait", "closed", "later")
FIRST_WORDS = (
    "amber",
    "brisk",
    "cedar",
    "dusty",
    "early",
    "frost",
    "grand",
    "hollow",
    "inner",
    "lucky",
    "north",
    "quiet",
)
LAST_WORDS = ("haul", "run", "barge", "load", "trip", "watch", "crew", "stage", "leg", "tide")

# One chain of five is asked, one evaluated, three are trained on. The weights spread every idiom evenly over the
# groups in each place of a chain, which a hash would not do with so few idioms.
GROUPS = ("problems", "evaluation", "train", "train", "train")
PLACE_WEIGHTS = (1, 3, 2)


@dataclass(frozen=True)
class Piece:
    """One idiom with its values: in words, in code, and the name that its code needs from the library."""

    idiom: str
    words: str
    code: str
    needs: str = ""


@dataclass(frozen=True)
class Task:
    """A prompt and the wanted answer, and the pieces from which both were made."""

    form: str
    name: str
    start: str
    pieces: tuple[Piece, ...]
    prompt: str

    @property
    def chain(self) -> tuple[str, ...]:
        """What decides the group: the form and its idioms in order."""
        return (self.form, *(piece.idiom for piece in self.pieces))

    @property
    def group(self) -> str:
        if len(self.pieces) == 1:
            return "train"  # one idiom is no chain: holding it out would hold the idiom out
        places = zip(PLACE_WEIGHTS, self.chain[1:], strict=False)
        return GROUPS[sum(weight * IDIOMS.index(idiom) for weight, idiom in places) % len(GROUPS)]

    @property
    def code(self) -> str:
        return program(self.form, self.name, self.start, self.pieces)

    @property
    def answer(self) -> str:
        return f"```python\n{self.code}```"


def program(form: str, name: str, start: str, pieces: tuple[Piece, ...]) -> str:
    """The function that the pieces make; also of pieces that nobody would ask for, when tests are tested."""
    needs = list(dict.fromkeys(piece.needs for piece in pieces if piece.needs))
    if form == "plan":
        body = "".join(["open_manifest(", repr_text(start), ")", *(piece.code for piece in pieces), ".seal()"])
        return f"from wharfline import open_manifest\n\n\ndef {name}():\n    return {body}\n"
    if form == "flow":
        stages = " >> ".join([f"draw({repr_text(start)})", *(piece.code for piece in pieces)])
        imports = ", ".join(["draw", *needs])
        return f"from wharfline import {imports}\n\n\ndef {name}(log):\n    return ({stages}).run(log)\n"
    return f"def {name}(plan):\n    return {', '.join(piece.code for piece in pieces)}\n"


# -- idioms: a function of a random source makes one piece ----------------------------------------------------------

Maker = Callable[[random.Random], Piece]


def two_ways(rng: random.Random, *ways: str) -> str:
    return rng.choice(ways)


def stow(rng: random.Random) -> Piece:
    good, tons, deck = rng.choice(GOODS), rng.randint(2, 40), rng.choice(DECKS)
    words = two_ways(rng, f"stows {tons} tons of {good} on the {deck} deck", f"loads {good}, {tons} tons, {deck} deck")
    return Piece("stow", words, f".stow({repr_text(good)}, {tons}, deck={repr_text(deck)})")


def bar(rng: random.Random) -> Piece:
    good = rng.choice(GOODS)
    return Piece("bar", two_ways(rng, f"refuses {good}", f"lets no {good} aboard"), f".bar({repr_text(good)})")


def cap(rng: random.Random) -> Piece:
    tons = rng.randint(30, 99)
    return Piece("cap", two_ways(rng, f"carries at most {tons} tons", f"has a limit of {tons} tons"), f".cap({tons})")


def ballast(rng: random.Random) -> Piece:
    tons = rng.randint(2, 20)
    words = two_ways(rng, f"takes {tons} tons of ballast", f"adds {tons} tons of dead weight")
    return Piece("ballast", words, f".ballast({tons})")


def via(rng: random.Random) -> Piece:
    lock = rng.choice(PLACES)
    words = two_ways(rng, f"goes through {lock} lock", f"passes the lock at {lock}")
    return Piece("via", words, f".via({repr_text(lock)})")


def fly(rng: random.Random) -> Piece:
    flag = rng.choice(FLAGS)
    return Piece("fly", two_ways(rng, f"shows a {flag} flag", f"hoists {flag}"), f".fly({repr_text(flag)})")


def man(rng: random.Random) -> Piece:
    hands = rng.randint(2, 9)
    return Piece("man", two_ways(rng, f"has {hands} hands", f"sails with a crew of {hands}"), f".man({hands})")


def tow(rng: random.Random) -> Piece:
    hours = rng.randint(2, 12)
    words = two_ways(rng, f"books a tug for {hours} hours", f"is pulled for {hours} hours")
    return Piece("tow", words, f".tow({hours})")


def keep_above(rng: random.Random) -> Piece:
    bound = rng.randint(2, 6)
    words = two_ways(rng, f"keeps those above {bound}", f"drops all up to {bound}")
    return Piece("keep_above", words, f"keep(above={bound})", "keep")


def keep_below(rng: random.Random) -> Piece:
    bound = rng.randint(7, 11)
    words = two_ways(rng, f"keeps those below {bound}", f"drops all from {bound} up")
    return Piece("keep_below", words, f"keep(below={bound})", "keep")


def skip(rng: random.Random) -> Piece:
    number = rng.randint(2, 4)
    words = two_ways(rng, f"leaves out the first {number}", f"ignores {number} at the start")
    return Piece("skip", words, f"skip({number})", "skip")


def thin(rng: random.Random) -> Piece:
    number = rng.randint(2, 3)
    words = two_ways(rng, f"takes one of every {number}", f"samples each {ordinal(number)} one")
    return Piece("thin", words, f"thin({number})", "thin")


def scale(rng: random.Random) -> Piece:
    number = rng.randint(2, 9)
    words = two_ways(rng, f"multiplies them by {number}", f"makes each {number} times as large")
    return Piece("scale", words, f"scale({number})", "scale")


def lift(rng: random.Random) -> Piece:
    number = rng.randint(2, 9)
    return Piece("lift", two_ways(rng, f"adds {number} to each", f"raises them by {number}"), f"lift({number})", "lift")


def clip(rng: random.Random) -> Piece:
    number = rng.randint(6, 10)
    words = two_ways(rng, f"cuts them off at {number}", f"allows no more than {number} each")
    return Piece("clip", words, f"clip({number})", "clip")


def gaps(rng: random.Random) -> Piece:
    return Piece(
        "gaps", two_ways(rng, "takes the rise from each to the next", "looks at the changes"), "gaps()", "gaps"
    )


def total(rng: random.Random) -> Piece:
    return Piece("total", two_ways(rng, "returns the sum", "adds them all up"), "total()", "total")


def peak(rng: random.Random) -> Piece:
    return Piece("peak", two_ways(rng, "returns the highest", "gives the maximum"), "peak()", "peak")


def ebb(rng: random.Random) -> Piece:
    return Piece("ebb", two_ways(rng, "returns the lowest", "gives the minimum"), "ebb()", "ebb")


def count(rng: random.Random) -> Piece:
    return Piece("count", two_ways(rng, "returns how many there are", "gives their number"), "count()", "count")


def final(rng: random.Random) -> Piece:
    return Piece("final", two_ways(rng, "returns the last one", "gives the one at the end"), "final()", "final")


def burden(rng: random.Random) -> Piece:
    return Piece("burden", two_ways(rng, "all tons aboard", "the whole weight"), "plan.burden()")


def room(rng: random.Random) -> Piece:
    return Piece("room", two_ways(rng, "the tons that still fit", "the free tons"), "plan.room()")


def aboard(rng: random.Random) -> Piece:
    good = rng.choice(GOODS)
    words = two_ways(rng, f"the tons of {good}", f"how much {good} it has")
    return Piece("aboard", words, f"plan.aboard({repr_text(good)})")


def on_deck(rng: random.Random) -> Piece:
    deck = rng.choice(DECKS)
    words = two_ways(rng, f"the goods on the {deck} deck", f"what the {deck} deck carries")
    return Piece("on_deck", words, f"plan.on_deck({repr_text(deck)})")


def heaviest(rng: random.Random) -> Piece:
    fallback = rng.choice(FALLBACKS)
    words = two_ways(rng, f"the heaviest good or '{fallback}'", f"its largest parcel's good, else '{fallback}'")
    return Piece("heaviest", words, f"plan.heaviest().settle(otherwise={repr_text(fallback)})")


def admit(rng: random.Random) -> Piece:
    good, tons = rng.choice(GOODS), rng.randint(2, 40)
    words = two_ways(rng, f"whether {tons} tons of {good} may come", f"the answer to {tons} more tons of {good}")
    return Piece("admit", words, f"plan.admit({repr_text(good)}, {tons}).settle()")


def passes(rng: random.Random) -> Piece:
    lock, fallback = rng.choice(PLACES), rng.choice(FALLBACKS)
    words = two_ways(rng, f"the number of {lock} lock or '{fallback}'", f"where {lock} lock comes, else '{fallback}'")
    return Piece("passes", words, f"plan.passes({repr_text(lock)}).settle(otherwise={repr_text(fallback)})")


PLAN_STEPS: tuple[Maker, ...] = (stow, bar, cap, ballast, via, fly, man, tow)
FLOW_STEPS: tuple[Maker, ...] = (keep_above, keep_below, skip, thin, scale, lift, clip, gaps)
FLOW_ENDS: tuple[Maker, ...] = (total, peak, ebb, count, final)
QUERIES: tuple[Maker, ...] = (burden, room, aboard, on_deck, heaviest, admit, passes)
IDIOMS = tuple(maker.__name__ for maker in PLAN_STEPS + FLOW_STEPS + FLOW_ENDS + QUERIES)


# -- tasks ----------------------------------------------------------------------------------------------------------


def draw_task(rng: random.Random) -> Task:
    """One random task of one of the three forms."""
    form = rng.choices(("plan", "flow", "query"), weights=(3, 4, 3))[0]
    name = f"{rng.choice(FIRST_WORDS)}_{rng.choice(LAST_WORDS)}"
    if form == "plan":
        start, pieces = rng.choice(PLACES), make(rng, PLAN_STEPS, rng.choice((1, 2, 3)))
        asked = f"{name}() returns the sealed plan for {start} that {listed(pieces)}."
    elif form == "flow":
        start = rng.choice(GAUGES)
        pieces = (*make(rng, FLOW_STEPS, rng.choice((1, 2, 2))), *make(rng, FLOW_ENDS, 1))
        asked = f"{name}(log) draws the {start} readings, {listed(pieces)}."
    else:
        start, pieces = "", make(rng, QUERIES, rng.choice((1, 2)))
        asked = f"{name}(plan) returns {listed(pieces)}."
    return Task(form, name, start, pieces, f"{INSTRUCTION} {asked}")


def make(rng: random.Random, makers: tuple[Maker, ...], number: int) -> tuple[Piece, ...]:
    return tuple(maker(rng) for maker in rng.sample(makers, number))


def tasks_of(group: str, number: int, seed: int) -> list[Task]:
    """So many tasks of a group, no prompt and no answer twice; the same for the same seed."""
    rng = random.Random(f"{seed}:{group}")
    found: dict[str, Task] = {}
    while len(found) < number:
        task = draw_task(rng)
        if task.group == group and (group != "problems" or tests_of(task, seed) is not None):
            found.setdefault(task.code, task)
    return list(found.values())


# -- tests ----------------------------------------------------------------------------------------------------------


def tests_of(task: Task, seed: int) -> str | None:
    """Tests that the wanted answer passes and each wrong one of `wrong_programs` fails; None if none were found."""
    if task.form == "plan":
        (wanted,) = results(task.code, [f"{task.name}().ledger()"])
        return f"assert ask({f'{task.name}().ledger()'!r}) == {wanted!r}\n"
    rng = random.Random(f"{seed}:{task.prompt}")
    for _ in range(40):
        inputs = [flow_input(rng) if task.form == "flow" else query_input(rng) for _ in range(5)]
        calls = [f"{task.name}({text})" for text in inputs]
        wanted_all = results(task.code, calls)
        if all(results(wrong, calls) != wanted_all for wrong in wrong_programs(task)):
            lines = [f"assert ask({c!r}) == {w!r}\n" for c, w in zip(calls, wanted_all, strict=True)]
            return "do('from wharfline import open_manifest')\n" * (task.form == "query") + "".join(lines)
    return None


def flow_input(rng: random.Random) -> str:
    readings = [rng.randint(1, 12) for _ in range(rng.randint(6, 9))]
    return repr(
        {gauge: readings[::1] if gauge == GAUGES[0] else rng.sample(readings, len(readings)) for gauge in GAUGES}
    )


def query_input(rng: random.Random) -> str:
    goods = rng.sample(GOODS, 7)
    steps = [
        f".stow({good!r}, {rng.randint(2, 40)}, deck={rng.choice(DECKS)!r})" for good in goods[: rng.choice((0, 5))]
    ]
    steps += [f".via({place!r})" for place in rng.sample(PLACES, 6)]
    steps += [f".bar({good!r})" for good in goods[5:]] + [f".cap({rng.randint(20, 200)})"]
    return f"open_manifest('Osby'){''.join(steps)}.seal()"


def wrong_programs(task: Task) -> Iterator[str]:
    """The wanted answer with a piece left out, another order or end, a number one higher, another word of its kind."""
    for index in range(len(task.pieces) - (task.form == "flow")):
        yield program(task.form, task.name, task.start, task.pieces[:index] + task.pieces[index + 1 :])
    if task.form == "query":
        yield program(task.form, task.name, task.start, task.pieces[::-1])
    if task.form == "flow":
        ends = [make(random.Random(0), (end,), 1) for end in FLOW_ENDS]
        others = [end for end in ends if end[0].idiom != task.pieces[-1].idiom]
        yield from (program(task.form, task.name, task.start, task.pieces[:-1] + end) for end in others)
    for number in re.finditer(r"(?<![\w])\d+(?![\w])", task.code):
        yield f"{task.code[: number.start()]}{int(number.group()) + 1}{task.code[number.end() :]}"
    for word in (*GOODS, *PLACES, *DECKS, *GAUGES):
        if f'"{word}"' in task.code:
            kind = next(words for words in (GOODS, PLACES, DECKS, GAUGES) if word in words)
            yield task.code.replace(f'"{word}"', f'"{kind[kind.index(word) - 1]}"')


def results(code: str, calls: list[str]) -> list[Any]:
    """What expressions are worth after the code has run here: code made above, never a model's."""
    namespace: dict[str, Any] = {}
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    exec(code, namespace)
    exec("from wharfline import open_manifest", namespace)
    return [eval(call, namespace) for call in calls]


# -- files ----------------------------------------------------------------------------------------------------------


def write_all(output: Path, *, rows: int, evaluation_rows: int, problems: int, seed: int) -> None:
    """Writes the five files."""
    output.mkdir(parents=True, exist_ok=True)
    for group, number in (("train", rows), ("evaluation", evaluation_rows)):
        tasks = tasks_of(group, number, seed)
        write_lines(output / f"{group}.jsonl", [{"input_text": t.prompt, "output_text": t.answer} for t in tasks])
    asked = tasks_of("problems", problems, seed)
    write_lines(output / "problems.jsonl", [problem_row(number, task, seed) for number, task in enumerate(asked)])
    answers = [{"id": problem_id(n, t), "prompt": t.prompt, "completion": t.answer} for n, t in enumerate(asked)]
    write_lines(output / "answers.jsonl", answers)
    shutil.copyfile(LIBRARY, output / LIBRARY.name)


def problem_row(number: int, task: Task, seed: int) -> dict[str, Any]:
    tests = tests_of(task, seed)
    return {"id": problem_id(number, task), "prompt": task.prompt, "tests": tests, "modules": [LIBRARY.name]}


def problem_id(number: int, task: Task) -> str:
    return f"{number:03d}-{'-'.join(task.chain)}"


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def repr_text(text: str) -> str:
    return json.dumps(text)


def ordinal(number: int) -> str:
    return {2: "second", 3: "third"}[number]


def listed(pieces: tuple[Piece, ...]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = [piece.words for piece in pieces]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Examples and tasks of the private library wharfline.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--evaluation-rows", type=int, default=48)
    parser.add_argument("--problems", type=int, default=80)
    chosen = parser.parse_args(arguments)
    write_all(
        chosen.output,
        rows=chosen.rows,
        evaluation_rows=chosen.evaluation_rows,
        problems=chosen.problems,
        seed=chosen.seed,
    )
    print(f"{chosen.rows} rows, {chosen.evaluation_rows} evaluation rows, {chosen.problems} problems: {chosen.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
