"""What tests of serving need: the tiny model as a base, adapters for it, and answers of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tiny_model import make_tiny_model
from tiny_run import make_plan
from tunesmith import catalog
from tunesmith.catalog import BaseModel
from tunesmith.data.formats import Conversation, Message
from tunesmith.data.render import Renderer
from tunesmith.engine.adapters import load_tuned, make_trainable
from tunesmith.engine.continuous import Ask, Batcher, Done, Event, Failed, Finish, Limits, Piece
from tunesmith.engine.device import Device
from tunesmith.engine.generate import Generator, set_for_decoding
from tunesmith.engine.model import Prepared, load, prepare
from tunesmith.engine.shelf import Shelf, Tuned
from tunesmith.errors import TunesmithError

CPU = Device(torch.device("cpu"), torch.float32, "cpu", 1e9, 1.0)


@dataclass
class Answered:
    """What was told of one request, in order."""

    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None

    @property
    def ended(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], Done | Failed)

    @property
    def error(self) -> TunesmithError | None:
        last = self.events[-1]
        return last.error if isinstance(last, Failed) else None

    def text(self, candidate: int = 0) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Piece) and e.candidate == candidate)

    def finish(self, candidate: int = 0) -> Finish:
        (found,) = [e for e in self.events if isinstance(e, Finish) and e.candidate == candidate]
        return found


@dataclass
class Home:
    """A base model, its registered models, and what is loaded of them."""

    root: Path
    base: BaseModel
    prepared: Prepared
    renderer: Renderer

    @property
    def models(self) -> Path:
        return self.root / "models"

    def shelf(self, limit: int = 4, weights: Path | None = None) -> Shelf:
        model = load(self.prepared.folder, CPU) if weights is None else load_tuned(weights, self.prepared, CPU)
        set_for_decoding(model)
        return Shelf(model, self.prepared, limit, weights)

    def batcher(self, shelf: Shelf, rows: int = 4, waiting: int = 64) -> Batcher:
        limits = Limits(rows=rows, waiting=waiting, adapters=max(rows, 4)).check()
        return Batcher(shelf, self.renderer, self.base.context_tokens, limits)

    def generator(self, tuned: Tuned | None = None) -> Generator:
        """What each answer is compared with: the same weights, asked alone."""
        weights = None
        if tuned is not None:
            weights = next(p for p in (tuned.folder / "adapter", tuned.folder / "model") if p.is_dir())
        return Generator.load(self.prepared, self.base, weights, CPU)

    def ask(self, text: str, tuned: Tuned | None = None, max_output_tokens: int = 24, **fields: object) -> Ask:
        return Ask(tuple(self.renderer.prompt(question(text))), tuned, max_output_tokens, **fields)  # type: ignore[arg-type]

    def tuned(self, number: int, method: str = "lora") -> Tuned:
        """A registered model whose weights are drawn from its number, far from the base's."""
        version = self.models / str(number) / "1"
        if not version.is_dir():
            plan = make_plan(self.prepared.folder, tuning_method=method)
            trainable = make_trainable(plan, self.prepared, CPU)
            random = torch.Generator().manual_seed(number)
            for name, parameter in trainable.parameters.items():
                if method == "full" or "lora_B" in name:
                    with torch.no_grad():
                        parameter.add_(torch.randn(parameter.shape, generator=random) * 0.1)
            trainable.save(version, self.prepared)
        return Tuned(f"projects/p/locations/l/models/{number}@1", version)


def make_home(root: Path, *, seed: int = 0, fim: bool = False) -> Home:
    base = catalog.from_folder(make_tiny_model(root / "base", seed=seed, fim=fim))
    prepared = prepare(base, root / "base-models")
    return Home(root, base, prepared, Renderer.open(prepared.folder, base))


def question(text: str) -> Conversation:
    return Conversation(0, "generation", None, (Message("user", text, False),))


def serve_all(batcher: Batcher, asks: Iterable[Ask]) -> list[Answered]:
    """Runs the batcher in this thread until every request has ended; afterwards it is closed."""
    asked = [(ask, Answered()) for ask in asks]
    for ask, answered in asked:
        submit(batcher, ask, answered)
    return run_until_ended(batcher, [answered for _, answered in asked])


def submit(batcher: Batcher, ask: Ask, answered: Answered) -> Callable[[], None]:
    """Puts the request in; what cancels it."""

    def deliver(event: Event) -> None:
        answered.events.append(event)
        answered.on_event(event)

    return batcher.submit(ask, deliver).cancel


def run_until_ended(batcher: Batcher, expected: Sequence[Answered]) -> list[Answered]:
    def close_when_ended(event: Event) -> None:
        if all(answered.ended for answered in expected):
            batcher.close()

    for answered in expected:
        before = answered.on_event
        answered.on_event = lambda event, before=before: (before(event), close_when_ended(event))[1]  # type: ignore[misc]
    batcher.run()
    return list(expected)
