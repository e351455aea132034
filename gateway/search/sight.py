"""What one principal sees of the sites' collections: all of it, the metadata only, or nothing. Pure.

A sight is made once for a request and goes with every query. It names what may be seen, never what may not: so what a
site tells of between the making and the asking stays unseen, and forgetting a sight shows less, not more.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, Literal, Protocol

import msgspec

from edges.model import Frozen, Json
from edges.settings import AccessRule
from gateway.principal import Principal

Degree = Literal["full", "metadata", "none"]
"""How much of a collection's items is seen. ``metadata``: items without the addresses of their data."""


class Sight(Frozen):
    """What is seen: everything, but for the sites of ``only``, of which no other collections are.

    ``bare`` are, by site and collection, the roles that are missing where the metadata only is seen. ``blind`` are
    sites of which nothing is seen since it is not known yet what they hold. ``mark`` is equal for equal sights;
    ``public``: it is what everybody sees.
    """

    only: Mapping[str, frozenset[str]] = {}
    bare: Mapping[str, Mapping[str, str]] = {}
    blind: frozenset[str] = frozenset()
    mark: str = ""
    public: bool = True

    def seen(self, site: str, held: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is seen of what a site holds; None where that is not known, and nothing is unseen."""
        only = self.only.get(site)
        if only is None:
            return held
        return only if held is None else held & only

    def sees(self, site: str, collection: str) -> bool:
        """Tell whether a site's collection is seen at all."""
        only = self.only.get(site)
        return only is None or collection in only

    def narrows(self, site: str) -> bool:
        """Tell whether a part of a site may be unseen."""
        return site in self.only

    def whole(self, site: str) -> bool:
        """Tell whether a site's assets are all given as they are."""
        return site not in self.bare

    def present(self, site: str) -> bool:
        """Tell whether there is anything to be told of a site."""
        return self.only.get(site) != frozenset() or site in self.blind

    def degree(self, site: str, collection: str) -> Degree:
        """Return how much of a site's collection is seen."""
        if not self.sees(site, collection):
            return "none"
        return "metadata" if collection in self.bare.get(site, ()) else "full"

    def role(self, site: str, collection: str) -> str:
        """Return the role that is missing for a collection's data; empty where none is."""
        return self.bare.get(site, {}).get(collection, "")

    def with_data(self) -> "Sight":
        """Return this sight less what has no data in it: for who comes for the data."""
        only = dict(self.only)
        for site, names in self.bare.items():
            only[site] = only.get(site, frozenset()) - names.keys()
        return _marked(msgspec.structs.replace(self, only=only, bare={}))

    def without(self, site: str) -> "Sight":
        """Return this sight less all of a site."""
        return _marked(msgspec.structs.replace(self, only={**self.only, site: frozenset()}))


EVERYTHING = Sight()
"""The sight where nothing is restricted."""


class SharedCollection(Protocol):
    """A collection of a user's own, as far as it matters who sees it."""

    @property
    def id(self) -> str:
        """Return its id."""
        ...

    def readable(self, principal: Principal | None) -> bool:
        """Tell whether somebody sees it; None is everybody."""
        ...

    def owned(self, principal: Principal | None) -> bool:
        """Tell whether it is somebody's own."""
        ...


class HeldCollections(Frozen):
    """What planning a sight needs of a site that restricts: its ``rules``, and its ``collections`` as it tells them.

    ``collections`` is None while nothing is known. ``believes``: their own member ``scope`` asks for roles too.
    """

    site: str
    rules: tuple[AccessRule, ...]
    believes: bool
    collections: tuple[Json, ...] | None


def sight_of(
    principal: Principal | None,
    *,
    held: Sequence[HeldCollections] = (),
    shared: Mapping[str, Iterable[SharedCollection]] | None = None,
    open_roles: frozenset[str] = frozenset(),
    clashes: frozenset[str] = frozenset(),
) -> Sight:
    """Return what a principal sees; None is everybody, who has the ``open_roles`` only.

    ``shared`` are the collections of users, by the site that holds them: of such a site nothing else is seen. Those of
    ``clashes`` have ids that a site has come to use, too: their owners alone see them, so that nobody's items pass for
    the site's.
    """
    roles = open_roles | frozenset(() if principal is None else principal.roles)
    only: dict[str, frozenset[str]] = {}
    bare: dict[str, Mapping[str, str]] = {}
    blind: set[str] = set()
    for site in held:
        if site.collections is None:
            if not (site.believes or any(rule.role not in roles for rule in site.rules)):
                continue
            only[site.site] = frozenset()
            blind.add(site.site)
            continue
        seen, lacking = _judged(site, roles)
        only[site.site] = seen
        if lacking:
            bare[site.site] = lacking
    for name, collections in (shared or {}).items():
        only[name] = frozenset(
            one.id for one in collections if one.readable(principal) and (one.id not in clashes or one.owned(principal))
        )
    return _marked(Sight(only=only, bare=bare, blind=frozenset(blind), public=principal is None))


def _judged(site: HeldCollections, roles: frozenset[str]) -> tuple[frozenset[str], dict[str, str]]:
    """Return the collections of a site that are seen, and those of them of which the metadata only, with the role."""
    seen: set[str] = set()
    lacking: dict[str, str] = {}
    for collection in site.collections or ():
        name = str(collection.get("id"))
        missing = [rule for rule in rules_of(name, collection, site) if rule.role not in roles]
        if any(rule.without == "nothing" for rule in missing):
            continue
        seen.add(name)
        if missing:
            lacking[name] = missing[0].role
    return frozenset(seen), lacking


def rules_of(name: str, collection: Json, site: HeldCollections) -> list[AccessRule]:
    """Return the rules that hold for a collection: the operator's, and those of its own metadata where believed.

    The member ``scope`` names roles: ``search`` is needed to see it, ``download`` to have its data (as collections of
    the Destination Earth Data Lake tell it).
    """
    found = [rule for rule in site.rules if any(fnmatchcase(name, pattern) for pattern in rule.collections)]
    scope = collection.get("scope")
    if site.believes and isinstance(scope, dict):
        found += _told(name, scope)
    return found


def _told(name: str, scope: Json) -> Iterable[AccessRule]:
    for member, without in (("search", "nothing"), ("download", "metadata")):
        role = _text(scope.get(member))
        if role:
            yield AccessRule(collections=(name,), role=role, without="nothing" if without == "nothing" else "metadata")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _marked(sight: Sight) -> Sight:
    if not sight.only and not sight.bare:
        return sight
    told = [
        sorted((site, sorted(names)) for site, names in sight.only.items()),
        sorted((site, sorted(names.items())) for site, names in sight.bare.items()),
        sorted(sight.blind),
    ]
    digest = blake2b(msgspec.json.encode(told), digest_size=12).hexdigest()
    return msgspec.structs.replace(sight, mark=digest)
