"""The report of a finished job: what tuning changed, in figures, three held-out examples and a curve.

In: a job's folder (spec.json, the result.json of its tasks, metrics.jsonl of the tuning attempts). Out: a Report
(`read`), its files report.md, curve.png and curve.svg (`write`), and its look in a terminal (`terminal`, for rich).
Everything shown is read from those files; nothing is computed from a model here. Nothing is printed here either.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunesmith import pipeline
from tunesmith.errors import FailedPrecondition
from tunesmith.folder import JobFolder, read_json, read_jsonl, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import RenderableType

# Of a held-out prompt that the end report offers to be asked again.
LONGEST_TYPED_PROMPT = 300
# Lines of an example shown in the terminal: three examples then fit on one screen of 60 lines.
EXAMPLE_LINES = 14

# What a terminal would obey instead of showing.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

# Okabe and Ito's colours: told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8a8f98"


class Point(NamedTuple):
    """One measurement of the curve. `accuracy` is a share, 0 to 1."""

    step: int
    loss: float
    accuracy: float


class Score(NamedTuple):
    """Loss in nats per target token and the share of target tokens predicted right."""

    loss: float
    accuracy: float


class Kind(NamedTuple):
    """One kind of rows scored by itself: instruction, or fim. Closeness of answers is None where no row was asked."""

    name: str
    asked: int
    base: Mapping[str, float | None]
    tuned: Mapping[str, float | None]


class Forgetting(NamedTuple):
    """Loss on fixed general code, before and after; `low` to `high` is the change's 95 % interval."""

    rows: int
    base_loss: float
    tuned_loss: float
    change: float
    low: float
    high: float


class Example(NamedTuple):
    """One held-out prompt with the answer that was wanted and the two models' answers."""

    prompt: str
    wanted: str
    base: str
    tuned: str


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to say of a finished job."""

    job: str
    folder: Path
    model: str | None
    """Resource name of the tuned model; None if none was registered."""
    display_name: str
    base_model: str
    reference: str
    method: str
    steps: int
    train_steps: int
    selected_step: int
    stopped_early: bool
    base_is_best: bool
    examples: int
    epochs: float
    tokens_per_s: float | None
    device: str
    held_out: bool
    """Whether the scores are of the evaluation data; else of the training data, for want of any."""
    base: Score
    tuned: Score
    kinds: tuple[Kind, ...]
    """Empty unless rows that fill in the middle were among those scored."""
    forgetting: Forgetting
    shown: tuple[Example, ...]
    train: tuple[Point, ...]
    evaluation: tuple[Point, ...]

    @property
    def files(self) -> Path:
        """Where `write` puts the report."""
        return self.folder / "report"


def read(folder: JobFolder, model: str | None = None) -> Report:
    """The report of a job whose tune and evaluate tasks have succeeded; FailedPrecondition if one has not."""
    plan = read_json(folder.spec)
    checked, tuned, compared = (_result(folder, task) for task in pipeline.TASKS[:3])
    lines = [line for attempt in folder.attempts(pipeline.TUNE) for line in read_jsonl(attempt.metrics)]
    return Report(
        job=folder.root.name,
        folder=folder.root,
        model=model,
        display_name=plan["display_name"],
        base_model=plan["base_model"],
        reference=plan["reference"],
        method=tuned["method"],
        steps=tuned["steps"],
        train_steps=plan["spec"]["train_steps"],
        selected_step=tuned["selected_step"],
        stopped_early=tuned["stopped_early"],
        base_is_best=tuned["base_is_best"],
        examples=checked["examples"],
        epochs=tuned["epochs"],
        tokens_per_s=tuned.get("tokens_per_s"),
        device=f"{tuned['device']} {tuned['dtype']}",
        held_out=compared["held_out"] == "evaluation",
        base=_score(compared["base"]),
        tuned=_score(compared["tuned"]),
        kinds=tuple(Kind(name, one["asked"], one["base"], one["tuned"]) for name, one in _kinds(compared)),
        forgetting=_forgetting(compared["forgetting"]),
        shown=tuple(Example(*(str(row[key]) for key in Example._fields)) for row in compared["examples"]),
        train=_points(lines, "train"),
        evaluation=_points(lines, "eval"),
    )


def write(report: Report) -> Path:
    """Writes report.md, curve.png and curve.svg below the job's folder; returns the path of report.md."""
    report.files.mkdir(parents=True, exist_ok=True)
    figure = draw(report)
    figure.savefig(report.files / "curve.png", dpi=150)
    figure.savefig(report.files / "curve.svg", metadata={"Date": None})
    write_text(report.files / "report.md", markdown(report))
    return report.files / "report.md"


