"""A job's data files, checked and rendered for its base model: one sealed folder of shards.

    shards/training/ evaluation/   the user's rows, every one of them; evaluation only if there is such a file
           replay/                 general code for the batches, if the plan replays any
           forgetting/             24 rows of general code on which forgetting is measured
           shown.json              three held-out questions with the wanted answers, for the end report

Nothing is dropped or cut: a row that is too long, that the model's template refuses, or that has no trainable token
stops the job, and every such row is listed with its line and what to do. The files are bound by hash: what was
checked is what was rendered, or the job stops. `survey` counts the same without writing, for a dry run.
Not here: findings (check.py), formats (formats.py), order and batches (engine/batches.py).
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tunesmith import catalog, folder
from tunesmith.data import stdlib
from tunesmith.data.check import Report, check
from tunesmith.data.formats import Conversation, Message, read
from tunesmith.data.pack import Shard, write_shard
from tunesmith.data.provenance import provenance_of
from tunesmith.data.render import NotRendered, Rendered, Renderer
from tunesmith.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from tunesmith.spec import CONTEXT_TOKENS, TuningPlan

SHOWN_FILE = "shown.json"
_SHOWN = 3
# An answer that the end report can show whole.
_SHOWN_TARGET_TOKENS = 256
# Findings in a message; all of them are in its details.
_LISTED = 5
_PROGRESS_ROWS = 64
# A mean with an interval needs two.
_LEAST_FORGETTING_ROWS = 2


class OnProgress(Protocol):
    """Told what is being done and how far it is; may raise to stop it."""

    def __call__(self, phase: str, done: int | None = None, total: int | None = None) -> None: ...


def _silent(phase: str, done: int | None = None, total: int | None = None) -> None:
    """Nobody wants to know."""


_KINDS: Mapping[catalog.Kind, str] = {
    "generation": "generation examples (input_text and output_text)",
    "chat": "chat examples (messages with authors)",
}


class Spread(NamedTuple):
    """How some counts of tokens are distributed over the rows."""

    mean: float
    p50: float
    p95: float
    max: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a plan's data are to its base model, without anything having been written."""

    examples: int
    tokens: int
    target_tokens: int
    longest: int
    epochs: float
    """How often each example will be seen (S54)."""
    evaluation_examples: int
    evaluation_tokens: int
    length: Spread
    """Tokens of a training row."""
    prompt: Spread
    """Tokens before its last answer."""
    target: Spread
    """Its trained tokens."""

    def to_json(self) -> dict[str, Any]:
        """The counts, and the three spreads under `statistics`."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        spreads = {name: value._asdict() for name, value in values.items() if isinstance(value, Spread)}
        return {name: value for name, value in values.items() if name not in spreads} | {"statistics": spreads}


@dataclass(frozen=True, slots=True)
class Built:
    """What `build` wrote, and of what."""

    survey: Survey
    sha256: dict[str, str]
    """Of the data files: training, and evaluation if there is one."""
    format: str
    findings: int
    """How many findings the check had; none of them is an error."""
    replay_examples: int
    forgetting_examples: int
    built_from: dict[str, Any]
    """What the training file was built from, if `data build` made it and nobody changed it; else empty."""

    def to_json(self) -> dict[str, Any]:
        """As result.json of the task holds it: the survey's figures beside the others."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "survey"}
        return {**self.survey.to_json(), **own}


@dataclass(slots=True)
class Tally:
    """Lengths in tokens of the rows that went by, and the rows that cannot be trained on."""

    lengths: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def count(self, row: Rendered) -> Rendered:
        self.lengths.append(len(row.tokens))
        self.prompts.append(row.prompt_tokens)
        self.targets.append(row.target_tokens)
        return row

    def refuse(self, line: int, code: str, message: str, remedy: str) -> None:
        """In the form of check.py's findings, so that they are shown alike."""
        self.refused.append(
            {"severity": "error", "code": code, "line": line, "field": "", "message": message, "remedy": remedy}
        )


