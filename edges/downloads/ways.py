"""The seam of ways: how an address of a site is asked."""

from collections.abc import Mapping
from typing import Protocol

from edges.model import Frozen


class Call(Frozen):
    """One request that is allowed to go out: an encoded URL, and headers that may hold the site's credentials."""

    url: str
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return "Call(...)"  # never into a log: its URL may be signed


class Way(Protocol):
    """Turns addresses of one kind into requests, with the credentials of the site and never of a user."""

    def takes(self, href: str) -> bool:
        """Tell whether this is the way for an address."""
        ...

    async def call(self, method: str, href: str) -> Call:
        """Return the request to make (``GET`` or ``HEAD``).

        Raises:
            NotFound: there is nothing that could be asked.
            SiteUnavailable, SiteMisbehaved: credentials cannot be had.
        """
        ...


class SigningWay(Way, Protocol):
    """A way whose addresses can be opened to others for a while."""

    def signed(self, method: str, href: str, *, seconds: int, disposition: str = "") -> str | None:
        """Return a URL that works without credentials for so long; None where this address cannot be signed.

        ``disposition`` is the ``Content-Disposition`` that the answer shall have.
        """
        ...
