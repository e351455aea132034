"""The seam of access: who may have the data of an item."""

from typing import Protocol

from edges.model import Members
from gateway.principal import Principal


class Access(Protocol):
    """Decides for one principal. What may not even be seen is :class:`edges.errors.NotFound`, as if it were not there.

    Found items are kept for a while, and shared by all whose ``view`` is the same: it must differ wherever the same
    request could find something else. ``check`` is asked for each download, also of an item that was kept.
    """

    def view(self, principal: Principal) -> str:
        """Return what the principal's sight of the catalogue depends on."""
        ...

    async def check(self, principal: Principal, *, site: str, collection: str, item: Members) -> None:
        """Let pass, or raise.

        Raises:
            NotFound: the principal may not see the item.
            DataRefused: it may be seen, its data may not be had (:class:`gateway.search.access.DataRefused`).
        """
        ...


class OpenAccess:
    """Implements :class:`Access`: all that is in the catalogue is for all who may come in."""

    def view(self, principal: Principal) -> str:
        return ""

    async def check(self, principal: Principal, *, site: str, collection: str, item: Members) -> None:
        return