def predict_command(report: Report, home: Path | None = None, program: str = "tunesmith") -> str:
    """The command line that asks the tuned model one of the held-out prompts, ready to be typed.

    A prompt of several lines is left to standard input.
    """
    target = (report.model or report.display_name).rpartition("/")[2]
    where = f" --home {shlex.quote(str(home))}" if home else ""
    short = (example.prompt for example in report.shown if example.prompt.isprintable())
    prompt = next((shlex.quote(text) for text in short if len(text) <= LONGEST_TYPED_PROMPT), "-")
    return f"{program} predict {target}{where} --prefix {prompt}"


class Row(NamedTuple):
    """One line of the table of figures, as text."""

    name: str
    base: str
    tuned: str
    change: str
    better: bool


def rows(report: Report) -> list[Row]:
    """The table of figures, base against tuned."""
    where = "held-out" if report.held_out else "training-set"
    base, tuned, general = report.base, report.tuned, report.forgetting
    points = 100 * (tuned.accuracy - base.accuracy)
    interval = f"{general.change:+.3f} [{general.low:+.3f}, {general.high:+.3f}]"
    return [
        _loss_row(f"{where} loss", base.loss, tuned.loss, f"{tuned.loss - base.loss:+.3f}"),
        Row(
            f"{where} token accuracy",
            f"{base.accuracy:.1%}",
            f"{tuned.accuracy:.1%}",
            f"{points:+.1f} points",
            points > 0,
        ),
        *(row for kind in report.kinds for row in _kind_rows(kind)),
        _loss_row(f"general code loss ({general.rows} rows)", general.base_loss, general.tuned_loss, interval),
    ]


def headline(report: Report) -> str:
    """One sentence: what was trained for how long, and which checkpoint was taken."""
    length = f"{report.steps} of {report.train_steps} steps" if report.stopped_early else f"{report.steps} steps"
    chosen = "the last" if report.selected_step == report.steps else f"step {report.selected_step}"
    early = ", stopped early since token accuracy no longer rose" if report.stopped_early else ""
    if report.base_is_best:
        chosen += ", which is worse than the base model: tune less, at a lower rate or on more examples"
    return (
        f"{report.base_model}, {report.method}, {length} ({report.epochs:.2g} epochs of {report.examples:,} examples)"
        f"{early}; checkpoint taken: {chosen}"
    )


