"""The registry: tuned models, their versions and aliases, and the one that a job's last tasks make and deploy."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tunesmith import resources
from tunesmith.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tunesmith.resources import EndpointName, ModelName
from tunesmith.store import tables
from tunesmith.store.claims import Claim, Ending, settle
from tunesmith.store.database import Database
from tunesmith.store.jobs import Job, job_row, update_job
from tunesmith.store.listing import Fields, Page, Query, find, lies_in

FIRST_VERSION = "1"
DEFAULT_ALIAS = "default"

_FIELDS = Fields(
    key=tables.models.c.id,
    columns={
        "model": tables.models.c.id,
        "name": tables.models.c.id,
        "display_name": tables.models.c.display_name,
        "create_time": tables.models.c.create_time,
        "update_time": tables.models.c.update_time,
    },
    labels=tables.models.c.labels,
    newest=tables.models.c.create_time,
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a model's version is deployed."""

    endpoint: str
    """projects/P/locations/L/endpoints/N"""
    id: str


@dataclass(frozen=True, slots=True)
class Model:
    """A version of a tuned model, as registered. Names, labels and aliases may change; what it is does not."""

    name: str
    """projects/P/locations/L/models/N"""
    version_id: str
    aliases: tuple[str, ...]
    display_name: str
    description: str
    folder: Path
    job: str | None
    """Id of the job that made it; None once that was deleted, or if it was uploaded."""
    base_model: str
    labels: Mapping[str, str]
    lineage: Mapping[str, Any]
    metrics: Mapping[str, Any]
    create_time: float
    """Of the model: of its first version."""
    update_time: float
    version_create_time: float
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A version that comes from outside, its files checked."""

    name: ModelName
    """For a new model."""
    display_name: str
    description: str
    labels: Mapping[str, str]
    aliases: Sequence[str]
    base_model: str
    lineage: Mapping[str, Any]
    staging: Path
    """The complete folder, beside those of the registry."""


class Models(Database):
    """Models as clients and workers see them."""

    def models(self) -> list[Model]:
        """All registered models, each in its default version, newest first."""
        with self._reading() as connection:
            rows = connection.execute(
                _defaults().order_by(tables.models.c.create_time.desc(), tables.models.c.id)
            ).all()
            return self._as_models(connection, rows)

    def list_models(self, project: str, location: str, query: Query) -> Page[Model]:
        """One page of a project's models in a location, or EVERYWHERE, each in its default version."""
        of_parent = lies_in(tables.models, project, location)
        with self._reading() as connection:
            page = find(connection, _defaults().where(of_parent), _FIELDS, query)
            return Page(self._as_models(connection, page.rows), page.next_position)

    def model(self, name: str) -> Model:
        """The model of that resource name, or of that bare id; `@version` or `@alias` behind it, else the default."""
        with self._reading() as connection:
            return self._read_model(connection, name)

    def model_versions(self, name: str) -> list[Model]:
        """All versions of a model, newest first."""
        with self._reading() as connection:
            model = _model_row(connection, name)
            rows = connection.execute(_versions().where(tables.models.c.id == model.id)).all()
            found = self._as_models(connection, rows)
        return sorted(found, key=lambda m: m.version_create_time, reverse=True)

    def update_model(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
        now_s: float | None = None,
    ) -> Model:
        """The model with what is not None changed."""
        changes = {"display_name": display_name, "description": description, "labels": labels}
        values = {key: value for key, value in changes.items() if value is not None}
        with self._writing() as connection:
            model = _model_row(connection, name)
            of_model = tables.models.c.id == model.id
            connection.execute(sa.update(tables.models).where(of_model).values(**values, update_time=self._now(now_s)))
            return self._read_model(connection, name)

    def merge_aliases(self, name: str, aliases: Sequence[str], *, now_s: float | None = None) -> Model:
        """Gives a version aliases, taking them from other versions, and takes away those that begin with `-`.

        FailedPrecondition if the version would no longer be the default without another one being it.
        """
        with self._writing() as connection:
            version = self._read_model(connection, name)
            model_id = resources.parse_model_name(version.name).id
            for alias in aliases:
                if alias == f"-{DEFAULT_ALIAS}":
                    raise FailedPrecondition("give `default` to another version; a model always has a default one")
                _set_alias(connection, model_id, resources.check_alias(alias.removeprefix("-")), version, alias)
            of_model = tables.models.c.id == model_id
            connection.execute(sa.update(tables.models).where(of_model).values(update_time=self._now(now_s)))
            return self._read_model(connection, f"{version.name}@{version.version_id}")

    def delete_model(self, name: str) -> Model:
        """Takes a model with all versions out of the registry, then removes its files; what its default version was.

        FailedPrecondition while it is deployed.
        """
        with self._writing() as connection:
            row = _model_row(connection, name)
            model = self._read_model(connection, f"{ModelName(row.project, row.location, row.id)}@{DEFAULT_ALIAS}")
            _refuse_if_deployed(connection, row.id, model.name)
            for table in (tables.model_aliases, tables.model_versions):
                connection.execute(sa.delete(table).where(table.c.model == row.id))
            connection.execute(sa.delete(tables.models).where(tables.models.c.id == row.id))
        self._remove(model.folder.parent, sa.select(tables.models).where(tables.models.c.id == row.id))
        return model

    def delete_version(self, name: str) -> Model:
        """Takes one version out of the registry, then removes its files; FailedPrecondition if it is the default."""
        if "@" not in name:
            raise InvalidArgument.of("name", f"must name a version, as {name}@2")
        with self._writing() as connection:
            version = self._read_model(connection, name)
            if DEFAULT_ALIAS in version.aliases:
                raise FailedPrecondition(f"{name} is the default version; make another one the default first")
            model_id = resources.parse_model_name(version.name).id
            _refuse_if_deployed(connection, model_id, name, version.version_id)
            for table in (tables.model_aliases, tables.model_versions):
                mine = table.c.model == model_id, table.c.version_id == version.version_id
                connection.execute(sa.delete(table).where(*mine))
        mine = tables.model_versions.c.model == model_id, tables.model_versions.c.version_id == version.version_id
        self._remove(version.folder, sa.select(tables.model_versions).where(*mine))
        return version

    def _remove(self, folder: Path, taken: sa.Select[Any]) -> None:
        """The files of what is no longer registered, unless an upload has taken the same name since."""
        aside = self._models_folder / f".deleted-{secrets.token_hex(8)}"
        with self._writing() as connection:  # an upload puts its files in place under this lock too
            if connection.execute(taken).first() is None:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    # What a job's last tasks do.

    def register_model(
        self,
        claim: Claim,
        *,
        labels: Mapping[str, str],
        lineage: Mapping[str, Any],
        metrics: Mapping[str, Any],
        now_s: float,
    ) -> Model:
        """The tuned model of a job, in the same transaction as the success of the task that made it.

        Its files must lie in `model_folder` already. Aborted as in `settle`.
        """
        with self._writing() as connection:
            job = job_row(connection, claim.job)
            name = model_name(job)
            settle(connection, job, claim, Ending("succeeded"), now_s)
            update_job(connection, job.sequence, now_s, model=str(name))
            _insert_model(connection, name, job.plan["display_name"], labels, now_s)
            version = {"job": job.sequence, "base_model": job.plan["base_model"], "create_time": now_s}
            _insert_version(connection, name, FIRST_VERSION, {**version, "lineage": lineage, "metrics": metrics})
            return self._read_model(connection, str(name))

    # What an upload does.

    def add_uploaded(self, uploaded: Uploaded, *, parent: str = "", now_s: float | None = None) -> Model:
        """A new model, or with `parent` a new version of that one; its files move to their place in the registry.

        AlreadyExists if there is a model of that id; NotFound if there is no such parent.
        """
        now = self._now(now_s)
        try:
            with self._writing() as connection:
                name, version = _next_version(connection, uploaded, parent, now)
                lineage = {**uploaded.lineage, "model": str(name)}
                said = {"base_model": uploaded.base_model, "lineage": lineage, "metrics": {}, "create_time": now}
                _insert_version(connection, name, version, {"job": None, **said})
                made = self._read_model(connection, f"{name}@{version}")
                for alias in uploaded.aliases:
                    _set_alias(connection, name.id, resources.check_alias(alias), made, alias)
                # The last step before the commit: what a crash in between leaves is a folder without a row, and the
                # next upload to this number, which holds the model's row as this one does, takes it away.
                shutil.rmtree(made.folder, ignore_errors=True)
                made.folder.parent.mkdir(parents=True, exist_ok=True)
                os.rename(uploaded.staging, made.folder)
                return self._read_model(connection, f"{name}@{version}")
        except exc.IntegrityError as error:
            message = f"the id {uploaded.name.id} is taken on this server; leave modelId out, or choose another one"
            raise AlreadyExists(message, name=str(uploaded.name)) from error

    def model_folder(self, job: Job) -> Path:
        """Where the files of the model that a job makes belong, whether it is registered yet or not."""
        return self._models_folder / resources.model_id(job.id, job.create_time) / FIRST_VERSION

    def model_name(self, job: Job) -> str:
        """The resource name of the model that a job makes, whether it is registered yet or not."""
        return str(ModelName(job.project, job.plan.spec.location, resources.model_id(job.id, job.create_time)))

    def _read_model(self, connection: sa.Connection, name: str) -> Model:
        model = _model_row(connection, name)
        version = _version_of(connection, model.id, name.partition("@")[2] or DEFAULT_ALIAS)
        query = _versions().where(tables.models.c.id == model.id, tables.model_versions.c.version_id == version)
        rows = connection.execute(query).all()
        if not rows:
            raise NotFound(f"model {name.partition('@')[0]} has no version {version}", name=name)
        return self._as_models(connection, rows)[0]

    def _deployed_models(self, connection: sa.Connection) -> list[Model]:
        """Every version that is deployed somewhere."""
        deployed, version = tables.deployed_models, tables.model_versions
        somewhere = sa.exists().where(
            deployed.c.model == version.c.model, deployed.c.version_id == version.c.version_id
        )
        return self._as_models(connection, connection.execute(_versions().where(somewhere)).all())

    def _as_models(self, connection: sa.Connection, rows: Sequence[Any]) -> list[Model]:
        ids = {row.id for row in rows}
        aliases = connection.execute(sa.select(tables.model_aliases).where(tables.model_aliases.c.model.in_(ids))).all()
        deployed = connection.execute(_deployed().where(tables.deployed_models.c.model.in_(ids))).all()
        return [
            Model(
                name=str(ModelName(row.project, row.location, row.id)),
                version_id=row.version_id,
                aliases=tuple(a.alias for a in aliases if (a.model, a.version_id) == (row.id, row.version_id)),
                display_name=row.display_name,
                description=row.description,
                folder=self._models_folder / row.id / row.version_id,
                job=row.job_key,
                base_model=row.base_model,
                labels=row.labels,
                lineage=row.lineage,
                metrics=row.metrics,
                create_time=row.create_time,
                update_time=row.update_time,
                version_create_time=row.version_create_time,
                deployments=tuple(
                    Deployment(str(EndpointName(d.project, d.location, d.endpoint)), d.id)
                    for d in deployed
                    if (d.model, d.version_id) == (row.id, row.version_id)
                ),
            )
            for row in rows
        ]


