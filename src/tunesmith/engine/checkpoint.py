"""All that is needed to go on, as one folder that is complete or not there.

checkpoints/step-000020/
    weights.safetensors     what trains, by parameter name
    optimizer.safetensors   AdamW's two averages and its step count, by parameter name
    random.safetensors      the state of torch's CPU generator (the order of the data needs none: it is a function of
                            the step)
    state.json              position, evaluations so far, where the run ends, what it was made of
    manifest.json           sizes and SHA-256 of all of them, written last; then the folder is renamed into place

Position, weights, optimizer and random state are one atomic thing. `newest_valid` reads every byte before it
trusts a checkpoint; a damaged one is named in the log and the one before it is used. It refuses checkpoints of another
base, data set or plan. Only the newest two are kept, and of each the best one before it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from tunesmith import folder
from tunesmith.engine.adapters import Trainable
from tunesmith.engine.optim import Course
from tunesmith.engine.selection import Evaluation, best_step
from tunesmith.errors import DataLoss, FailedPrecondition, NotFound
from tunesmith.folder import AttemptFolder

log = logging.getLogger(__name__)

KEEP_NEWEST = 2
WEIGHTS, OPTIMIZER, RANDOM, STATE = "weights.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"
_AVERAGES = ("exp_avg", "exp_avg_sq", "step")


class Origin(NamedTuple):
    """What a run is made of; a checkpoint continues only the run it belongs to."""

    plan_sha256: str
    base_sha256: str
    shards_sha256: str


@dataclass
class State:
    """Where a run stands after `step` updates."""

    step: int
    course: Course
    evaluations: list[Evaluation] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Training losses of the last steps, for the divergence rule."""
    examples_seen: int = 0
    tokens_seen: int = 0
    seconds: float = 0.0
    """Training time over all attempts."""


class Found(NamedTuple):
    """A checkpoint to go on from, and the attempt whose metrics lead up to it."""

    path: Path
    attempt: AttemptFolder
    state: State


def step_folder(checkpoints: Path, step: int) -> Path:
    return checkpoints / f"step-{step:06d}"


def save(
    attempt: AttemptFolder, trainable: Trainable, optimizer: torch.optim.Optimizer, state: State, origin: Origin
) -> Path:
    """Writes the checkpoint of `state.step` and drops those that are no longer needed; returns its folder."""
    target = step_folder(attempt.checkpoints, state.step)
    with folder.sealed(target) as temporary:
        save_file({n: p.detach().contiguous() for n, p in trainable.parameters.items()}, temporary / WEIGHTS)
        save_file(_optimizer_tensors(trainable, optimizer), temporary / OPTIMIZER)
        save_file({"torch_cpu": torch.get_rng_state()}, temporary / RANDOM)
        folder.write_json(temporary / STATE, {"origin": origin._asdict(), **asdict(state)})
    _drop_old(attempt.checkpoints)
    return target


def restore(path: Path, trainable: Trainable, optimizer: torch.optim.Optimizer) -> None:
    """Puts weights, optimizer and random state back as they were. The folder has been verified."""
    trainable.restore(load_file(path / WEIGHTS))
    tensors = load_file(path / OPTIMIZER)
    for name, parameter in trainable.parameters.items():
        values = {key: tensors[f"{name}|{key}"] for key in _AVERAGES}
        # The step count stays where fused AdamW keeps it: beside the parameter.
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in values.items()}
    torch.set_rng_state(load_file(path / RANDOM)["torch_cpu"])


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a verified checkpoint."""
    folder.verify(path)
    weights: dict[str, torch.Tensor] = load_file(path / WEIGHTS)
    return weights


def newest_valid(attempts: Sequence[AttemptFolder], origin: Origin) -> Found | None:
    """The newest checkpoint of these attempts that is whole, and whose best predecessor is whole too.

    A later attempt's checkpoint wins over an earlier one's of the same step. FailedPrecondition if it belongs to a
    run with another plan, base or data.
    """
    candidates = [
        (int(path.name.removeprefix("step-")), number, path)
        for number, attempt in enumerate(attempts)
        for path in attempt.checkpoints.glob("step-*")
    ]
    for _, number, path in sorted(candidates, reverse=True):
        try:
            folder.verify(path)
            state, found_origin = _read_state(path)
            best = best_step(state.evaluations)
            if best is not None and best != state.step:
                folder.verify(step_folder(path.parent, best))
        except (DataLoss, NotFound, OSError) as error:
            log.warning("event=checkpoint_refused path=%s reason=%s", path, error)
            continue
        _refuse_other_run(found_origin, origin, path)
        return Found(path, attempts[number], state)
    return None


def adopt(found: Found, attempt: AttemptFolder) -> Found:
    """Copies the checkpoint (and the best one before it) into this attempt, which from now on needs no other."""
    if found.attempt == attempt:
        return found
    steps = {found.state.step, best_step(found.state.evaluations) or found.state.step}
    for step in sorted(steps):
        source, target = step_folder(found.path.parent, step), step_folder(attempt.checkpoints, step)
        with folder.sealed(target) as temporary:
            for file in source.iterdir():
                if file.name != folder.MANIFEST:
                    shutil.copyfile(file, temporary / file.name)
    return Found(step_folder(attempt.checkpoints, found.state.step), attempt, found.state)


def _read_state(path: Path) -> tuple[State, Origin]:
    values: dict[str, Any] = folder.read_json(path / STATE)
    origin = Origin(**values.pop("origin"))
    values["course"] = Course(*values["course"])
    values["evaluations"] = [Evaluation(*e) for e in values["evaluations"]]
    return State(**values), origin


def _refuse_other_run(found: Origin, wanted: Origin, path: Path) -> None:
    if found.base_sha256 != wanted.base_sha256:
        raise FailedPrecondition(
            f"checkpoint {path.name} was made on base weights {found.base_sha256[:12]}, the base model on this machine "
            f"is now {wanted.base_sha256[:12]}: its files changed. Put the old files back, or tune anew",
        )
    if found != wanted:
        raise FailedPrecondition(f"checkpoint {path.name} belongs to another plan or data set; start a new job instead")


def _optimizer_tensors(trainable: Trainable, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{name}|{key}": optimizer.state[parameter][key].contiguous()
        for name, parameter in trainable.parameters.items()
        for key in _AVERAGES
    }


def _drop_old(checkpoints: Path) -> None:
    """Keeps the newest ones and what each of them would select: going back to one must not lose its best."""
    present = sorted(checkpoints.glob("step-*"))
    newest = present[-KEEP_NEWEST:]
    bests = [best_step(_read_state(path)[0].evaluations) for path in newest]
    keep = {*newest, *(step_folder(checkpoints, best) for best in bests if best is not None)}
    for path in present:
        if path not in keep:
            shutil.rmtree(path)