def terminal(report: Report, home: Path | None = None, program: str = "tunesmith") -> RenderableType:
    """The report for a terminal: figures, examples, where the files are, how to go on.

    home, program  as the command is to be typed here: a home that is not the default, the program's path.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(headline(report)), _terminal_table(report)]
    parts += [_terminal_example(number, example) for number, example in enumerate(report.shown, 1)]
    if report.model:
        parts.append(Text.assemble(("model    ", "bold"), report.model))
    parts.append(Text.assemble(("curve    ", "bold"), str(report.files / "curve.png")))
    parts.append(Text.assemble(("report   ", "bold"), str(report.files / "report.md")))
    if report.model:
        parts.append(Text.assemble(("predict  ", "bold"), (predict_command(report, home, program), "cyan")))
    return Group(*parts)


def markdown(report: Report) -> str:
    """The report as a Markdown page; the curve lies beside it."""
    lines = [f"# {report.display_name}", "", headline(report) + ".", ""]
    lines += ["| | base | tuned | change |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {row.name} | {row.base} | {row.tuned} | {row.change} |" for row in rows(report)]
    lines += ["", "Loss: nats per target token. Lower is better; for accuracy, higher.", "", "![curve](curve.svg)", ""]
    facts = {"model": report.model, "job": report.job, "reference name": report.reference, "device": report.device}
    if report.tokens_per_s:
        facts["speed"] = f"{report.tokens_per_s:,.0f} tokens/s"
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    if report.model:
        lines += ["", "```", predict_command(report), "```"]
    for number, example in enumerate(report.shown, 1):
        lines += ["", f"## Held-out example {number}"]
        for title, text in zip(Example._fields, example, strict=True):
            lines += ["", f"{title}:", "", *_fenced(text)]
    return "\n".join(lines) + "\n"


def draw(report: Report) -> Figure:
    """The curve: loss above, token accuracy below, the taken checkpoint and an early stop marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_panel(above, report, "loss", 1.0)
    _draw_panel(below, report, "accuracy", 100.0)
    above.set_ylabel("loss (nats per token)")
    below.set_ylabel("token accuracy (%)")
    below.set_xlabel("step")
    below.set_xlim(0, max(report.steps, 1) * 1.02)
    figure.suptitle(_shorten(report.display_name, 80), x=0.01, ha="left", fontsize=12, fontweight="bold")
    above.set_title(textwrap.fill(headline(report), 110), loc="left", fontsize=8, color="#555555")
    above.legend(frameon=True, framealpha=1, edgecolor="none", fontsize=9, loc="upper right")
    return figure


def _result(folder: JobFolder, task: str) -> dict[str, Any]:
    for attempt in reversed(folder.attempts(task)):
        if attempt.result.is_file():
            found: dict[str, Any] = read_json(attempt.result)
            return found
    raise FailedPrecondition(f"job {folder.root.name}: task {task} has no result; there is nothing to report yet")


def _score(found: Mapping[str, Any]) -> Score:
    return Score(found["loss"], found["accuracy"])


def _kinds(compared: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    found: Mapping[str, Mapping[str, Any]] = compared.get("kinds", {})
    return ((name, found[name]) for name in sorted(found, reverse=True))  # instruction before fim


def _forgetting(found: Mapping[str, Any]) -> Forgetting:
    low, high = found["interval"]
    return Forgetting(found["rows"], found["base_loss"], found["tuned_loss"], found["change"], low, high)


def _points(lines: Iterable[Mapping[str, Any]], kind: str) -> tuple[Point, ...]:
    # A resumed attempt measures again what an earlier one had measured after its last checkpoint: the later counts.
    found = {}
    for line in lines:
        if f"{kind}_total_loss" in line:
            accuracy = line[f"{kind}_fraction_of_correct_next_step_preds"]
            found[line["step"]] = Point(line["step"], line[f"{kind}_total_loss"], accuracy)
    return tuple(found[step] for step in sorted(found))


def _kind_rows(kind: Kind) -> list[Row]:
    """The four scores of one kind of rows, as far as they were taken."""
    found = [_loss_row(f"{kind.name} rows: loss", *_both(kind, "loss"))]
    shares = {
        "accuracy": "token accuracy",
        "exact_match": f"exact match ({kind.asked} asked)",
        "edit_similarity": f"edit similarity ({kind.asked} asked)",
    }
    for score, name in shares.items():
        if kind.base[score] is not None:
            base, tuned, _ = _both(kind, score)
            points = 100 * (tuned - base)
            found.append(
                Row(f"{kind.name} rows: {name}", f"{base:.1%}", f"{tuned:.1%}", f"{points:+.1f} points", points > 0)
            )
    return found


def _both(kind: Kind, score: str) -> tuple[float, float, str]:
    base, tuned = (float(one[score] or 0.0) for one in (kind.base, kind.tuned))
    return base, tuned, f"{tuned - base:+.3f}"


def _loss_row(name: str, base: float, tuned: float, change: str) -> Row:
    return Row(name, f"{base:.3f}", f"{tuned:.3f}", change, tuned < base)


def _terminal_table(report: Report) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title in ("base", "tuned", "change"):
        table.add_column(title, justify="right")
    for row in rows(report):
        table.add_row(row.name, row.base, row.tuned, Text(row.change, "green" if row.better else "yellow"))
    return table


def _terminal_example(number: int, example: Example) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ROUNDED, expand=True)
    table.add_column(Text("wanted"), ratio=1, overflow="fold", header_style="bold")
    table.add_column(Text("base"), ratio=1, overflow="fold", header_style="bold")
    table.add_column(Text("tuned"), ratio=1, overflow="fold", header_style="bold green")
    table.add_row(*(Text(_cut(text, EXAMPLE_LINES)) for text in (example.wanted, example.base, example.tuned)))
    caption = Text.assemble((f"held-out example {number}\n", "bold"), (_cut(example.prompt, 6), "dim"))
    return Group(caption, table)


