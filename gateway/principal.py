"""Who is asking: the principal of a request, and how faces obtain it."""

from aiohttp import web

from edges.model import Frozen
from quotas.model import Charge


class Principal(Frozen):
    """A user (or the anonymous one), the groups they are in, and the one group that pays."""

    user: str
    groups: tuple[str, ...]
    charging_group: str
    anonymous: bool = False
    admin: bool = False
    roles: tuple[str, ...] = ()
    """What collections may ask for (``DPAD_Direct_Access``)."""

    @property
    def charge(self) -> Charge:
        """Return who pays for what this principal asks."""
        return Charge(group=self.charging_group, user=self.user)


class Unauthenticated(Exception):
    """No valid credentials came with the request, and the face needs them."""

    status = 401
    title = "Authentication required"


PRINCIPAL = web.RequestKey("principal", Principal)


def principal_of(request: web.Request) -> Principal:
    """Return the principal, which may be the anonymous one.

    Raises:
        Unauthenticated: nobody is known and anonymous access is off.
    """
    principal: Principal | None = request.get(PRINCIPAL)
    if principal is None:
        raise Unauthenticated("no valid token came with the request; send `Authorization: Bearer <token>`")
    return principal


def user_of(request: web.Request) -> Principal:
    """Return the principal of a request that a named user must make.

    Raises:
        Unauthenticated: the request is anonymous.
    """
    principal = principal_of(request)
    if principal.anonymous:
        raise Unauthenticated("this needs a named user; send `Authorization: Bearer <token>`")
    return principal
