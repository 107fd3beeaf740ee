"""Endpoints and what is deployed on them: which version of which model answers, and with what share of the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tunesmith import resources
from tunesmith.errors import FailedPrecondition, InvalidArgument, NotFound
from tunesmith.resources import EndpointName, ModelName
from tunesmith.store import tables
from tunesmith.store.claims import Claim, Ending, settle
from tunesmith.store.jobs import job_row
from tunesmith.store.listing import Fields, Page, Query, find, lies_in
from tunesmith.store.models import FIRST_VERSION, Models, model_name

NEW_MODEL = "0"
"""In a traffic split that comes with a deployment: the model that is being deployed."""

_FIELDS = Fields(
    key=tables.endpoints.c.id,
    columns={
        "endpoint": tables.endpoints.c.id,
        "name": tables.endpoints.c.id,
        "display_name": tables.endpoints.c.display_name,
        "create_time": tables.endpoints.c.create_time,
        "update_time": tables.endpoints.c.update_time,
    },
    labels=tables.endpoints.c.labels,
    newest=tables.endpoints.c.create_time,
)


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """A model's version that answers at an endpoint."""

    id: str
    model: str
    """projects/P/locations/L/models/N"""
    version_id: str
    display_name: str
    request: Mapping[str, Any]
    """What its client sent that is only given back."""
    create_time: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A name that answers predictions."""

    name: str
    """projects/P/locations/L/endpoints/N"""
    display_name: str
    description: str
    labels: Mapping[str, str]
    traffic_split: Mapping[str, int]
    """Id of a deployed model -> percent. Empty: takes no traffic."""
    deployed_models: tuple[DeployedModel, ...]
    create_time: float
    update_time: float
    kms_key_name: str | None = None
    """A customer's key, as it came."""