def _cut(text: str, limit: int) -> str:
    """The first lines of a text, and how many more there are; control characters as escapes, for a terminal's sake."""
    lines = [
        _CONTROL.sub(lambda found: repr(found[0])[1:-1], line) for line in text.strip("\n").expandtabs(4).split("\n")
    ]
    if len(lines) <= limit:
        return "\n".join(lines)
    return "\n".join([*lines[: limit - 1], f"... {len(lines) - limit + 1} more lines"])


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _fenced(text: str) -> list[str]:
    # A fence must be longer than any run of backticks inside, or the page would end early.
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, *text.splitlines(), fence]


def _draw_panel(axes: Axes, report: Report, field: str, scale: float) -> None:
    _draw_training(axes, report.train, field, scale)
    _draw_evaluation(axes, report, field, scale)
    _mark_taken(axes, report, field, scale)
    if report.stopped_early:
        axes.axvline(report.steps, color=ORANGE, linewidth=1, linestyle=":", label="stopped early")
    axes.grid(True, color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_training(axes: Axes, points: Sequence[Point], field: str, scale: float) -> None:
    steps = [point.step for point in points]
    values = [getattr(point, field) * scale for point in points]
    axes.plot(steps, values, color=GREY, alpha=0.35, linewidth=1)
    axes.plot(steps, _smooth(values), color=GREY, linewidth=1.6, label="training (smoothed)")


def _draw_evaluation(axes: Axes, report: Report, field: str, scale: float) -> None:
    points = report.evaluation
    if not points:
        return
    values = [getattr(point, field) * scale for point in points]
    axes.plot([p.step for p in points], values, color=BLUE, linewidth=2, marker="o", markersize=4, label="held out")
    if points[0].step == 0:
        axes.axhline(values[0], color=BLUE, linewidth=1, linestyle="--", alpha=0.6, label="held out, base model")


def _mark_taken(axes: Axes, report: Report, field: str, scale: float) -> None:
    taken = [point for point in report.evaluation if point.step == report.selected_step]
    if not taken:
        axes.axvline(report.selected_step, color=GREEN, linewidth=1, label=f"taken: step {report.selected_step}")
        return
    value = getattr(taken[-1], field) * scale
    label = f"taken: step {report.selected_step}"
    axes.plot([report.selected_step], [value], color=GREEN, marker="o", markersize=11, markerfacecolor="none",
              markeredgewidth=2, linestyle="none", label=label)  # fmt: skip
    axes.annotate(f"{value:.3g}", (report.selected_step, value), textcoords="offset points", xytext=(0, 12),
                  ha="right", color=GREEN, fontsize=9, fontweight="bold")  # fmt: skip


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential mean over about a twentieth of the curve, unbiased at its start."""
    keep = 1 - 1 / max(len(values) / 20, 1)
    total = weight = 0.0
    smooth = []
    for value in values:
        total, weight = keep * total + value, keep * weight + 1
        smooth.append(total / weight)
    return smooth
