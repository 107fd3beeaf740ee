"""The model card: what a tuned model is, what it was made of, how good it measured, how to use it.

In: the plan of its job and what the job's tasks found. Out: Markdown, for README.md in the model's folder. Every
figure is one that a task measured; what was not measured is said to be so. Opens no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith import catalog
from tunesmith.spec import TuningPlan


def model_card(
    plan: TuningPlan,
    *,
    name: str,
    checked: Mapping[str, Any],
    tuned: Mapping[str, Any],
    compared: Mapping[str, Any],
) -> str:
    """The card of the model `name`; the results of validate-dataset, tune and evaluate in that order."""
    base = catalog.known(plan.base_model)
    licence = base.licence if base else "unknown"
    sections = (
        _front_matter(plan, licence, tuned["method"]),
        f"# {plan.display_name}\n",
        f"{_what(plan, tuned)} Registered as `{name}`, version 1.\n",
        f"## How it measured\n\n{_scores(compared)}\n{_kinds(compared)}{_forgetting(compared)}",
        f"## How it was made\n\n{_making(plan, checked, tuned)}",
        f"## How to use it\n\n{_use(plan, name, tuned['method'])}",
        f"## Licence and limits\n\n{_limits(plan, licence)}",
    )
    return "\n".join(sections)


def _front_matter(plan: TuningPlan, licence: str, method: str) -> str:
    library = "peft" if method == "lora" else "transformers"
    published = plan.base_model.removesuffix(catalog.WITH_FIM)
    lines = ["---", f"base_model: {_quoted(published)}", f"library_name: {library}"]
    if licence != "unknown":
        lines.append(f"license: {_quoted(licence.lower())}")
    return "\n".join([*lines, "pipeline_tag: text-generation", "tags: [code, tunesmith]", "---", ""])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _what(plan: TuningPlan, tuned: Mapping[str, Any]) -> str:
    if plan.adapter is not None:
        how = f"LoRA adapters of rank {plan.adapter.rank} on all linear layers"
    else:
        how = "all weights tuned"
    asked = f" (asked for as {plan.reference})" if plan.reference else ""
    return f"{plan.base_model}{asked}, {how}, by supervised tuning over {tuned['steps']:,} steps."


def _scores(compared: Mapping[str, Any]) -> str:
    base, tuned = compared["base"], compared["tuned"]
    held_out = compared.get("held_out", "evaluation")
    if held_out == "evaluation":
        where = "On the held-out evaluation data"
    else:
        where = "No evaluation data were given; **on rows of the training data itself**, which flatters the tuned model"
    return (
        f"{where} (loss in nats per answer token; accuracy: share of answer tokens predicted right):\n\n"
        "| | loss | token accuracy |\n|---|---|---|\n"
        f"| base model | {base['loss']:.4f} | {base['accuracy']:.2%} |\n"
        f"| this model | {tuned['loss']:.4f} | {tuned['accuracy']:.2%} |\n"
    )


def _kinds(compared: Mapping[str, Any]) -> str:
    """Each kind of rows by itself, where rows that fill in the middle are among them."""
    if not (kinds := compared.get("kinds")):
        return ""
    lines = ["| rows | model | loss | token accuracy | exact match | edit similarity |", "|---|---|---|---|---|---|"]
    for name in sorted(kinds, reverse=True):
        for model, title in (("base", "base model"), ("tuned", "this model")):
            one = kinds[name][model]
            shares = (one["accuracy"], one["exact_match"], one["edit_similarity"])
            told = " | ".join("not measured" if share is None else f"{share:.1%}" for share in shares)
            lines.append(f"| {name} ({kinds[name]['rows']}) | {title} | {one['loss']:.4f} | {told} |")
    asked = ", ".join(f"{kinds[name]['asked']} {name}" for name in sorted(kinds, reverse=True))
    lines += [
        "",
        f"Exact match and edit similarity are of greedy answers to rows with short answers ({asked}).",
        "",
        "",
    ]
    return "\n".join(lines)


def _forgetting(compared: Mapping[str, Any]) -> str:
    found = compared.get("forgetting")
    if not found:
        return "What it has forgotten of general code was not measured.\n"
    low, high = found["interval"]
    return (
        f"What it has forgotten: on {found['rows']} fixed rows of general Python its loss went from "
        f"{found['base_loss']:.4f} to {found['tuned_loss']:.4f}, a change of {found['change']:+.4f} "
        f"(95 % interval {low:+.4f} to {high:+.4f}).\n"
    )


def _making(plan: TuningPlan, checked: Mapping[str, Any], tuned: Mapping[str, Any]) -> str:
    spec = plan.spec
    selected = tuned["selected_step"]
    early = " It stopped early, since accuracy no longer improved." if tuned.get("stopped_early") else ""
    lines = [
        f"- Training data: `{spec.dataset}`, {checked['examples']:,} examples, {checked['tokens']:,} tokens.",
        f"- Evaluation data: `{spec.evaluation_data}`." if spec.evaluation_data else "- Evaluation data: none.",
        f"- {tuned['steps']:,} of {spec.train_steps:,} steps of {plan.batch_size} examples, "
        f"{tuned['epochs']:.2f} epochs; the weights are those after step {selected:,}.{early}",
        f"- Learning rate {plan.schedule.peak:.3g} at its peak (multiplier {spec.learning_rate_multiplier:g}).",
        f"- General code mixed in: {plan.replay_rows} rows a batch."
        if plan.replay_rows
        else "- No general code mixed in.",
        f"- Computed on {tuned.get('device', 'an unknown device')} in {tuned.get('dtype', 'an unknown dtype')}.",
        "- Everything else: `spec.json` and `lineage.json` beside this file.",
    ]
    return "\n".join(lines) + "\n"


def _use(plan: TuningPlan, name: str, method: str) -> str:
    if method == "lora":
        published = plan.base_model.removesuffix(catalog.WITH_FIM)
        load = f'base = AutoModelForCausalLM.from_pretrained("folder or name of {published}")\n'
        classes = "AutoModelForCausalLM"
        if published != plan.base_model:
            classes += ", AutoTokenizer"
            load += (
                'tokenizer = AutoTokenizer.from_pretrained("adapter")  # with the sentinels that the base has not\n'
                "base.resize_token_embeddings(max(len(tokenizer), base.get_input_embeddings().weight.shape[0]))\n"
            )
        load += 'model = PeftModel.from_pretrained(base, "adapter")'
        head = f"from peft import PeftModel\nfrom transformers import {classes}\n\n"
    else:
        load = 'model = AutoModelForCausalLM.from_pretrained("model")'
        head = "from transformers import AutoModelForCausalLM\n\n"
    return (
        f'```console\ntunesmith predict {name} --prefix "Write the code in Python: ..."\n```\n\n'
        f"or in Python, from this folder:\n\n```python\n{head}{load}\n```\n\n"
        "Word prompts as the training examples word theirs: same instructions, same fields, same order.\n"
    )


def _limits(plan: TuningPlan, licence: str) -> str:
    return (
        f"The base model's licence is {licence}; it binds this model too, beside whatever binds the training data. "
        f"Longest prompt and answer together: {plan.context_tokens:,} tokens. It may repeat its training data, "
        "and code it writes may be wrong or unsafe: read it and test it before it is used.\n"
    )
