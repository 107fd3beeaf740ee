"""wharfline: barge cargo and river gauges. An invented library, small enough to read and strange enough to be new.

It has the habits of a real private library: words of its own, two styles, one convention for failure.

    manifests   a builder: open_manifest(harbor), then steps that return the manifest, then seal() -> Plan
    flows       pipelines joined with >>: draw(gauge) >> keep(above=3) >> total(), run on a log of readings
    outcomes    nothing raises for what a skipper can cause: a Plan answers a Clear or a Snag, and settle() unwraps both

    plan = open_manifest("Osby").stow("salt", 4, deck="low").cap(20).seal()
    plan.admit("coal", 9).settle(otherwise="held")
    (draw("depth") >> keep(above=3) >> total()).run({"depth": [2, 5, 4]})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

DECKS = ("top", "low", "bow", "stern")
UNCAPPED_TONS = 1_000

Readings = list[float]


class WharfError(Exception):
    """A programmer's mistake: a manifest changed after sealing, a flow without an end."""


# -- outcomes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clear:
    """Nothing stands in the way; `worth` is what was asked for."""

    worth: object

    def settle(self, otherwise: object = None) -> object:
        """The worth, whatever is offered instead."""
        return self.worth


@dataclass(frozen=True)
class Snag:
    """Something does, and `why` is one word for it."""

    why: str

    def settle(self, otherwise: object = None) -> object:
        """What is offered instead, or the snag's word if nothing is."""
        return self.why if otherwise is None else otherwise


Outcome = Clear | Snag


# -- manifests ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parcel:
    """One good on one deck."""

    good: str
    tons: int
    deck: str = "top"


@dataclass(frozen=True)
class Plan:
    """A sealed manifest: what is aboard, where it goes, and what may still come."""

    harbor: str
    parcels: tuple[Parcel, ...] = ()
    barred: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    cap_tons: int = UNCAPPED_TONS
    ballast_tons: int = 0
    crew: int = 1
    tow_hours: int = 0

    def burden(self) -> int:
        """All tons aboard, ballast too."""
        return self.ballast_tons + sum(parcel.tons for parcel in self.parcels)

    def room(self) -> int:
        """Tons that may still come aboard."""
        return max(0, self.cap_tons - self.burden())

    def aboard(self, good: str) -> int:
        """Tons of one good on all decks."""
        return sum(parcel.tons for parcel in self.parcels if parcel.good == good)

    def on_deck(self, deck: str) -> list[str]:
        """Goods of one deck, in the order in which they were stowed."""
        return [parcel.good for parcel in self.parcels if parcel.deck == deck]

    def heaviest(self) -> Outcome:
        """The good of the heaviest parcel, or the snag "empty"."""
        if not self.parcels:
            return Snag("empty")
        return Clear(max(self.parcels, key=lambda parcel: parcel.tons).good)

    def admit(self, good: str, tons: int) -> Outcome:
        """Whether so much of a good may come aboard: the room left then, or the snag "barred" or "full"."""
        if good in self.barred:
            return Snag("barred")
        if tons > self.room():
            return Snag("full")
        return Clear(self.room() - tons)

    def passes(self, lock: str) -> Outcome:
        """The number of a lock on the way, counted from 1, or the snag "elsewhere"."""
        return Clear(self.locks.index(lock) + 1) if lock in self.locks else Snag("elsewhere")

    def ledger(self) -> dict[str, object]:
        """Everything, as plain values."""
        return {
            "harbor": self.harbor,
            "parcels": [(parcel.good, parcel.tons, parcel.deck) for parcel in self.parcels],
            "barred": list(self.barred),
            "locks": list(self.locks),
            "flags": list(self.flags),
            "cap": self.cap_tons,
            "ballast": self.ballast_tons,
            "crew": self.crew,
            "tow": self.tow_hours,
        }