def _next_version(connection: sa.Connection, uploaded: Uploaded, parent: str, now_s: float) -> tuple[ModelName, str]:
    """Name and number of the version to come; its model's row is there, and held, from now on."""
    if not parent:
        said = uploaded.display_name, uploaded.labels, now_s, uploaded.description
        _insert_model(connection, uploaded.name, *said)
        return uploaded.name, FIRST_VERSION
    row = _model_row(connection, parent)
    of_model = tables.models.c.id == row.id
    counted = {"last_version": tables.models.c.last_version + 1, "update_time": now_s}
    statement = sa.update(tables.models).where(of_model).values(counted).returning(tables.models.c.last_version)
    version = connection.execute(statement).scalar_one()
    return ModelName(row.project, row.location, row.id), str(version)


def model_name(job: Any) -> ModelName:
    """Of the model that the job of this row makes."""
    return ModelName(job.project, job.plan["spec"]["location"], resources.model_id(job.id, job.create_time))


def _versions() -> sa.Select[Any]:
    """Every version with its model's row and its job's key."""
    version = tables.model_versions
    columns = (version.c.version_id, version.c.base_model, version.c.lineage, version.c.metrics)
    made = version.c.create_time.label("version_create_time")
    query = sa.select(tables.models, *columns, made, tables.jobs.c.id.label("job_key"))
    query = query.join(version, version.c.model == tables.models.c.id)
    return query.outerjoin(tables.jobs, tables.jobs.c.sequence == version.c.job)


