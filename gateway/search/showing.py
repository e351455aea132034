"""What all faces that give items have in common: which copy stands now, and that nothing unsafe leaves."""

from collections.abc import Mapping, Sequence

from edges.model import Bytes, Json, Members
from edges.registry import Registry
from edges.stac.documents import item_collection
from edges.stac.hrefs import looks_unsafe
from gateway.search.merge import Group
from gateway.search.page import Page
from gateway.search.render import Preference, preference
from gateway.search.safety import made_safe


class Showing:
    """Shows what was found, by the sites' priorities and health; sites are told of what unsafe they gave."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def prefer(self, near: str | None) -> Preference:
        """Return what orders copies now, those at the site ``near`` the user first."""
        sites = self._registry.sites()
        priorities = {site.id: site.settings.priority for site in sites}
        unwell = {site.id for site in sites if site.health.status in ("degraded", "down")}
        return preference(priorities, near, unwell=unwell)

    def one(self, item: Members, group: Group) -> Members:
        """Return an item, rendered of this group, without what is unsafe."""
        (safe,) = self.safe([item], [group])
        return safe

    def safe(self, items: Sequence[Members], groups: Sequence[Group]) -> list[Members]:
        """Return items, rendered of these groups, without what is unsafe."""
        safe, left_out = made_safe(items, groups)
        self._caught(left_out)
        return safe

    def page(self, items: Sequence[Members], page: Page, *, links: Sequence[Json], told: Json) -> Bytes:
        """Return items, rendered of a page, as bytes; what is unsafe in them is left out, and told beside ``told``."""
        body = item_collection(items, links=links, matched=page.matched, extra=told)
        if not looks_unsafe(body):
            return body
        safe, left_out = made_safe(items, page.groups)
        if not left_out:
            return body
        self._caught(left_out)
        return item_collection(safe, links=links, matched=page.matched, extra=told | {"federation:unsafe": left_out})

    def _caught(self, left_out: Mapping[str, int]) -> None:
        for name, count in left_out.items():
            site = self._registry.get(name)
            if site is not None:
                site.caught("unsafe", count=count)
