"""Where users' collections are kept, and how one of them is found by somebody who wants to change it."""

from edges.errors import Conflict, NotFound
from edges.registry import Registry, Site
from edges.seams import WritableCatalogue
from gateway.contributed.book import Book
from gateway.contributed.model import Collection, Forbidden
from gateway.principal import Principal
from gateway.search.access import Access


class Ground:
    """The book of collections, and the one site that holds them."""

    def __init__(self, *, book: Book, registry: Registry, access: Access) -> None:
        self.book = book
        self._registry = registry
        self._access = access

    @property
    def site(self) -> Site:
        """Return the site."""
        site = self._registry.get(self.book.site)
        if site is None:
            raise LookupError(f"there is no site {self.book.site}")
        return site

    @property
    def catalogue(self) -> WritableCatalogue:
        """Return its catalogue."""
        return self.site.catalogue

    async def told_anew(self) -> None:
        """Let the sites' registry know the collections as they are now."""
        site = self.site
        site.learn(site.claimed, await site.catalogue.collections())

    def check_free(self, name: str) -> None:
        """Check that no site tells of a collection of this name.

        Raises:
            Conflict: one does.
        """
        for site in self._registry.sites():
            if site.id != self.book.site and name in (site.collection_ids or ()):
                raise Conflict(f"the id {name!r} is taken; choose another one")

    def seen(self, record: Collection | None, name: str, principal: Principal) -> Collection:
        """Return a collection's record, where it is a user's and seen.

        Raises:
            NotFound: it is not seen.
            Forbidden: it is a site's.
        """
        if record is not None and (record.readable(principal) or principal.admin):
            return record
        sight = self._access.sight(principal)
        if record is None and any(
            name in (site.collection_ids or ()) and sight.sees(site.id, name) for site in self._registry.sites()
        ):
            raise Forbidden(f"collection {name!r} is not a user's own: it is changed where it is held")
        raise NotFound(f"no site tells of a collection {name!r}")
