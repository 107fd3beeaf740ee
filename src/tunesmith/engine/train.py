"""The loop: a plan and packed examples in, a tuned adapter (or model) and its metrics out.

`train` reads from top to bottom. One step: every rank computes its share of the global batch in micro-batches,
the gradients are summed, checked, clipped and applied. Loss = sum of -log p over all targets of the global batch /
their number. Evaluation at step 0 (the base), every interval and the last step; each evaluation may stop the run early
(selection.py), which then anneals to rate 0 (optim.py). Checkpoints every interval and at each evaluation; a new
attempt goes on from the newest whole one, and on a CPU ends in the same bits as a run that was never stopped.

Flows in: the shards that data/build.py made, the base model's folder. Flows out, below the attempt's folder:
metrics.jsonl, tensorboard/, progress.json, out/checkpoints/, out/adapter/ or out/model/. Knows no server, no database.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from tunesmith.data.pack import Shard
from tunesmith.engine import checkpoint, memory, parallel, selection
from tunesmith.engine.adapters import Trainable, make_trainable
from tunesmith.engine.batches import Batches
from tunesmith.engine.checkpoint import Origin, State
from tunesmith.engine.device import Device, probe
from tunesmith.engine.estimate import machine_of
from tunesmith.engine.measure import measure
from tunesmith.engine.metrics import (
    EVAL_ACCURACY,
    EVAL_LOSS,
    EVAL_PREDICTIONS,
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    TRAIN_PREDICTIONS,
    MetricsWriter,
)
from tunesmith.engine.model import Prepared
from tunesmith.engine.optim import CLIP_NORM, Course, make_optimizer, rate, set_rate, stop_early
from tunesmith.engine.parallel import Ranks
from tunesmith.engine.preparation import make_ready
from tunesmith.engine.progress import Progress
from tunesmith.engine.selection import Evaluation
from tunesmith.errors import Cancelled, Diverged, ResourceExhausted
from tunesmith.folder import MANIFEST, AttemptFolder, file_sha256
from tunesmith.spec import TuningPlan, TuningSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended: result.json of the task `tune`."""

    steps: int
    selected_step: int
    stopped_early: bool
    base_is_best: bool
    metrics: dict[str, dict[str, Any]]
    """last, best (the selected checkpoint's) and base: loss and accuracy, of evaluation where there is one.

    With rows that fill in the middle among the others, `kinds` has the same of each kind by itself.
    """
    tuned: str
    method: str
    examples_seen: int
    tokens_seen: int
    epochs: float
    seconds: float
    tokens_per_s: float
    parameters: int
    """Number of weights that trained."""
    device: str
    dtype: str
    machine: dict[str, Any]
    """What it ran on, as cost.py reckons with it."""
    ranks: int
    resumed_from: int
    """Step of the checkpoint this attempt went on from; 0: from the base."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def train(
    spec: TuningSpec | TuningPlan,
    folder: AttemptFolder | Path,
    *,
    shards: Path | None = None,
    base: Prepared | None = None,
    earlier: Sequence[AttemptFolder] = (),
    base_models: Path | None = None,
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> TrainResult:
    """Tunes the base model as the spec says and leaves the result in the folder.

    A spec and a folder are enough; a job's task also gives the shards that were packed before it, the base model they
    were packed for, and the earlier attempts (oldest first), whose newest whole checkpoint is where this one begins.
    base_models  where prepared base models lie; None: below the default home.
    Raises InvalidArgument for data that cannot be trained on, Cancelled when asked to stop (after saving), Diverged
    before an update with numbers that are not finite, ResourceExhausted when memory runs out, FailedPrecondition
    when a checkpoint belongs to something else.
    """
    attempt = (folder if isinstance(folder, AttemptFolder) else AttemptFolder(folder)).create()
    plan, base, shards = make_ready(spec, attempt, base, shards, base_models, aliases)
    ranks = parallel.join()
    device = probe(plan.spec.precision, ranks.local_rank)
    if not device.is_cuda:
        memory.keep_freed_memory()
    trainable = make_trainable(plan, base, device)
    optimizer = make_optimizer(trainable.parameters.values())
    training, evaluation = Shard.open(shards / "training"), _optional_shard(shards / "evaluation")
    batches = Batches(
        training=training,
        replay=_optional_shard(shards / "replay"),
        batch_size=plan.batch_size,
        replay_rows=plan.replay_rows,
        seed=plan.spec.seed,
        rank=ranks.rank,
        num_ranks=ranks.num_ranks,
    )
    budget = memory.micro_batch_tokens(plan, trainable, device, int(training.lengths.max()))
    origin = Origin(plan.sha256(), base.sha256, file_sha256(shards / MANIFEST))
    run = _Run(plan, attempt, base, ranks, device, trainable, optimizer, batches, evaluation, budget, origin)

    state, resumed_from = run.begin([*earlier, attempt])
    while state.step < state.course.last_step:
        step = state.step + 1
        set_rate(optimizer, rate(plan.schedule, state.course, plan.spec.train_steps, step))
        started = time.perf_counter()
        sums = run.forward_backward(step)
        gradient_norm = run.finish_gradients(step, sums.loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        run.report(step, sums, gradient_norm, time.perf_counter() - started)
        evaluated = run.evaluate_if_due(step)
        stopping = ranks.any(attempt.stop_requested(), device.torch_device)
        if evaluated or stopping or step % plan.spec.checkpoint_interval == 0 or step == state.course.last_step:
            run.save()
        if stopping and step < state.course.last_step:
            run.close()
            raise Cancelled(f"stopped after step {step} of {state.course.last_step}; a checkpoint was saved", step=step)

    return run.finish(resumed_from)


@dataclass(slots=True)
class _StepSums:
    """What one step computed, over all ranks."""

    loss: float
    accuracy: float
    predictions: int
    replay_loss: float | None
    tokens: int


class _Run:
    """One attempt at work: what `train` moves through its steps. State to protect: `state` and the metrics files."""

    def __init__(
        self,
        plan: TuningPlan,
        attempt: AttemptFolder,
        base: Prepared,
        ranks: Ranks,
        device: Device,
        trainable: Trainable,
        optimizer: torch.optim.AdamW,
        batches: Batches,
        evaluation: Shard | None,
        micro_batch_tokens: int,
        origin: Origin,
    ) -> None:
        self.plan, self.attempt, self.base, self.ranks, self.device = plan, attempt, base, ranks, device
        self.trainable, self.optimizer, self.batches = trainable, optimizer, batches
        self.evaluation, self.micro_batch_tokens, self.origin = evaluation, micro_batch_tokens, origin
        self.state = State(0, Course(plan.spec.train_steps))
        self.metrics: MetricsWriter | None = None
        self.progress = Progress(attempt, enabled=ranks.is_first)

    def begin(self, attempts: Sequence[AttemptFolder]) -> tuple[State, int]:
        """The state to go on from: of the newest whole checkpoint, or of the base after its evaluation."""
        found = checkpoint.newest_valid(attempts, self.origin)
        if found is None:
            self._open_metrics(None, 0)
            self.evaluate_if_due(0)
            return self.state, 0
        # The metrics before the checkpoint that they lead up to: killed in between, the next attempt must not find
        # this one's copy of the checkpoint without them.
        self._open_metrics(found.attempt, found.state.step)
        if self.ranks.is_first:
            found = checkpoint.adopt(found, self.attempt)
        self.ranks.barrier()
        checkpoint.restore(found.path, self.trainable, self.optimizer)
        self.state = found.state
        log.info("event=resumed step=%d from=%s", self.state.step, found.path)
        return self.state, self.state.step

    def forward_backward(self, step: int) -> _StepSums:
        """Gradients of this rank's share of the step, and the step's sums over all ranks.

        If memory runs out the step is repeated with half the tokens at once, which changes no result, until a
        single example does not fit.
        """
        while True:
            try:
                return self._forward_backward(step)
            except torch.OutOfMemoryError as error:
                self.optimizer.zero_grad(set_to_none=True)
                longest = self.batches.longest(step)
                if self.micro_batch_tokens <= longest:
                    raise ResourceExhausted(memory.message(step, longest, self.device)) from error
                self.micro_batch_tokens = max(self.micro_batch_tokens // 2, longest)
                torch.cuda.empty_cache()
                log.warning("event=out_of_memory step=%d micro_batch_tokens=%d", step, self.micro_batch_tokens)

    def finish_gradients(self, step: int, loss: float) -> float:
        """Sums the gradients over the ranks and clips them; returns their norm. Diverged if anything is not finite."""
        parameters = list(self.trainable.parameters.values())
        self.ranks.sum_gradients(parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM))
        reason = None
        if not math.isfinite(loss):
            reason = f"the loss became {loss}"
        elif not math.isfinite(norm):
            reason = f"the gradient became {norm}"
        else:
            reason = selection.divergence([*self.state.losses, loss])
        if reason:
            raise Diverged(
                f"{reason} at step {step} (rows on lines {_some(self.batches.lines(step))}); nothing was updated "
                f"with it. Lower learning_rate_multiplier (now {self.plan.spec.learning_rate_multiplier}) "
                "or look at those rows",
                step=step,
                lines=self.batches.lines(step),
            )
        return norm

    def report(self, step: int, sums: _StepSums, gradient_norm: float, seconds: float) -> None:
        """Moves the state to `step` and writes its metrics."""
        state = self.state
        state.step = step
        state.losses = [*state.losses, sums.loss][-selection.LOSSES_KEPT :]
        state.examples_seen += self.plan.batch_size
        state.tokens_seen += sums.tokens
        state.seconds += seconds
        values: dict[str, float | int] = {
            TRAIN_LOSS: sums.loss,
            TRAIN_ACCURACY: sums.accuracy,
            TRAIN_PREDICTIONS: sums.predictions,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": gradient_norm,
            "tokens_per_s": sums.tokens / seconds,
        }
        if sums.replay_loss is not None:
            values["replay_loss"] = sums.replay_loss
        if self.metrics is not None:
            self.metrics.write(step, values)
        rate_tokens = state.tokens_seen / state.seconds
        left = (state.course.last_step - step) * state.seconds / step
        self.progress.training(step, state.course.last_step, sums.loss, sums.accuracy, rate_tokens, left)

    def evaluate_if_due(self, step: int) -> bool:
        """Measures the evaluation set at step 0, every interval and the last step; may set the run's end."""
        if self.evaluation is None:
            return False
        state = self.state
        if step % self.plan.evaluation_interval and step != state.course.last_step:
            return False
        score = measure(
            self.trainable.model, self.evaluation, self.micro_batch_tokens, self.ranks, self.progress.evaluating
        )
        kinds = {kind: part._asdict() for kind, part in score.kinds.items()}
        state.evaluations.append(Evaluation(step, score.loss, score.accuracy, kinds or None))
        if self.metrics is not None:
            values = {EVAL_LOSS: score.loss, EVAL_ACCURACY: score.accuracy, EVAL_PREDICTIONS: score.predictions}
            values |= {
                f"eval_{kind}_{name}": part[name] for kind, part in kinds.items() for name in ("loss", "accuracy")
            }
            self.metrics.write(step, values)
        running = state.course.stopped_at is None and step < state.course.last_step
        if self.plan.early_stopping and running and selection.should_stop(state.evaluations):
            state.course = stop_early(step, self.plan.spec.train_steps)
            log.info("event=early_stop step=%d last_step=%d", step, state.course.last_step)
            self.progress.say(
                f"accuracy no longer improves: stopping early, annealing until step {state.course.last_step}"
            )
        return True

    def save(self) -> None:
        """Writes a checkpoint of the state; the metrics it refers to are on disk before it is."""
        if self.ranks.is_first:
            assert self.metrics is not None
            self.metrics.flush()
            checkpoint.save(self.attempt, self.trainable, self.optimizer, self.state, self.origin)
        self.ranks.barrier()

    def finish(self, resumed_from: int) -> TrainResult:
        """Puts the selected checkpoint's weights in place, writes them out and says how it went."""
        state = self.state
        selected = selection.best_step(state.evaluations) if self.plan.select_best else None
        selected = selected if selected is not None else state.step
        if selected != state.step:
            path = checkpoint.step_folder(self.attempt.checkpoints, selected)
            self.trainable.restore(checkpoint.weights_of(path))
        tuned = self.trainable.save(self.attempt.out, self.base) if self.ranks.is_first else self.attempt.out
        self.close()
        return TrainResult(
            steps=state.step,
            selected_step=selected,
            stopped_early=state.course.stopped_at is not None,
            base_is_best=selection.base_is_best(state.evaluations),
            metrics=self._summary(selected),
            tuned=str(tuned),
            method=self.plan.spec.tuning_method,
            examples_seen=state.examples_seen,
            tokens_seen=state.tokens_seen,
            epochs=state.examples_seen / self.batches.training.num_examples,
            seconds=state.seconds,
            tokens_per_s=state.tokens_seen / state.seconds,
            parameters=self.trainable.num_parameters,
            device=self.device.name,
            dtype=self.device.dtype_name,
            machine=asdict(machine_of(self.device)),
            ranks=self.ranks.num_ranks,
            resumed_from=resumed_from,
        )

    def close(self) -> None:
        if self.metrics is not None:
            self.metrics.close()
        parallel.leave()

    def _forward_backward(self, step: int) -> _StepSums:
        denominator = self.batches.num_targets(step)
        user_nll = replay_nll = correct = 0.0
        predictions = replayed = tokens = 0
        for batch in self.batches.of(step, self.micro_batch_tokens, self.device.torch_device):
            loss = self.trainable.model.targets(batch)
            (loss.nll_sum / denominator).backward()  # type: ignore[no-untyped-call]
            user = batch.counted_N
            user_nll += float(loss.nll_N[user].double().sum())
            replay_nll += float(loss.nll_N[~user].double().sum())
            correct += int(loss.correct_N[user].sum())
            predictions += int(user.sum())
            replayed += int((~user).sum())
            tokens += batch.num_tokens
        values = [user_nll, replay_nll, correct, predictions, replayed, tokens]
        user_nll, replay_nll, correct, *counts = self.ranks.sum(values, self.device.torch_device)
        predictions, replayed, tokens = (int(count) for count in counts)
        return _StepSums(
            loss=user_nll / predictions,
            accuracy=correct / predictions,
            predictions=predictions,
            replay_loss=replay_nll / replayed if replayed else None,
            tokens=tokens,
        )

    def _open_metrics(self, source: AttemptFolder | None, step: int) -> None:
        if self.ranks.is_first:
            self.metrics = MetricsWriter(self.attempt, source, step)

    def _summary(self, selected: int) -> dict[str, dict[str, Any]]:
        """Loss and accuracy of the base, the selected and the last checkpoint on the evaluation set."""
        measured: dict[int, dict[str, Any]] = {
            e.step: {"step": e.step, "loss": e.loss, "accuracy": e.accuracy} | ({"kinds": e.kinds} if e.kinds else {})
            for e in self.state.evaluations
        }
        names = {"base": 0, "best": selected, "last": self.state.step}
        found = {name: measured[step] for name, step in names.items() if step in measured}
        if "last" not in found:
            found["last"] = {"step": self.state.step, "training_loss": self.state.losses[-1]}
        return found


def _optional_shard(path: Path) -> Shard | None:
    return Shard.open(path) if path.is_dir() else None


def _some(lines: Sequence[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:8])
    return shown + (", ..." if len(lines) > 8 else "")