class Endpoints(Models):
    """Endpoints as clients and workers see them."""

    def create_endpoint(
        self,
        project: str,
        location: str,
        *,
        display_name: str,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        endpoint_id: str | None = None,
        kms_key_name: str | None = None,
        now_s: float | None = None,
    ) -> Endpoint:
        """A new endpoint with nothing on it."""
        name = EndpointName(project, location, endpoint_id or resources.new_id())
        with self._writing() as connection:
            _insert_endpoint(connection, name, display_name, description, labels or {}, self._now(now_s))
            if kms_key_name is not None:
                _update(connection, name.id, self._now(now_s), kms_key_name=kms_key_name)
            return _read_endpoint(connection, name)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that resource name; NotFound if there is none."""
        with self._reading() as connection:
            return _read_endpoint(connection, resources.parse_endpoint_name(name))

    def list_endpoints(self, project: str, location: str, query: Query) -> Page[Endpoint]:
        """One page of a project's endpoints in a location, or EVERYWHERE."""
        of_parent = lies_in(tables.endpoints, project, location)
        with self._reading() as connection:
            page = find(connection, sa.select(tables.endpoints).where(of_parent), _FIELDS, query)
            return Page(_as_endpoints(connection, page.rows), page.next_position)

    def update_endpoint(self, name: str, values: Mapping[str, Any], *, now_s: float | None = None) -> Endpoint:
        """The endpoint with display_name, description, labels or traffic_split changed."""
        parsed = resources.parse_endpoint_name(name)
        with self._writing() as connection:
            endpoint = _read_endpoint(connection, parsed)
            if "traffic_split" in values:
                _check_split(values["traffic_split"], [d.id for d in endpoint.deployed_models])
            _update(connection, parsed.id, self._now(now_s), **values)
            return _read_endpoint(connection, parsed)

    def delete_endpoint(self, name: str) -> Endpoint:
        """Forgets an endpoint, and says what it was; FailedPrecondition while a model is deployed on it."""
        parsed = resources.parse_endpoint_name(name)
        with self._writing() as connection:
            endpoint = _read_endpoint(connection, parsed)
            if endpoint.deployed_models:
                ids = ", ".join(d.id for d in endpoint.deployed_models)
                raise FailedPrecondition(f"{name} has deployed models ({ids}); undeploy them first")
            connection.execute(sa.delete(tables.endpoints).where(tables.endpoints.c.id == parsed.id))
        return endpoint

    def deploy_model(
        self,
        endpoint: str,
        model: str,
        *,
        display_name: str = "",
        request: Mapping[str, Any] | None = None,
        traffic_split: Mapping[str, int] | None = None,
        deployed_id: str | None = None,
        now_s: float | None = None,
    ) -> DeployedModel:
        """Puts a model's version on an endpoint. Without a split an endpoint's first model gets all traffic."""
        now = self._now(now_s)
        parsed = resources.parse_endpoint_name(endpoint)
        with self._writing() as connection:
            found = _read_endpoint(connection, parsed)
            version = self._read_model(connection, model)
            chosen = deployed_id or resources.new_id()
            ids = [*[d.id for d in found.deployed_models], chosen]
            split = _split_with(traffic_split, chosen) if traffic_split else dict(found.traffic_split) or {chosen: 100}
            _check_split(split, ids)
            named = display_name or version.display_name
            _insert_deployed(connection, parsed, version.name, version.version_id, chosen, named, request or {}, now)
            _update(connection, parsed.id, now, traffic_split=split)
            deployed = _read_endpoint(connection, parsed).deployed_models
        return next(d for d in deployed if d.id == chosen)

    def undeploy_model(
        self,
        endpoint: str,
        deployed_id: str,
        *,
        traffic_split: Mapping[str, int] | None = None,
        now_s: float | None = None,
    ) -> Endpoint:
        """Takes a model off an endpoint. Its traffic goes where the split says, or by halves to those that stay."""
        parsed = resources.parse_endpoint_name(endpoint)
        with self._writing() as connection:
            found = _read_endpoint(connection, parsed)
            if deployed_id not in [d.id for d in found.deployed_models]:
                raise NotFound(f"{endpoint} has no deployed model {deployed_id!r}", name=deployed_id)
            rest = [d.id for d in found.deployed_models if d.id != deployed_id]
            split = dict(traffic_split) if traffic_split else _without(found.traffic_split, deployed_id, rest)
            _check_split(split, rest)
            connection.execute(sa.delete(tables.deployed_models).where(tables.deployed_models.c.id == deployed_id))
            _update(connection, parsed.id, self._now(now_s), traffic_split=split)
            return _read_endpoint(connection, parsed)

    def deploy_model_of_job(self, claim: Claim, *, now_s: float) -> Endpoint:
        """The job's model on an endpoint of its own, in the same transaction as the success of the task.

        Aborted as in `settle`. The ids follow from the job, so it is one endpoint however often it is tried.
        """
        with self._writing() as connection:
            job = job_row(connection, claim.job)
            settle(connection, job, claim, Ending("succeeded"), now_s)
            model = model_name(job)
            version = self._read_model(connection, str(model))
            name = EndpointName(model.project, model.location, resources.endpoint_id(job.id, job.create_time))
            _insert_endpoint(connection, name, f"{version.display_name}_endpoint"[:128], "", version.labels, now_s)
            deployed_id = resources.deployed_model_id(job.id, job.create_time)
            shown = version.display_name
            _insert_deployed(connection, name, str(model), FIRST_VERSION, deployed_id, shown, {}, now_s)
            _update(connection, name.id, now_s, traffic_split={deployed_id: 100})
            return _read_endpoint(connection, name)

    def endpoint_name(self, job: Any) -> str:
        """The resource name of the endpoint that a job makes, whether it is there or not."""
        return str(EndpointName(job.project, job.plan.spec.location, resources.endpoint_id(job.id, job.create_time)))


def _split_with(split: Mapping[str, int], new_id: str) -> dict[str, int]:
    return {new_id if key == NEW_MODEL else key: value for key, value in split.items()}


