"""A collection of a user's own: whose it is, and who may see, fill and share it. Pure."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from edges.errors import InvalidInput
from edges.model import Frozen
from gateway.principal import Principal
from quotas.model import Charge, is_group

Right = Literal["read", "write"]
"""What a group may do that a collection is shared with; who may write may also read."""

MAX_GROUPS = 64
"""Groups that one collection can be shared with."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")


class Forbidden(Exception):
    """The collection is seen, and this may not be done with it."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Not allowed"


class Sharing(Frozen):
    """Whom a collection is shared with: nobody, some ``groups``, or everybody who may search (``public``)."""

    public: bool = False
    groups: Mapping[str, Right] = {}

    @property
    def visibility(self) -> str:
        """Return it in one word: ``private``, ``group`` or ``public``."""
        return "public" if self.public else "group" if self.groups else "private"


class Collection(Frozen):
    """What the gateway keeps of a user's collection, beside its metadata and items.

    ``charge`` pays for ``bytes``, those of the documents of its ``items``. ``revision`` counts the changes of its
    metadata. Times in epoch seconds.
    """

    id: str
    owner: str
    charge: str
    sharing: Sharing = Sharing()
    items: int = 0
    bytes: int = 0
    revision: int = 1
    created_at: float = 0.0

    @property
    def payer(self) -> Charge:
        """Return who pays for it."""
        return Charge(group=self.charge, user=self.owner)

    @property
    def tag(self) -> str:
        """Return the entity tag of its metadata."""
        return f'"{self.revision}-{int(self.created_at * 1e6):x}"'

    def owned(self, principal: Principal | None) -> bool:
        """Tell whether it is somebody's own."""
        return principal is not None and not principal.anonymous and principal.user == self.owner

    def readable(self, principal: Principal | None) -> bool:
        """Tell whether somebody sees it; None is everybody."""
        return self.sharing.public or self.owned(principal) or bool(self._rights(principal))

    def writable(self, principal: Principal | None) -> bool:
        """Tell whether somebody may fill it."""
        return self.owned(principal) or "write" in self._rights(principal)

    def _rights(self, principal: Principal | None) -> set[Right]:
        if principal is None or principal.anonymous:
            return set()
        return {right for group, right in self.sharing.groups.items() if in_group(principal, group)}


def in_group(principal: Principal, group: str) -> bool:
    """Tell whether somebody is in a group, or in one below it."""
    return any(own == group or own.startswith(group + "/") for own in principal.groups)


def check_name(name: object) -> str:
    """Return the id of a collection that can be made.

    Raises:
        InvalidInput: it is no such id.
    """
    if not isinstance(name, str) or not _ID.fullmatch(name):
        right = "1 to 128 letters, digits and '.', '_', ':', '~', '-', the first one a letter or digit"
        raise InvalidInput("id", repr(name)[:80], right)
    return name


def check_writable(record: Collection, principal: Principal) -> None:
    """Check that somebody may fill a collection that they see.

    Raises:
        Forbidden: they may not.
    """
    if not record.writable(principal):
        raise Forbidden(f"collection {record.id!r} is not yours, and not shared with you for writing")


def check_owned(record: Collection, principal: Principal) -> None:
    """Check that somebody may change, share or remove a collection: its owner, or an administrator.

    Raises:
        Forbidden: they may not.
    """
    if not record.owned(principal) and not principal.admin:
        raise Forbidden(f"only its owner may do this with collection {record.id!r}")


def check_sharing(wanted: Sharing, now: Sharing, principal: Principal, public_role: str) -> None:
    """Check that somebody may share a collection like this; what it is ``now`` may stay.

    Raises:
        InvalidInput: a group is none, or there are too many.
        Forbidden: it would be public, and they lack the role for that; or the group is not theirs.
    """
    if (
        wanted.public
        and not now.public
        and not principal.admin
        and (not public_role or public_role not in principal.roles)
    ):
        who = f"the role {public_role!r} may" if public_role else "administrators may"
        raise Forbidden(
            f"only who has {who} make collections public".replace("who has administrators", "administrators")
        )
    if len(wanted.groups) > MAX_GROUPS:
        raise InvalidInput("groups", f"{len(wanted.groups)} of them", f"at most {MAX_GROUPS}")
    for group in wanted.groups:
        if not is_group(group):
            raise InvalidInput("groups", repr(group)[:80], "paths such as 'root/org/team'")
        if group not in now.groups and not principal.admin and not in_group(principal, group):
            raise Forbidden(f"you are not in group {group!r}; you can share with groups that you are in")
