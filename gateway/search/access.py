"""Who sees what, kept for whoever asks again: sights are made anew only where something they follow from changed."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from edges.errors import NotFound
from edges.model import Json, Members
from edges.registry import Registry
from gateway.principal import Principal
from gateway.search.sight import EVERYTHING, Degree, HeldCollections, SharedCollection, Sight, sight_of
from gateway.search.withholding import Address

_KEPT = 4_096
"""Sights remembered: one for each set of roles, groups and user who asked lately."""


class DataRefused(Exception):
    """The metadata may be seen, and the data not; the message names the role that is missing."""

    status = 403
    title = "A role is missing"


class SharedBook(Protocol):
    """The collections of users: ``site`` holds them, and ``changes`` is another number once who sees them changed.

    Everything of that site that the book does not tell of is seen by nobody.
    """

    @property
    def site(self) -> str:
        """Return the id of the site."""
        ...

    @property
    def changes(self) -> int:
        """Return how often anything changed."""
        ...

    def shared(self) -> Iterable[SharedCollection]:
        """Return all collections."""
        ...


_Who = tuple[str, bool, tuple[str, ...], tuple[str, ...]]
_Since = tuple[int, tuple[tuple[Json, ...] | None, ...]]


class Access:
    """Tells what principals see. Where no site asks for a role and no user has collections, it costs nothing.

    ``address`` gives the address of a download, for items whose data is withheld. ``open_roles`` are everybody's.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        book: SharedBook | None = None,
        address: Address | None = None,
        open_roles: Iterable[str] = (),
    ) -> None:
        self._registry = registry
        self._book = book
        self.address: Address = address or _no_address
        self._open_roles = frozenset(open_roles)
        self._since: _Since | None = None
        self._looked: _Since | None = None
        self._told_too: frozenset[str] = frozenset()
        self._clashes: frozenset[str] = frozenset()
        self._kept: OrderedDict[_Who | None, Sight] = OrderedDict()

    def keep(self, book: SharedBook) -> None:
        """Enforce what a book of users' collections says, from now on."""
        self._book = book
        self._since = None

    @property
    def restricts(self) -> bool:
        """Tell whether there is anything that only some see."""
        return self._book is not None or any(
            site.settings.access or site.settings.scope_roles for site in self._registry.sites()
        )

    def sight(self, principal: Principal | None) -> Sight:
        """Return what somebody sees; None is everybody."""
        guarded = [site for site in self._registry.sites() if site.settings.access or site.settings.scope_roles]
        book = self._book
        if not guarded and book is None:
            return EVERYTHING
        clashes = self._clashing(book)
        since: _Since = (0 if book is None else book.changes, tuple(site.collections for site in guarded))
        if not _same(self._since, since) or clashes != self._clashes:
            self._since, self._clashes = since, clashes
            self._kept.clear()
        who = _who(principal)
        kept = self._kept.get(who)
        if kept is not None:
            return kept
        held = [
            HeldCollections(
                site=site.id,
                rules=site.settings.access,
                believes=site.settings.scope_roles,
                collections=site.collections,
            )
            for site in guarded
        ]
        shared = {} if book is None else {book.site: book.shared()}
        made = sight_of(principal, held=held, shared=shared, open_roles=self._open_roles, clashes=clashes)
        self._kept[who] = made
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made

    def for_harvests(self) -> Sight:
        """Return what harvests bring: data that everybody may have, and none that users contribute.

        Harvests fetch from where the gateway can, and users write addresses as they like.
        """
        sight = self.sight(None).with_data()
        book = self._book
        return sight if book is None else sight.without(book.site)

    def _clashing(self, book: SharedBook | None) -> frozenset[str]:
        """Return the ids of users' collections that a site has since come to tell of, too."""
        if book is None:
            return frozenset()
        others = [site.collections for site in self._registry.sites() if site.id != book.site]
        looked: _Since = (book.changes, tuple(others))
        if not _same(self._looked, looked):
            self._looked = looked
            ids = frozenset(one.id for one in book.shared())
            told = [site.collection_ids or frozenset() for site in self._registry.sites() if site.id != book.site]
            self._told_too = frozenset().union(*(ids & each for each in told))
        return self._told_too

    def visible(self, principal: Principal | None, site: str, collection: str) -> Degree:
        """Tell how much of a site's collection somebody sees: ``full``, ``metadata`` or ``none``."""
        return self.sight(principal).degree(site, collection)

    def check_data(self, principal: Principal | None, site: str, collection: str) -> bool:
        """Tell whether a collection is seen at all; where it is not, it is to be answered as if it were not there.

        Raises:
            DataRefused: its metadata is seen, and a role is missing for its data.
        """
        sight = self.sight(principal)
        role = sight.role(site, collection)
        if role and sight.sees(site, collection):
            raise DataRefused(f"the data of {collection} asks for the role {role!r}, which you have not")
        return sight.sees(site, collection)

    def view(self, principal: Principal | None) -> str:
        """Return what is equal for principals who see the same."""
        return self.sight(principal).mark

    async def check(self, principal: Principal, *, site: str, collection: str, item: Members) -> None:
        """Let the data of an item pass; see :class:`gateway.data.access.Access`.

        Raises:
            NotFound: the item is not seen.
            DataRefused: a role is missing for its data.
        """
        if not self.check_data(principal, site, collection):
            raise NotFound(f"no site has this item in a collection {collection!r}")


def _who(principal: Principal | None) -> _Who | None:
    if principal is None:
        return None
    return (principal.user, principal.anonymous, principal.groups, principal.roles)


def _same(one: _Since | None, other: _Since) -> bool:
    """Tell whether nothing changed; collections are compared by identity, since they are told anew as a whole."""
    return (
        one is not None
        and one[0] == other[0]
        and len(one[1]) == len(other[1])
        and all(a is b for a, b in zip(one[1], other[1], strict=True))
    )


def _no_address(site: str, collection: str, item: str, asset: str) -> str:
    return ""