def _without(split: Mapping[str, int], gone: str, rest: Sequence[str]) -> dict[str, int]:
    """The split once a model is gone: its share goes to the one with the largest share that stays."""
    kept = {key: share for key, share in split.items() if key != gone}
    if not rest or sum(split.values()) == 0:
        return {}
    heir = max(kept, key=lambda key: kept[key]) if kept else rest[0]
    return {**kept, heir: kept.get(heir, 0) + split.get(gone, 0)}


def _check_split(split: Mapping[str, int], ids: Sequence[str]) -> None:
    for key, share in split.items():
        if key not in ids:
            raise InvalidArgument.of(
                "trafficSplit", f"{key!r} is not deployed here; deployed: {', '.join(ids) or 'none'}"
            )
        if not 0 <= share <= 100:
            raise InvalidArgument.of("trafficSplit", f"{key} must get 0 to 100 percent, got {share}")
    if split and sum(split.values()) != 100:
        raise InvalidArgument.of("trafficSplit", f"must add up to 100, adds up to {sum(split.values())}")


def _insert_endpoint(
    connection: sa.Connection,
    name: EndpointName,
    display_name: str,
    description: str,
    labels: Mapping[str, str],
    now_s: float,
) -> None:
    connection.execute(
        sa.insert(tables.endpoints).values(
            id=name.id,
            project=name.project,
            location=name.location,
            display_name=display_name,
            description=description,
            labels=dict(labels),
            traffic_split={},
            create_time=now_s,
            update_time=now_s,
        )
    )


def _insert_deployed(
    connection: sa.Connection,
    endpoint: EndpointName,
    model: str,
    version_id: str,
    deployed_id: str,
    display_name: str,
    request: Mapping[str, Any],
    now_s: float,
) -> None:
    connection.execute(
        sa.insert(tables.deployed_models).values(
            id=deployed_id,
            endpoint=endpoint.id,
            model=resources.parse_model_name(model).id,
            version_id=version_id,
            display_name=display_name,
            request=dict(request),
            create_time=now_s,
        )
    )


def _update(connection: sa.Connection, endpoint_id: str, now_s: float, **values: Any) -> None:
    of_endpoint = tables.endpoints.c.id == endpoint_id
    connection.execute(sa.update(tables.endpoints).where(of_endpoint).values(update_time=now_s, **values))


def _read_endpoint(connection: sa.Connection, name: EndpointName) -> Endpoint:
    row = connection.execute(sa.select(tables.endpoints).where(tables.endpoints.c.id == name.id)).first()
    if row is None or (row.project, row.location) != (name.project, name.location):
        raise NotFound(f"no endpoint is called {name}", name=str(name))
    return _as_endpoints(connection, [row])[0]


def _as_endpoints(connection: sa.Connection, rows: Sequence[Any]) -> list[Endpoint]:
    query = sa.select(tables.deployed_models, tables.models.c.project, tables.models.c.location)
    query = query.join(tables.models, tables.models.c.id == tables.deployed_models.c.model)
    on_them = tables.deployed_models.c.endpoint.in_([row.id for row in rows])
    order = tables.deployed_models.c.create_time, tables.deployed_models.c.id
    deployed = connection.execute(query.where(on_them).order_by(*order)).all()
    return [
        Endpoint(
            name=str(EndpointName(row.project, row.location, row.id)),
            display_name=row.display_name,
            description=row.description,
            labels=row.labels,
            traffic_split=row.traffic_split,
            deployed_models=tuple(_as_deployed(d) for d in deployed if d.endpoint == row.id),
            create_time=row.create_time,
            update_time=row.update_time,
            kms_key_name=row.kms_key_name,
        )
        for row in rows
    ]


def _as_deployed(row: Any) -> DeployedModel:
    return DeployedModel(
        id=row.id,
        model=str(ModelName(row.project, row.location, row.model)),
        version_id=row.version_id,
        display_name=row.display_name,
        request=row.request,
        create_time=row.create_time,
    )
