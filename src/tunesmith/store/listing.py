"""One page of a list: a filter as SQL, an order, and a position to go on from that later rows do not move.

In: a select, the columns that a client may name, a Query. Out: rows, and the position behind the last one. The filter's
text was parsed by `filters`; values go into statements as bound parameters only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from tunesmith.errors import InvalidArgument
from tunesmith.filters import And, Comparison, Filter, Not, Or

T = TypeVar("T")
EVERYWHERE = "-"
"""In a location's place: all of them."""
_ESCAPE = "\\"
_LABELS = "labels."


@dataclass(frozen=True, slots=True)
class Fields:
    """What of a table a list may be filtered and ordered by."""

    key: Any
    """Unique: decides between rows that are alike, and falls in the order that nobody asked for."""
    columns: Mapping[str, Any]
    labels: Any = None
    """A JSON object of texts; or the table of them, with the row's key as its first column, then `key` and `value`."""
    newest: Any = None
    """Falls in the order that nobody asked for, where the key does not grow with time."""


@dataclass(frozen=True, slots=True)
class Query:
    """What of a list is wanted. Without an order: newest first."""

    limit: int
    where: Filter | None = None
    order: Sequence[tuple[str, bool]] = ()
    """Field, and whether it falls."""
    position: Sequence[Any] = ()
    """Of the last row that the client has: the values of the order's fields, then the key."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows in order; `next_position` is empty on the last page."""

    rows: Sequence[T]
    next_position: Sequence[Any] = field(default=())


def lies_in(table: sa.Table, project: str, location: str) -> Any:
    """Whether a row is of that project, and of that location unless it is EVERYWHERE."""
    of_project = table.c.project == project
    return of_project if location == EVERYWHERE else sa.and_(of_project, table.c.location == location)


def find(connection: sa.Connection, select: sa.Select[Any], fields: Fields, query: Query) -> Page[Any]:
    """The page of `select` that `query` asks for; InvalidArgument if it names a field that is not among `fields`."""
    if query.where is not None:
        select = select.where(_clause(query.where, fields))
    order = [(_present(_column(name, fields, "orderBy")), falls) for name, falls in query.order]
    if not order and fields.newest is not None:
        order.append((fields.newest, True))
    order.append((fields.key, order[-1][1] if order else True))
    if query.position:
        select = select.where(_behind(order, query.position))
    ordering = [column.desc() if falls else column.asc() for column, falls in order]
    if query.order or query.where is not None:
        # No index may have this order: sorts keys alone, and not rows with all that is in them.
        keys = select.with_only_columns(fields.key).order_by(*ordering).limit(query.limit + 1)
        select = select.where(fields.key.in_(keys))
    select = select.order_by(*ordering)
    marks = [column.label(f"position_{i}") for i, (column, _) in enumerate(order)]
    rows = connection.execute(select.add_columns(*marks).limit(query.limit + 1)).all()
    if len(rows) <= query.limit:
        return Page(rows)
    last = rows[query.limit - 1]
    return Page(rows[: query.limit], [getattr(last, f"position_{i}") for i in range(len(order))])


def _behind(order: Sequence[tuple[Any, bool]], position: Sequence[Any]) -> Any:
    """Rows that come after `position`: the first field in which they differ decides."""
    if len(position) != len(order):
        raise InvalidArgument.of("pageToken", "belongs to another list; start again without it")
    for (column, _), value in zip(order, position, strict=True):
        # A token can be made up by anybody who has read how one is made.
        if type(value) not in ((int, float) if _is_number(column) else (str,)):
            raise InvalidArgument.of("pageToken", "is not one of this list's; start again without it")
    choices = []
    for i, (column, falls) in enumerate(order):
        same = [earlier == value for (earlier, _), value in zip(order[:i], position[:i], strict=True)]
        choices.append(sa.and_(*same, column < position[i] if falls else column > position[i]))
    return sa.or_(*choices)


def _present(column: Any) -> Any:
    """A missing value sorts as the smallest, on every database; a column that has none keeps its index."""
    if not getattr(column, "nullable", True):
        return column
    return sa.func.coalesce(column, 0 if _is_number(column) else "")


def _is_number(column: Any) -> bool:
    return isinstance(column.type, sa.Float | sa.Integer)


def _clause(where: Filter, fields: Fields) -> Any:
    if isinstance(where, And):
        return sa.and_(*[_clause(part, fields) for part in where.parts])
    if isinstance(where, Or):
        return sa.or_(*[_clause(part, fields) for part in where.parts])
    if isinstance(where, Not):
        return sa.not_(sa.func.coalesce(_clause(where.part, fields), sa.false()))
    return _compare(where, fields)


def _compare(comparison: Comparison, fields: Fields) -> Any:
    if _is_label(comparison.field, fields) and isinstance(fields.labels, sa.Table):
        return _compare_label(comparison, fields.key, fields.labels)
    return _holds(_column(comparison.field, fields, "filter"), comparison)


def _compare_label(comparison: Comparison, key: Any, labels: sa.Table) -> Any:
    """By the rows that have such a label, which its index knows."""
    if comparison.operator == "!=":
        return sa.not_(_compare_label(replace(comparison, operator="="), key, labels))
    owner, name, value = labels.columns
    having = sa.select(owner).where(name == _label_key(comparison.field), _holds(value, comparison))
    return key.in_(having)


def _holds(column: Any, comparison: Comparison) -> Any:
    value, operator = comparison.value, comparison.operator
    if operator == ":":
        if value == "*":
            return column.is_not(None)
        if _is_number(column):
            raise InvalidArgument.of("filter", f"{comparison.field} is no text to look into; compare it with < or >")
        return column.ilike(_pattern(str(value)), escape=_ESCAPE)
    if operator == "!=":
        return sa.or_(column != value, column.is_(None))
    compare = {"=": column == value, "<": column < value, "<=": column <= value, ">": column > value}
    return compare.get(operator, column >= value)


def _pattern(value: str) -> str:
    """`*` stands for anything; `%` and `_` for themselves. Without a `*`: anywhere in the text."""
    literal = value.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
    return literal.replace("*", "%") if "*" in literal else f"%{literal}%"


def _column(name: str, fields: Fields, argument: str) -> Any:
    if _is_label(name, fields):
        if not isinstance(fields.labels, sa.Table):
            return fields.labels[_label_key(name)].as_string()
        owner, key, value = fields.labels.columns
        return sa.select(value).where(owner == fields.key, key == _label_key(name)).scalar_subquery()
    if name not in fields.columns:
        known = ", ".join([*fields.columns, *(["labels.KEY"] if fields.labels is not None else [])])
        raise InvalidArgument.of(argument, f"there is no field {name!r} to look at; known: {known}")
    return fields.columns[name]


def _is_label(name: str, fields: Fields) -> bool:
    return name.startswith(_LABELS) and fields.labels is not None


def _label_key(name: str) -> str:
    return name.removeprefix(_LABELS)
