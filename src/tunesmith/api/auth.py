"""Who is asking: a principal with a project and a role, from a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from tunesmith.errors import PermissionDenied

Role = Literal["viewer", "tuner", "admin"]
_ROLES: tuple[Role, ...] = ("viewer", "tuner", "admin")


@dataclass(frozen=True)
class Principal:
    """Somebody who may act in one project, or in every one (None)."""

    project: str | None
    role: Role

    def check(self, project: str | None, role: Role) -> None:
        """PermissionDenied unless this principal has at least the role in the project (None: in any)."""
        if self.project is not None and project is not None and self.project != project:
            raise PermissionDenied(f"this key is for project {self.project!r}, not {project!r}; use one of the other's")
        if _ROLES.index(self.role) < _ROLES.index(role):
            raise PermissionDenied(f"this needs the role {role!r}, and the key has {self.role!r}; ask an admin")


async def principal(request: Request) -> Principal:
    """Everybody may do everything."""
    return Principal(None, "admin")