def _defaults() -> sa.Select[Any]:
    alias, version = tables.model_aliases, tables.model_versions
    is_default = sa.and_(
        alias.c.model == version.c.model, alias.c.version_id == version.c.version_id, alias.c.alias == DEFAULT_ALIAS
    )
    return _versions().join(alias, is_default)


def _deployed() -> sa.Select[Any]:
    endpoint = tables.endpoints
    query = sa.select(tables.deployed_models, endpoint.c.project, endpoint.c.location)
    return query.join(endpoint, endpoint.c.id == tables.deployed_models.c.endpoint).order_by(
        tables.deployed_models.c.create_time, tables.deployed_models.c.id
    )


def _model_row(connection: sa.Connection, name: str) -> Any:
    plain = name.partition("@")[0]
    wanted = None if plain.isdecimal() else resources.parse_model_name(name)
    query = sa.select(tables.models).where(tables.models.c.id == (wanted.id if wanted else plain))
    if wanted:
        query = query.where(tables.models.c.project == wanted.project, tables.models.c.location == wanted.location)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"no model is called {name}; `tunesmith models list` shows those there are", name=name)
    return row


def _version_of(connection: sa.Connection, model_id: str, version_or_alias: str) -> str:
    of_alias = tables.model_aliases.c.model == model_id, tables.model_aliases.c.alias == version_or_alias
    found = connection.execute(sa.select(tables.model_aliases.c.version_id).where(*of_alias)).scalar()
    return found if found is not None else version_or_alias


