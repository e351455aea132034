"""Identities, what they may ask for, and the seam behind which they are told. Pure."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

from edges.model import Frozen
from gateway.principal import Principal, Unauthenticated
from quotas.model import is_group

Scope = Literal["read", "compute", "harvest", "admin"]
"""What a token may be restricted to. Every token may read."""

UNGROUPED = "users"
"""The group that pays for users who are in none."""


class InvalidCredentials(Unauthenticated):
    """Credentials came with the request, and they are not valid: expired, revoked, malformed or made up."""

    title = "Invalid credentials"


class Forbidden(Exception):
    """We know who asks; they may not do this."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Not allowed"


class Identity(Frozen):
    """A user as their credentials tell.

    ``charging_group`` pays unless the request names another of ``groups``. ``scopes`` restrict what the
    credentials can do; none is no restriction. ``via`` names the credentials (never their secret), so that a
    session that began with them ends with them; ``expires_at`` (epoch seconds) is when they end by themselves.
    ``roles`` are what collections may ask for.
    """

    user: str
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    admin: bool = False
    scopes: tuple[Scope, ...] = ()
    via: str = ""
    expires_at: float | None = None
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.user.strip() or not self.user.isprintable():
            raise ValueError(f"a user's name must be printable text, got {self.user!r}")
        for group in self.groups:
            if not is_group(group):
                raise ValueError(f"user {self.user}: group {group!r} is no path such as 'root/org/team'")
        if self.charging_group and self.charging_group not in self.groups:
            raise ValueError(f"user {self.user}: charging_group {self.charging_group!r} is none of their groups")


class Authenticator(Protocol):
    """Tells whose credentials these are. Several can stand side by side: tokens, identity providers."""

    async def identify(self, secret: str) -> Identity | None:
        """Return whose secret it is, or None where this authenticator does not know it.

        Raises:
            InvalidCredentials: it is one of ours, and not valid any more; the message says why.
        """
        ...

    async def recall(self, via: str) -> Identity | None:
        """Return whom these credentials told (``Identity.via``), or None if they are not valid any more."""
        ...


def principal_for(identity: Identity, wanted_group: str | None) -> Principal:
    """Return the principal of a request; ``wanted_group`` is the group that the request names to pay.

    Raises:
        Forbidden: the user is not in that group.
    """
    own = identity.charging_group or (identity.groups[0] if identity.groups else UNGROUPED)
    if wanted_group is not None and wanted_group != own and wanted_group not in identity.groups:
        groups = ", ".join(identity.groups) or own
        raise Forbidden(f"{identity.user} is not in group {wanted_group[:200]!r}; their groups: {groups}")
    return Principal(
        user=identity.user,
        groups=identity.groups,
        charging_group=own if wanted_group is None else wanted_group,
        admin=identity.admin and (not identity.scopes or "admin" in identity.scopes),
        roles=identity.roles,
    )


def wanted_group(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the group that a request names to pay: header ``X-Lakegate-Group``, or ``?group=``."""
    return headers.get("X-Lakegate-Group") or query.get("group") or None
