"""All tables, all queries, all state changes: the only channel between those who ask for work and those who do it.

In: plans, requests (cancel, pause, deploy) and what a worker has seen. Out: frozen rows (Job, Task, Model, Endpoint,
Claim ...). Times are seconds since 1970, UTC. Every change of a state is one that `resources` allows and is written in
one transaction with its event. A worker's write counts only while the attempt and the lease are its own (`Aborted`
otherwise), so one that was believed dead spoils nothing when it wakes. What exists once (a job of an id, a model of
a job) is guarded by a unique constraint, not by a look beforehand.

One noun a file, over one Database. Opens no job's folder, starts no process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tunesmith.settings import Settings
from tunesmith.store.claims import Claim, Claims, Ending
from tunesmith.store.endpoints import DeployedModel, Endpoint
from tunesmith.store.jobs import HERE, Asked, Attempt, Event, Job, Jobs, PoolUse, Task, Tuned
from tunesmith.store.keys import Key, Keys, NewKey
from tunesmith.store.listing import EVERYWHERE, Page, Query
from tunesmith.store.models import Deployment, Model, Uploaded
from tunesmith.store.operations import Operation, Operations
from tunesmith.store.servers import Server, Servers, Wanted, server_of
from tunesmith.store.tensorboards import BoardPart, NewPart, Point, Tensorboards

__all__ = [
    "EVERYWHERE",
    "HERE",
    "Asked",
    "Attempt",
    "BoardPart",
    "Claim",
    "DeployedModel",
    "Deployment",
    "Ending",
    "Endpoint",
    "Event",
    "Job",
    "Key",
    "Model",
    "NewKey",
    "NewPart",
    "Operation",
    "Page",
    "Point",
    "PoolUse",
    "Query",
    "Server",
    "Store",
    "Task",
    "Tuned",
    "Uploaded",
    "Wanted",
    "open_store",
    "server_of",
]


class Store(Jobs, Claims, Servers, Operations, Keys, Tensorboards):
    """The database of one installation. Any number of processes and threads may have one open on it."""


def open_store(settings: Settings, clock: Callable[[], float] = time.time) -> Store:
    """The store of this installation; its database is made, or brought up to this code, if need be.

    FailedPrecondition if the database was written by a later version.
    """
    store = Store(settings, clock)
    store.migrate()
    return store