def _insert_model(
    connection: sa.Connection,
    name: ModelName,
    display_name: str,
    labels: Mapping[str, str],
    now_s: float,
    description: str = "",
) -> None:
    connection.execute(
        sa.insert(tables.models).values(
            id=name.id,
            project=name.project,
            location=name.location,
            display_name=display_name,
            description=description,
            labels=dict(labels),
            last_version=int(FIRST_VERSION),
            create_time=now_s,
            update_time=now_s,
        )
    )


def _insert_version(connection: sa.Connection, name: ModelName, version_id: str, values: Mapping[str, Any]) -> None:
    """The version; the model's first one becomes the default."""
    connection.execute(sa.insert(tables.model_versions).values(model=name.id, version_id=version_id, **values))
    if version_id == FIRST_VERSION:
        alias = {"model": name.id, "alias": DEFAULT_ALIAS, "version_id": version_id}
        connection.execute(sa.insert(tables.model_aliases).values(alias))


def _set_alias(connection: sa.Connection, model_id: str, alias: str, version: Model, asked: str) -> None:
    of_alias = tables.model_aliases.c.model == model_id, tables.model_aliases.c.alias == alias
    if asked.startswith("-"):
        mine = tables.model_aliases.c.version_id == version.version_id
        connection.execute(sa.delete(tables.model_aliases).where(*of_alias, mine))
        return
    connection.execute(sa.delete(tables.model_aliases).where(*of_alias))
    values = {"model": model_id, "alias": alias, "version_id": version.version_id}
    connection.execute(sa.insert(tables.model_aliases).values(values))


def _refuse_if_deployed(connection: sa.Connection, model_id: str, name: str, version_id: str | None = None) -> None:
    query = _deployed().where(tables.deployed_models.c.model == model_id)
    if version_id is not None:
        query = query.where(tables.deployed_models.c.version_id == version_id)
    row = connection.execute(query).first()
    if row is not None:
        endpoint = EndpointName(row.project, row.location, row.endpoint)
        raise FailedPrecondition(f"{name} is deployed at {endpoint}; undeploy it first (deployedModelId {row.id})")