def build(plan: TuningPlan, base_folder: Path, shards: Path, *, on_progress: OnProgress = _silent) -> Built:
    """Writes the sealed folder `shards`.

    InvalidArgument lists all rows that cannot be trained on. Aborted if a data file changed in the meantime.
    """
    renderer = open_renderer(plan, base_folder)
    files = _files(plan)
    before = {role: folder.file_sha256(path) for role, path in files.items()}
    on_progress("checking")
    report = _checked(files, renderer)
    with folder.sealed(shards) as unfinished:
        tallies = {role: _write(unfinished / role, path, plan, renderer, on_progress) for role, path in files.items()}
        folder.write_json(unfinished / SHOWN_FILE, _shown(unfinished, files, plan.spec.default_context))
        on_progress("rendering general code")
        forgetting = write_shard(unfinished / "forgetting", _forgetting(plan, renderer))
        replayed = _replay(plan, renderer)
        if replayed:
            write_shard(unfinished / "replay", replayed)
        _refuse_changed(files, before)
    return Built(
        survey=survey_of(plan, tallies),
        sha256=before,
        format=str(report.format),
        findings=len(report.to_json()["findings"]),
        replay_examples=len(replayed),
        forgetting_examples=forgetting.num_examples,
        built_from=provenance_of(files["training"], before["training"]),
    )


def survey(plan: TuningPlan, base_folder: Path, *, on_progress: OnProgress = _silent) -> Survey:
    """What `build` would count, with its refusals but without its check of the files and without writing."""
    tallies = count_rows(plan, base_folder, on_progress=on_progress)
    files = _files(plan)
    for role, found in tallies.items():
        _refuse(files[role], found.refused)
        if not found.lengths:
            raise InvalidArgument.of("dataset", f"{files[role]} holds no example")
    return survey_of(plan, tallies)


def count_rows(plan: TuningPlan, base_folder: Path, *, on_progress: OnProgress = _silent) -> dict[str, Tally]:
    """The rows of the plan's files, training and perhaps evaluation: counted, or refused."""
    renderer = open_renderer(plan, base_folder)
    tallies = {}
    for role, path in _files(plan).items():
        tallies[role] = found = Tally()
        for _ in _fitting(path, plan, renderer, found, on_progress):
            pass
    return tallies


def open_renderer(plan: TuningPlan, base_folder: Path) -> Renderer:
    """The renderer of the plan's base model, whose files lie in `base_folder`."""
    base = catalog.known(plan.base_model) or catalog.from_folder(base_folder, plan.base_model)
    return Renderer.open(base_folder, base)


def _files(plan: TuningPlan) -> dict[str, Path]:
    """The data files by their roles; the last one is the held-out one, or the only one."""
    files = {"training": Path(plan.spec.dataset)}
    if plan.spec.evaluation_data is not None:
        files["evaluation"] = Path(plan.spec.evaluation_data)
    for role, path in files.items():
        if not path.is_file():
            name = "dataset" if role == "training" else "evaluation_data"
            raise NotFound(f"{name}: {path}: no such file", path=str(path))
    return files


def _checked(files: Mapping[str, Path], renderer: Renderer) -> Report:
    report = check(files["training"], evaluation=files.get("evaluation"), special_tokens=renderer.special_tokens)
    if not report.valid:
        findings = report.to_json()["findings"]
        _refuse(files["training"], [finding for finding in findings if finding["severity"] == "error"])
    return report


def _write(target: Path, path: Path, plan: TuningPlan, renderer: Renderer, on_progress: OnProgress) -> Tally:
    tally = Tally()
    rows = _fitting(path, plan, renderer, tally, on_progress)
    first = next(rows, None)
    if first is not None:
        write_shard(target, itertools.chain([first], rows))
    _refuse(path, tally.refused)
    if first is None:
        raise InvalidArgument.of("dataset", f"{path} holds no example")
    return tally


