"""A run over several devices of this machine: one process a device, started and waited for here.

    python -m tunesmith.engine.ranks FOLDER         one rank; torchrun starts it, `train_on` starts torchrun

The task that calls `train_on` opens no device. It writes what to train to ranks.json in the attempt's folder, the ranks
train together (train.py, parallel.py), and the first of them writes how it ended: ranks-result.json. A rank that fails
writes ranks-error.json, unless another one was faster, and torchrun ends the others.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith import folder
from tunesmith.engine import parallel
from tunesmith.engine.model import Prepared
from tunesmith.engine.train import TrainResult, train
from tunesmith.errors import Internal, TunesmithError, from_exception, from_json
from tunesmith.folder import AttemptFolder
from tunesmith.spec import TuningPlan

log = logging.getLogger(__name__)

_ORDER, _RESULT, _ERROR = "ranks.json", "ranks-result.json", "ranks-error.json"


def num_devices() -> int:
    """Processes that a run is worth on this machine: one for each CUDA device, else one."""
    import torch

    return max(1, torch.cuda.device_count())


def train_on(
    num_processes: int,
    plan: TuningPlan,
    attempt: AttemptFolder,
    *,
    shards: Path,
    base: Prepared,
    earlier: Sequence[AttemptFolder] = (),
) -> TrainResult:
    """As `train`, by that many processes; raises what the first failing rank raised."""
    order = {
        "plan": plan.model_dump(mode="json"),
        "shards": str(shards),
        "base": [str(base.folder), base.sha256, base.name],
        "earlier": [str(one.root) for one in earlier],
    }
    for name in (_RESULT, _ERROR):
        (attempt.root / name).unlink(missing_ok=True)
    folder.write_json(attempt.root / _ORDER, order)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    done = subprocess.run([*command, "-m", "tunesmith.engine.ranks", str(attempt.root)], check=False)
    if (attempt.root / _RESULT).is_file() and done.returncode == 0:
        return TrainResult(**folder.read_json(attempt.root / _RESULT))
    if (attempt.root / _ERROR).is_file():
        said = folder.read_json(attempt.root / _ERROR)
        raise from_json(said, said["exit_code"])
    raise Internal(f"the {num_processes} ranks ended with exit code {done.returncode} and no word; see {attempt.log}")


def main(arguments: Sequence[str]) -> int:
    """One rank's work; its exit code is that of the error, which torchrun does not pass on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    attempt = AttemptFolder(Path(arguments[0]))
    first = parallel.join().is_first
    order: dict[str, Any] = folder.read_json(attempt.root / _ORDER)
    try:
        result = train(
            TuningPlan.model_validate(order["plan"]),
            attempt,
            shards=Path(order["shards"]),
            base=Prepared(Path(order["base"][0]), *order["base"][1:]),
            earlier=[AttemptFolder(Path(path)) for path in order["earlier"]],
        )
    except Exception as error:  # noqa: BLE001 - the process's edge, as in task.py: told to the process that waits
        return _tell(attempt, from_exception(error))
    if first:
        folder.write_json(attempt.root / _RESULT, result.to_json())
    return 0


def _tell(attempt: AttemptFolder, error: TunesmithError) -> int:
    log.error("event=rank_failed status=%s message=%s", error.status, error.message, exc_info=True)
    if not (attempt.root / _ERROR).exists():
        folder.write_json(attempt.root / _ERROR, {**error.to_json(), "exit_code": error.exit_code})
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