class Manifest:
    """Builds a Plan, a step at a time; each step gives the manifest back, and seal() ends it."""

    def __init__(self, harbor: str) -> None:
        self._plan = Plan(harbor)
        self._sealed = False

    def stow(self, good: str, tons: int, deck: str = "top") -> Manifest:
        """Puts a parcel on a deck."""
        if deck not in DECKS:
            raise WharfError(f"deck {deck!r}: a barge has {', '.join(DECKS)}")
        return self._with(parcels=(*self._plan.parcels, Parcel(good, tons, deck)))

    def bar(self, good: str) -> Manifest:
        """Keeps a good off the barge for good."""
        return self._with(barred=(*self._plan.barred, good))

    def cap(self, tons: int) -> Manifest:
        """Limits the burden."""
        return self._with(cap_tons=tons)

    def ballast(self, tons: int) -> Manifest:
        """Adds dead weight under all decks."""
        return self._with(ballast_tons=self._plan.ballast_tons + tons)

    def via(self, lock: str) -> Manifest:
        """Sends the barge through one more lock."""
        return self._with(locks=(*self._plan.locks, lock))

    def fly(self, flag: str) -> Manifest:
        """Hoists a flag."""
        return self._with(flags=(*self._plan.flags, flag))

    def man(self, hands: int) -> Manifest:
        """Sets the number of hands."""
        return self._with(crew=hands)

    def tow(self, hours: int) -> Manifest:
        """Books a tug."""
        return self._with(tow_hours=self._plan.tow_hours + hours)

    def seal(self) -> Plan:
        """The plan; nothing can be added afterwards."""
        self._sealed = True
        return self._plan

    def _with(self, **changes: object) -> Manifest:
        if self._sealed:
            raise WharfError(f"the manifest for {self._plan.harbor} is sealed")
        self._plan = replace(self._plan, **changes)
        return self


def open_manifest(harbor: str) -> Manifest:
    """An empty manifest for a harbor."""
    return Manifest(harbor)


# -- flows --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One stage of a flow: readings in, readings out."""

    apply: Callable[[Readings], Readings]


@dataclass(frozen=True)
class End:
    """The last stage: readings in, one number out; `empty` if there are none."""

    apply: Callable[[Readings], float]
    empty: float = 0


@dataclass(frozen=True)
class Flow:
    """A gauge, then steps, then an end. `>>` adds a stage; run() takes a log (gauge name -> readings)."""

    gauge: str
    steps: tuple[Step, ...] = ()
    end: End | None = field(default=None)

    def __rshift__(self, stage: Step | End) -> Flow:
        if self.end is not None:
            raise WharfError("a flow has one end, and it is the last stage")
        if isinstance(stage, End):
            return replace(self, end=stage)
        return replace(self, steps=(*self.steps, stage))

    def run(self, log: Mapping[str, Sequence[float]]) -> float:
        if self.end is None:
            raise WharfError("a flow needs an end, such as total()")
        readings = list(log.get(self.gauge, ()))
        for step in self.steps:
            readings = step.apply(readings)
        return self.end.apply(readings) if readings else self.end.empty


def draw(gauge: str) -> Flow:
    """A flow of one gauge's readings."""
    return Flow(gauge)


def keep(above: float = float("-inf"), below: float = float("inf")) -> Step:
    """Readings strictly between two bounds."""
    return Step(lambda readings: [reading for reading in readings if above < reading < below])


def skip(first: int) -> Step:
    """All but the first readings."""
    return Step(lambda readings: readings[first:])


def thin(every: int) -> Step:
    """The first reading of every few."""
    return Step(lambda readings: readings[::every])


def scale(by: float) -> Step:
    """Readings times a number."""
    return Step(lambda readings: [reading * by for reading in readings])


def lift(by: float) -> Step:
    """Readings plus a number."""
    return Step(lambda readings: [reading + by for reading in readings])


def clip(at: float) -> Step:
    """Readings, no higher than a number."""
    return Step(lambda readings: [min(reading, at) for reading in readings])


def gaps() -> Step:
    """What each reading is above the one before."""
    return Step(lambda readings: [later - earlier for earlier, later in pairwise(readings)])


def total() -> End:
    """The sum."""
    return End(sum)


def peak() -> End:
    """The highest reading."""
    return End(max)


def ebb() -> End:
    """The lowest reading."""
    return End(min)


def count() -> End:
    """How many readings are left."""
    return End(len)


def final() -> End:
    """The last reading."""
    return End(lambda readings: readings[-1])
