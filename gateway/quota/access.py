"""Who may see what of the quotas. Pure.

A standing tells how full a limit is: it is for all whom the limit binds. History and usage tell who took what: they
are for members of the group itself or of a group above it; members of groups below see their own lines.
"""

from typing import ClassVar

from gateway.principal import Principal
from quotas.model import EVERYONE, is_group


class NotYourGroup(Exception):
    """The group is not the user's."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Not your group"


class AdminsOnly(Exception):
    """Only administrators may change quotas."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Administrators only"


def groups_of(principal: Principal) -> tuple[str, ...]:
    """Return the groups whose quotas bind a principal, at least one."""
    return principal.groups or (principal.charging_group,)


def admit(principal: Principal, group: str) -> str | None:
    """Return whose lines of a group's history the principal may see: None for everybody's, else one user's.

    Raises:
        NotYourGroup: the principal is neither in it, above it nor below it, nor an administrator.
    """
    own = groups_of(principal)
    if principal.admin and (group == EVERYONE or is_group(group)):
        return None
    if any(each == group or group.startswith(each + "/") for each in own):
        return None
    if any(each.startswith(group + "/") for each in own):
        return principal.user
    raise NotYourGroup(f"{principal.user} is not in group {group[:200]!r}; theirs: {', '.join(own)}")


def sees(principal: Principal, group: str) -> bool:
    """Tell whether a policy or grant of this group binds the principal, or may be seen by an administrator."""
    return (
        principal.admin
        or group == EVERYONE
        or any(
            own == group or own.startswith(group + "/") or group.startswith(own + "/") for own in groups_of(principal)
        )
    )


def check_admin(principal: Principal) -> None:
    """Check that the principal may change quotas.

    Raises:
        AdminsOnly: they may not.
    """
    if not principal.admin:
        raise AdminsOnly("only administrators of the gateway may change policies and grants")