def _fitting(
    path: Path, plan: TuningPlan, renderer: Renderer, tally: Tally, on_progress: OnProgress
) -> Iterator[Rendered]:
    """The rows of a file that can be trained on, counted; the others are noted in the tally."""
    conversations = (_of_kind(conversation, plan, path) for conversation in read(path))
    for done, row in enumerate(renderer.examples(conversations, plan.spec.default_context)):
        if done % _PROGRESS_ROWS == 0:
            on_progress("rendering", done)
        if isinstance(row, NotRendered):
            tally.refuse(row.line, "not-rendered", row.message, "")
        elif len(row.tokens) > plan.context_tokens:
            tally.refuse(row.line, "too-long", _too_long(row, plan), _shorter(plan))
        elif not row.weights[1:].any():
            message = "has no trainable token: no answer of an assistant to learn from"
            tally.refuse(row.line, "nothing-to-learn", message, "give it an answer, or take the row out")
        else:
            yield tally.count(row)


def _of_kind(conversation: Conversation, plan: TuningPlan, path: Path) -> Conversation:
    """The conversation; InvalidArgument if the plan's reference model takes the other kind."""
    kind: catalog.Kind = "chat" if conversation.kind == "chat" else "generation"
    # Filling in is beside both kinds: the reference product has no model of that kind alone.
    if plan.kind is None or kind == plan.kind or conversation.kind == "fim":
        return conversation
    raise InvalidArgument.of(
        "base_model",
        f"{plan.reference} takes {_KINDS[plan.kind]}, but {path.name} holds {_KINDS[kind]} (line {conversation.line}): "
        f"use {counterpart(plan.reference)}, or rewrite the rows",
    )


def counterpart(reference: str) -> str:
    """The reference model of the other kind: codechat-bison@002 for code-bison@002, and the other way round."""
    for generation, chat in (("code-bison", "codechat-bison"), ("text-bison", "chat-bison")):
        if reference.startswith(generation):
            return chat + reference.removeprefix(generation)
        if reference.startswith(chat):
            return generation + reference.removeprefix(chat)
    raise NotFound(f"base_model: {reference!r} is not a reference model")


def _too_long(row: Rendered, plan: TuningPlan) -> str:
    return (
        f"has {len(row.tokens):,} tokens ({row.prompt_tokens:,} before the last answer, {row.target_tokens:,} to "
        f"learn); the limit is {plan.context_tokens:,}"
    )


def _shorter(plan: TuningPlan) -> str:
    longer = CONTEXT_TOKENS["32k"]
    known = catalog.known(plan.base_model)
    if plan.context_tokens < longer and known is not None and known.context_tokens >= longer:
        return "shorten the row, or set max_context_length to 32k"
    return "shorten the row, or part it in two"


def _refuse(path: Path, findings: Sequence[Mapping[str, Any]]) -> None:
    """InvalidArgument that lists the first few findings and carries them all; nothing if there are none."""
    if not findings:
        return
    lines = [_in_words(finding) for finding in findings[:_LISTED]]
    more = len(findings) - _LISTED
    if more > 0:
        lines.append(f"and {more:,} more")
    message = f"{path} cannot be trained on:\n" + "\n".join(lines)
    raise InvalidArgument(message, violations=[{"field": "dataset", "message": message}], findings=list(findings))


def _in_words(finding: Mapping[str, Any]) -> str:
    place = f"line {finding['line']}" if finding["line"] else "file"
    where = f"{place}, {finding['field']}" if finding["field"] else place
    remedy = f" ({finding['remedy']})" if finding["remedy"] else ""
    return f"{where}: {finding['message']}{remedy}"


def _refuse_changed(files: Mapping[str, Path], before: Mapping[str, str]) -> None:
    """A.25: what was checked and rendered is one file, or nothing is trained on."""
    for role, path in files.items():
        if folder.file_sha256(path) != before[role]:
            raise Aborted(
                f"{path} was changed while it was being read (its hash was {before[role][:12]}); start the job again "
                "when nothing writes to it",
                path=str(path),
            )


