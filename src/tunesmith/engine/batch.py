"""Answers the lines of a batch: the task batch-predict.

In: a BatchPlan, the sealed lines of read-instances, a base model, perhaps a tuned one beside it or in its place. Out:
answers as they come (data/batch_output.py), objects in the bucket at the end, counts. Lines are asked as a request of
:predict is, by the same functions (instances.py, engine/requests.py), and answered in one running batch
(engine/continuous.py). A line that cannot be asked, or for which the memory is too small even alone, gets its reason
for an answer; what is wrong with the model ends the job.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import queue
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import folder
from tunesmith.batch import BatchModel, BatchPlan
from tunesmith.catalog import BaseModel
from tunesmith.data import batch_output
from tunesmith.data.batch_output import Answers, Line
from tunesmith.engine.continuous import Ask, Done, Event, Failed, Piece
from tunesmith.engine.progress import Progress
from tunesmith.engine.serve import Served, open_served
from tunesmith.errors import Cancelled, InvalidArgument, NotFound, ResourceExhausted, TunesmithError, Unavailable
from tunesmith.folder import AttemptFolder
from tunesmith.instances import conversation_of, predictions_of
from tunesmith.storage import Storage

log = logging.getLogger(__name__)

_LOOK_S = 0.2
"""Between two looks for STOP."""
_METRICS_S = 1.0
_METRICS_SHARE = 100
"""A line of metrics every hundredth of all lines, and every second: one with more than any before has got on."""
_SHOWN = 5


def predict(
    plan: BatchPlan,
    attempt: AttemptFolder,
    *,
    base: BaseModel,
    base_models: Path,
    models: Path,
    read: Path,
    storage: Storage,
    earlier: Sequence[AttemptFolder],
    serving: str = "auto",
) -> dict[str, Any]:
    """Answers what no earlier attempt has answered, then writes everything; counts, URIs and the first failures."""
    folder.verify(read)
    progress = Progress(attempt)
    progress.phase("loading")
    _leave_if_asked(attempt, 0)
    place = models / plan.model.place if plan.model else None
    if place is not None and plan.model is not None:
        _refuse_another_owners(place, plan.model)
    weights = place / "model" if place is not None and plan.model and plan.model.full else None
    rows = max(plan.rows, plan.drawing.get("candidates", 1))
    limits = {"rows": rows, "waiting": 2 * rows, "adapters": rows}
    served = open_served(base, base_models, weights, models, limits, serving)
    log.info("loaded base=%s model=%s", base.name, plan.model.name if plan.model else "")
    answers = Answers(attempt, earlier, f"{served.sha256} {plan.model.name if plan.model else ''}")
    try:
        batch = _Batch(plan, attempt, served, place, read, answers, progress)
        batch.answer_all(rows)
        _refuse_nothing(plan, read, answers)
        progress.phase("writing")
        written = batch_output.write(plan, storage, read, answers)
        log.info("written objects=%d folder=%s", len(written), plan.destination)
        counts = {"successful": answers.successful, "failed": batch.failed, "total": batch.total}
        failures = batch_output.failures(read, answers) if batch.failed else []
        base_said = {"name": base.name, "sha256": served.sha256}
        return {**counts, "written": written, "failures": failures, "base": base_said}
    finally:
        answers.close()


@dataclass(slots=True)
class _Asked:
    """A line on its way, and what has come of its answer."""

    line: Line
    texts: list[str]
    alone: bool
    """Whether it was asked again, with nothing beside it, since the memory was too small."""


@dataclass(slots=True)
class _Batch:
    """The lines of one attempt."""

    plan: BatchPlan
    attempt: AttemptFolder
    served: Served
    place: Path | None
    read: Path
    answers: Answers
    progress: Progress
    total: int = 0
    unreadable: int = 0
    _asked: dict[int, _Asked] = field(default_factory=dict)
    _again: deque[Line] = field(default_factory=deque)
    _events: queue.SimpleQueue[tuple[int, Event]] = field(default_factory=queue.SimpleQueue)
    _noted: int = 0
    _noted_s: float = float("-inf")

    def __post_init__(self) -> None:
        sources = folder.read_json(self.read / "sources.json")
        self.total = sum(source["lines"] for source in sources)
        self.unreadable = sum(source["unreadable"] for source in sources)

    @property
    def failed(self) -> int:
        return self.unreadable + self.answers.failed

    def answer_all(self, rows: int) -> None:
        """Until every line has its answer. Cancelled, with what there is kept, if the attempt is to stop."""
        lines = self._open_lines()
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            computing = threads.submit(self.served.batcher.run)
            try:
                self._note(at_once=True)
                while self._ask_more(lines, 2 * rows):
                    self._hear(computing)
                    _leave_if_asked(self.attempt, self.answers.successful + self.failed)
            except Unavailable as error:
                # What ended the batch, and not only that it has ended.
                self.served.batcher.close()
                raise computing.exception() or error from error
            finally:
                self.served.batcher.close()
                self._note(at_once=True)
            computing.result()

    def _open_lines(self) -> Iterator[Line]:
        for line in batch_output.lines_of(self.read):
            if not line.error and line.number not in self.answers:
                yield line

    def _ask_more(self, lines: Iterator[Line], most: int) -> bool:
        """Asks for more until enough is on its way; False if nothing is, and nothing is left."""
        more = list(itertools.islice(lines, most - len(self._asked)))
        for line in more:
            self._ask(line)
        if not self._asked and not more and self._again:
            self._ask(self._again.popleft(), alone=True)
        return bool(more or self._asked or self._again)

    def _ask(self, line: Line, *, alone: bool = False) -> None:
        try:
            ask = self._question(line)
        except InvalidArgument as error:
            self._keep(line, [], _reason(error))
            return
        self._asked[line.number] = _Asked(line, [""] * ask.candidates, alone)
        self.served.batcher.submit(ask, lambda event: self._events.put((line.number, event)))

    def _question(self, line: Line) -> Ask:
        plan = self.plan
        fields: dict[str, Any] = {
            "conversation": conversation_of(plan.kind, line.instance, "instance", plan.context),
            **plan.drawing,
            "seed": plan.seed_of(line.number),
        }
        if plan.model is not None:
            fields["model"] = {"name": plan.model.name, "folder": str(self.place)}
        return self.served.reader.ask(fields)

    def _hear(self, computing: concurrent.futures.Future[None]) -> None:
        """What has happened since; an error that is not a line's own is raised."""
        if not self._asked:
            return
        try:
            number, event = self._events.get(timeout=_LOOK_S)
        except queue.Empty:
            if computing.done():
                computing.result()
            return
        asked = self._asked[number]
        match event:
            case Piece(candidate, text):
                asked.texts[candidate] += text
                # A sign of life: one answer may take minutes.
                self.progress.predicting(self.answers.successful, self.failed, self.total)
            case Done():
                del self._asked[number]
                self._keep(asked.line, predictions_of(self.plan.kind, asked.texts))
            case Failed(error):
                del self._asked[number]
                self._fail(asked, error)

    def _fail(self, asked: _Asked, error: TunesmithError) -> None:
        if isinstance(error, ResourceExhausted) and not asked.alone:
            log.warning("too little memory for line %d of %s: asked again, alone", asked.line.line, asked.line.uri)
            self._again.append(asked.line)
        elif isinstance(error, ResourceExhausted | InvalidArgument):
            self._keep(asked.line, [], _reason(error))
        else:
            raise error

    def _keep(self, line: Line, predictions: Sequence[dict[str, Any]], status: str = "") -> None:
        self.answers.add(line.number, predictions, status)
        if status:
            log.warning("no prediction for line %d of %s: %s", line.line, line.uri, status)
        self._note()

    def _note(self, *, at_once: bool = False) -> None:
        """How far it is, for whoever watches and for the worker, which counts attempts that have not got on."""
        successful, failed = self.answers.successful, self.failed
        self.progress.predicting(successful, failed, self.total, at_once=at_once)
        done, now_s = successful + failed, time.monotonic()
        got_on = (done - self._noted) * _METRICS_SHARE >= self.total
        if at_once or got_on or now_s - self._noted_s >= _METRICS_S:
            self._noted, self._noted_s = done, now_s
            folder.append_jsonl(self.attempt.metrics, {"step": done, "successful": successful, "failed": failed})
            log.info("predicted %d of %d, %d without a prediction", done, self.total, failed)


def _leave_if_asked(attempt: AttemptFolder, done: int) -> None:
    if attempt.stop_requested():
        raise Cancelled(f"stopped with {done:,} instances answered; their answers are kept", step=done)


def _refuse_another_owners(place: Path, model: BatchModel) -> None:
    """NotFound if the model was deleted while the job waited, and another project's has its id, and so its place."""
    lineage = place / "lineage.json"
    name = model.name.partition("@")[0]
    if lineage.exists() and folder.read_json(lineage)["model"] != name:
        raise NotFound(f"model: {name} is not there any more; make a new job for a model that is", name=name)


def _reason(error: TunesmithError) -> str:
    """In the words of the instance: what is called a conversation inside is what its line holds."""
    if isinstance(error, InvalidArgument):
        return "; ".join(f"{v.field.replace('conversation', 'instance', 1)}: {v.message}" for v in error.violations)
    return error.message


def _refuse_nothing(plan: BatchPlan, read: Path, answers: Answers) -> None:
    """A job in which not one line got a prediction has failed."""
    if answers.successful:
        return
    said = "; ".join(batch_output.failures(read, answers)[:_SHOWN])
    raise InvalidArgument.of("inputConfig", f"not one instance could be answered: {said}")
