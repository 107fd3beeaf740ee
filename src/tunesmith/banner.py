"""What a job will do, said before it starts: a few lines of a name and a text each.

In: the plan, what the data were found to hold and what the machine was found to need. Out: lines for a person
(`rows`) and the same figures for a program (`figures`). Measures nothing itself and prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunesmith.errors import InvalidArgument
from tunesmith.spec import TuningPlan
from tunesmith.watch import duration

if TYPE_CHECKING:
    from tunesmith.cost import Estimate
    from tunesmith.data.build import Survey


# Below this a faster number format is not worth a person's thought.
WORTH_SAYING = 1.2


class Line(NamedTuple):
    """One line of the banner."""

    name: str
    text: str


def checked_data(dataset: str, evaluation: str | None) -> dict[str, Any]:
    """What the check of the data has found; InvalidArgument if they cannot be trained on."""
    from tunesmith.data.check import check

    report: dict[str, Any] = check(Path(dataset), evaluation=Path(evaluation) if evaluation else None).to_json()
    if not report["valid"]:
        wrong = [finding for finding in report["findings"] if finding["severity"] == "error"]
        text = "\n".join(warnings(wrong, limit=10))
        raise InvalidArgument(f"{dataset} cannot be trained on:\n{text}", findings=wrong)
    return report


def rows(plan: TuningPlan, survey: Survey, estimate: Estimate) -> list[Line]:
    """The banner's lines, top to bottom."""
    lines = [Line("base model", _base_model(plan)), Line("data", _data(plan, survey))]
    if survey.evaluation_examples:
        lines.append(Line("held out", _evaluation(plan, survey)))
    lines += [Line("length", _length(plan, survey)), Line("method", _method(plan)), Line("rate", _rate(plan))]
    if plan.replay_rows:
        rows_of = "row" if plan.replay_rows == 1 else "rows"
        lines.append(Line("replay", f"{plan.replay_rows} {rows_of} of general code on top of each batch"))
    lines.append(Line("machine", _machine(estimate)))
    lines.append(Line("estimate", _estimate(estimate)))
    return lines


def figures(plan: TuningPlan, survey: Survey, estimate: Estimate) -> dict[str, Any]:
    """What `tune --dry-run --json` prints."""
    return {
        "base_model": plan.base_model,
        "reference": plan.reference,
        "display_name": plan.display_name,
        "method": plan.spec.tuning_method,
        "examples": survey.examples,
        "evaluation_examples": survey.evaluation_examples,
        "tokens": survey.tokens,
        "target_tokens": survey.target_tokens,
        "longest": survey.longest,
        "train_steps": plan.spec.train_steps,
        "batch_size": plan.batch_size,
        "examples_seen": plan.spec.train_steps * plan.batch_size,
        "epochs": plan.epochs(survey.examples),
        "learning_rate": plan.schedule.peak,
        "device": estimate.device,
        "dtype": estimate.dtype,
        "tokens_per_s": estimate.tokens_per_s,
        "seconds": estimate.seconds,
        "memory_bytes": estimate.memory_bytes,
        "plan": plan.model_dump(mode="json"),
    }


def warnings(findings: list[Mapping[str, Any]], limit: int = 3) -> list[str]:
    """The first few findings of a data check in words, and how many more there are."""
    lines = [finding_line(finding) for finding in findings[:limit]]
    more = len(findings) - limit
    return [*lines, f"and {more} more; `tunesmith data check` lists them all"] if more > 0 else lines


def finding_line(finding: Mapping[str, Any]) -> str:
    """One finding of a data check: where, what, and what to do."""
    place = f"line {finding['line']}" if finding["line"] else "whole file"
    where = f"{place}, {finding['field']}" if finding["field"] else place
    remedy = f" ({finding['remedy']})" if finding["remedy"] else ""
    return f"{finding['severity']}: {where}: {finding['message']}{remedy}"


def _base_model(plan: TuningPlan) -> str:
    return plan.base_model + (f" ({plan.reference} stands for it here)" if plan.reference else "")


def _data(plan: TuningPlan, survey: Survey) -> str:
    return (
        f"{Path(plan.spec.dataset).name}: {survey.examples:,} examples, {survey.tokens:,} tokens, "
        f"{survey.target_tokens:,} of them to learn; the longest has {survey.longest:,}"
    )


def _evaluation(plan: TuningPlan, survey: Survey) -> str:
    name = Path(plan.spec.evaluation_data or "").name
    chosen = "the best checkpoint by its loss is taken" if plan.select_best else "the last checkpoint is taken"
    early = ", early stopping on token accuracy" if plan.early_stopping else ""
    every = f"measured every {plan.evaluation_interval} steps"
    return f"{name}: {survey.evaluation_examples:,} examples, {every}{early}; {chosen}"


def _length(plan: TuningPlan, survey: Survey) -> str:
    steps = plan.spec.train_steps
    seen = steps * plan.batch_size
    return f"{steps:,} steps x {plan.batch_size} examples = {seen:,} seen: {plan.epochs(survey.examples):.3g} epochs"


def _method(plan: TuningPlan) -> str:
    if plan.adapter is None:
        return "full: every weight is tuned"
    return f"lora: rank {plan.adapter.rank}, alpha {plan.adapter.alpha}, on all linear layers"


def _rate(plan: TuningPlan) -> str:
    multiplier = plan.spec.learning_rate_multiplier
    times = f" ({multiplier:g} x the model's own)" if multiplier != 1 else ""
    warmup, anneal = plan.schedule.warmup_steps, plan.schedule.anneal_steps
    return f"{plan.schedule.peak:.3g}{times}; {warmup} steps of warm-up, falling to 0 over the last {anneal}"


def _machine(estimate: Estimate) -> str:
    text = f"{estimate.device}, {estimate.dtype}"
    if estimate.bfloat16_gain < WORTH_SAYING:
        return text
    return f"{text}; its bfloat16 is {estimate.bfloat16_gain:.1f} times as fast: --precision bfloat16, less exact"


def _estimate(estimate: Estimate) -> str:
    memory = f"{estimate.memory_bytes / 2**30:.1f} GiB of memory"
    return f"about {duration(estimate.seconds)} at {estimate.tokens_per_s:,.0f} tokens/s, {memory}"