def _shown(shards: Path, files: Mapping[str, Path], default_context: str) -> list[dict[str, Any]]:
    """Three questions spread over the held-out rows, with the wanted answers; fewer if there are fewer, no holes."""
    role, path = list(files.items())[-1]
    shard = Shard.open(shards / role)
    asked = [i for i in range(shard.num_examples) if not shard.is_fim(i)]
    rows = [i for i in asked if shard.weights(i).sum() <= _SHOWN_TARGET_TOKENS] or asked
    if not rows:
        return []
    chosen = {shard.line(rows[(2 * k + 1) * len(rows) // (2 * _SHOWN)]) for k in range(_SHOWN)}
    found = []
    for conversation in read(path):
        if conversation.line in chosen:
            found.append(_question(conversation, default_context))
        if conversation.line >= max(chosen):
            break
    return found


def _question(conversation: Conversation, default_context: str) -> dict[str, Any]:
    """What is asked and what is wanted, as engine/compare.py reads it."""
    last = max(i for i, message in enumerate(conversation.messages) if message.trainable)
    context = conversation.context
    if context is None and conversation.kind == "chat" and default_context:
        context = default_context
    return {
        "line": conversation.line,
        "kind": conversation.kind,
        "context": context,
        "messages": [{"author": m.author, "content": m.content} for m in conversation.messages[:last]],
        "wanted": conversation.messages[last].content,
    }


def _forgetting(plan: TuningPlan, renderer: Renderer) -> list[Rendered]:
    rows = _that_fit(stdlib.forgetting_rows(), plan, renderer)
    if len(rows) < _LEAST_FORGETTING_ROWS:
        raise FailedPrecondition(
            f"base_model: {plan.context_tokens:,} tokens are too few to measure forgetting with (only {len(rows)} of "
            "its rows of general code fit); use a model or a max_context_length with a longer context"
        )
    return rows


def _replay(plan: TuningPlan, renderer: Renderer) -> list[Rendered]:
    """As many general rows as the steps will take, chosen by the plan's seed; none if the plan replays none."""
    needed = plan.replay_rows * plan.spec.train_steps
    if not needed:
        return []
    rows = stdlib.replay_rows()
    random.Random(plan.spec.seed).shuffle(rows)
    return _that_fit(rows[:needed], plan, renderer)


def _that_fit(rows: Iterable[stdlib.Row], plan: TuningPlan, renderer: Renderer) -> list[Rendered]:
    # Ours to leave out: these rows are a yardstick of this machine, not the user's data.
    rendered = renderer.examples(_as_conversation(index, row) for index, row in enumerate(rows, 1))
    return [row for row in rendered if isinstance(row, Rendered) and len(row.tokens) <= plan.context_tokens]


def _as_conversation(index: int, row: stdlib.Row) -> Conversation:
    messages = (Message("user", row.input_text, False), Message("assistant", row.output_text, True))
    return Conversation(index, "generation", None, messages, None)


def survey_of(plan: TuningPlan, tallies: Mapping[str, Tally]) -> Survey:
    """What was counted, in figures; every file has a row."""
    training, evaluation = tallies["training"], tallies.get("evaluation", Tally())
    return Survey(
        examples=len(training.lengths),
        tokens=sum(training.lengths),
        target_tokens=sum(training.targets),
        longest=max(training.lengths + evaluation.lengths),
        epochs=plan.epochs(len(training.lengths)),
        evaluation_examples=len(evaluation.lengths),
        evaluation_tokens=sum(evaluation.lengths),
        length=_spread(training.lengths),
        prompt=_spread(training.prompts),
        target=_spread(training.targets),
    )


def _spread(counts: Sequence[int]) -> Spread:
    p50, p95 = np.percentile(counts, [50, 95])
    return Spread(float(np.mean(counts)), float(p50), float(p95), max(counts))
