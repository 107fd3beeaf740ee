"""What a job is to do: a TuningSpec as its caller asks, completed by `resolve` into a TuningPlan, for the engine.

A spec may leave things open; a plan leaves nothing open: every default is filled, every name looked up, and no
value in it means "whatever is usual". Both are frozen, refuse unknown fields and are stored as JSON; the plan's
hash is part of a model's lineage. Field names are the command line's, the explanations its help texts.

Step, batch and epoch arithmetic (S53-S54): examples seen = steps x batch size; epochs = examples seen / examples.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tunesmith import catalog
from tunesmith.errors import InvalidArgument, Violation

Method = Literal["lora", "full"]
Accelerator = Literal["GPU", "TPU"]

MAX_TRAIN_STEPS = 1_000_000
MAX_RATE_MULTIPLIER = 100.0
CONTEXT_TOKENS = {"8k": 8192, "32k": 32_768}
EVALUATION_ROWS = (10, 250)
"""S18: the fewest and the most."""


class Frozen(BaseModel):
    """Immutable, and a field that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        """The value with these fields; InvalidArgument lists every field that is wrong."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise InvalidArgument.of_all([_violation(e, cls) for e in error.errors()]) from error


def _lossless_int(value: Any) -> Any:
    # T5: the reference page quotes its numbers. "20" and 20.0 lose nothing; "20.5", true and "abc" are refused below.
    if isinstance(value, bool):
        raise ValueError("must be a whole number, got a boolean")
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    return value


def _lossless_bool(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError('must be true or false (or the strings "true" and "false")')
    return value


def _lossless_float(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, got a boolean")
    return value


class TuningSpec(Frozen):
    """A tuning job as its caller words it."""

    dataset: Annotated[str, Field(min_length=1)]
    """Training examples: JSONL, plain or gzip, in any of the accepted forms."""
    base_model: Annotated[str, Field(min_length=1)] = "code-bison@002"
    """Catalog name or alias (code-bison@002, smollm2-135m-instruct), hf:ORG/NAME, or a folder."""
    display_name: Annotated[str, Field(max_length=128)] = ""
    """Name of the tuned model; made from model, steps and data if empty."""
    project: Annotated[str, Field(pattern=r"^[a-z0-9][-a-z0-9:.]{0,62}$")] = "local"
    """Project of the tuned model's resource name."""
    location: str = "us-central1"
    """Region of the tuned model's resource name: one of the 13."""
    train_steps: Annotated[int, Field(ge=1, le=MAX_TRAIN_STEPS)] = 300
    """Optimizer updates. 200-1000 recommended for 500 examples or more."""
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=MAX_RATE_MULTIPLIER)] = 1.0
    """Times the base model's own rate."""
    evaluation_data: str | None = None
    """Held-out examples, 10 to 250 rows; measured at step 0, every interval and at the end."""
    evaluation_interval: Annotated[int, Field(ge=1)] = 20
    """Steps between evaluations."""
    early_stopping: bool = True
    """Stop when token accuracy on the evaluation data no longer improves, and anneal from there."""
    checkpoint_selection: Literal["true", "false", "default"] = "default"
    """true: the checkpoint with the best evaluation loss; false: the last one; default: true with evaluation data."""
    default_context: str = ""
    """Chat only: context of every example that has none of its own."""
    tuning_method: Method = "lora"
    """lora: adapters on all linear layers; full: every weight."""
    adapter_rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Rank of the adapters."""
    accelerator_type: Accelerator = "GPU"
    """GPU: batch 8. TPU: batch 24 (8 with a 32k context)."""
    max_context_length: Literal["8k", "32k"] | None = None
    """Longest example; never more than the base model's own context."""
    replay: Annotated[float, Field(ge=0, le=1)] = 0.125
    """General-code rows mixed in on top of each batch, as a share of it; keeps what the base model knows."""
    fim_sentinels: Literal["base", "add"] = "base"
    """Tokens around a hole. base: the base model's own; add: give them to a base that has none, and train them."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the order of the examples and of new weights."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Examples per step; the accelerator's batch size if left out."""
    checkpoint_interval: Annotated[int, Field(ge=1)] = 20
    """Steps between checkpoints: what a crash loses at most."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products. auto: float32 on a CPU, on a GPU the fastest that it has."""
    micro_batch_tokens: Annotated[int, Field(ge=16)] | None = None
    """Tokens computed at once: bounds the memory, changes no result. Sized to the device if left out."""

    @field_validator(
        "train_steps", "evaluation_interval", "adapter_rank", "seed", "batch_size", "checkpoint_interval",
        "micro_batch_tokens", mode="before",
    )  # fmt: skip
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return _lossless_int(value)

    @field_validator("learning_rate_multiplier", "replay", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return _lossless_float(value)

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _boolean(cls, value: Any) -> Any:
        return _lossless_bool(value)

    @field_validator("location")
    @classmethod
    def _region(cls, value: str) -> str:
        if value not in catalog.REGIONS:
            near = catalog.nearest(value, catalog.REGIONS)
            hint = f"did you mean {near}? " if near else ""
            raise ValueError(f"{value!r} is not a region; {hint}known: {', '.join(catalog.REGIONS)}")
        return value

    @field_validator("tuning_method", mode="before")
    @classmethod
    def _supervised(cls, value: Any) -> Any:
        if isinstance(value, str) and value.lower() in ("rlhf", "rl", "dpo", "ppo", "distillation"):
            raise ValueError(f"code models are tuned by supervised tuning only, not by {value}; use lora or full")
        return value


class Schedule(Frozen):
    """Learning rate over the steps: linear warm-up, constant, linear to 0. Steps count from 1."""

    peak: Annotated[float, Field(gt=0)]
    """Rate after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)]
    """The first update has rate peak / (warmup_steps + 1)."""
    anneal_steps: Annotated[int, Field(ge=1)]
    """The last this many updates fall linearly; the last one has rate peak / anneal_steps, the next would have 0."""


class Adapter(Frozen):
    """Low-rank adapters on all linear layers but the head."""

    rank: int
    alpha: int = 32
    """Scale of the adapter's output is alpha / rank."""


class TuningPlan(Frozen):
    """A job with nothing left open: what the engine obeys and a model's lineage records."""

    spec: TuningSpec
    """As asked."""
    display_name: str
    base_model: str
    """Catalog name, hf: name or folder that the asked name stands for."""
    reference: str
    """The reference product's name, if the caller used one; else empty."""
    kind: catalog.Kind | None
    """What the reference model takes; None: the data decide."""
    context_tokens: int
    """Longest example, prompt and answer together."""
    batch_size: int
    schedule: Schedule
    adapter: Adapter | None
    """None: every weight is tuned."""
    evaluation_interval: int
    early_stopping: bool
    select_best: bool
    replay_rows: int
    """General rows on top of each batch."""
    tuning_location: str
    """Region that the accelerator stands for (S26)."""

    def epochs(self, examples: int) -> float:
        """How often each of `examples` rows is seen (S54)."""
        return self.spec.train_steps * self.batch_size / examples

    def sha256(self) -> str:
        """Of the plan's canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def resolve(spec: TuningSpec, found: catalog.Found) -> TuningPlan:
    """The plan of a spec over the base model that `catalog.find` found; InvalidArgument if its parts contradict."""
    _refuse_contradictions(spec, found)
    base = catalog.with_fim(found.base) if spec.fim_sentinels == "add" else found.base
    evaluated = spec.evaluation_data is not None
    context = min(_asked_context(spec, found), base.context_tokens)
    batch_size = spec.batch_size or pool_batch_size(spec.accelerator_type, _asked_context(spec, found))
    return TuningPlan(
        spec=spec,
        display_name=spec.display_name or default_name(spec),
        base_model=base.name,
        reference=found.reference.name if found.reference else "",
        kind=found.reference.kind if found.reference else None,
        context_tokens=context,
        batch_size=batch_size,
        schedule=schedule(
            base.rate(spec.tuning_method, spec.train_steps) * spec.learning_rate_multiplier, spec.train_steps
        ),
        adapter=Adapter(rank=spec.adapter_rank) if spec.tuning_method == "lora" else None,
        evaluation_interval=min(spec.evaluation_interval, spec.train_steps),
        early_stopping=evaluated and spec.early_stopping,
        select_best=evaluated and spec.checkpoint_selection != "false",
        replay_rows=math.ceil(spec.replay * batch_size),
        tuning_location=catalog.POOLS[spec.accelerator_type].region,
    )


def pool_batch_size(accelerator: Accelerator, context_tokens: int) -> int:
    """S53: 8 on GPU; on TPU 24 with an 8k context and 8 with a 32k one."""
    pool = catalog.POOLS[accelerator]
    return pool.batch_size_32k if context_tokens > CONTEXT_TOKENS["8k"] else pool.batch_size_8k


def schedule(peak: float, steps: int) -> Schedule:
    """Warm-up over 5 % of the steps (5 to 50, never more than a third), anneal over the last 40 % (at least 1)."""
    warmup = min(max(round(0.05 * steps), 5), 50, steps // 3)
    return Schedule(peak=peak, warmup_steps=warmup, anneal_steps=max(1, round(0.4 * steps)))


def _asked_context(spec: TuningSpec, found: catalog.Found) -> int:
    if spec.max_context_length is not None:
        return CONTEXT_TOKENS[spec.max_context_length]
    return found.reference.context_tokens if found.reference else CONTEXT_TOKENS["8k"]


def _refuse_contradictions(spec: TuningSpec, found: catalog.Found) -> None:
    asked = spec.model_fields_set
    wrong = []
    if spec.evaluation_data is None:
        for field in ("evaluation_interval", "early_stopping", "checkpoint_selection"):
            if field in asked and getattr(spec, field) not in ("false", "default", False):
                wrong.append(Violation(field, "needs evaluation_data; give the evaluation file or leave this out"))
    if "evaluation_interval" in asked and spec.evaluation_data and spec.evaluation_interval > spec.train_steps:
        message = f"{spec.evaluation_interval} is more than train_steps {spec.train_steps}: it would never be reached"
        wrong.append(Violation("evaluation_interval", message))
    if spec.default_context and found.reference and found.reference.kind != "chat":
        wrong.append(
            Violation("default_context", f"{found.reference.name} is not a chat model; put the text into the prompts")
        )
    if spec.tuning_method == "full" and "adapter_rank" in asked:
        wrong.append(
            Violation("adapter_rank", "full tuning has no adapters; leave it out or set tuning_method to lora")
        )
    if wrong:
        raise InvalidArgument.of_all(wrong)


def default_name(spec: TuningSpec) -> str:
    """What a tuned model is called if nobody says."""
    # M.5: the tail of the URI is what tells two jobs apart, so the cut is made at its front.
    rate = (
        "" if spec.learning_rate_multiplier == 1 else f" with learning_rate_multiplier={spec.learning_rate_multiplier}"
    )
    head = f"{spec.base_model} tuned for {spec.train_steps} steps{rate} on "
    return (head + spec.dataset[-max(0, 128 - len(head)) :])[:128]


def _violation(error: Any, cls: type[BaseModel]) -> Violation:
    field = ".".join(str(part) for part in error["loc"]) or "spec"
    if error["type"] == "extra_forbidden":
        near = catalog.nearest(field, list(cls.model_fields))
        return Violation(field, "unknown field" + (f"; did you mean {near}?" if near else ""))
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] in ("missing", "value_error") else f", got {error['input']!r}"
    return Violation(field, f"{message[0].lower()}{message[1:]}{given}")
