"""What a request is about: the whole lake, or one site's catalogue in it. Pure."""

from edges.model import Frozen, Json
from edges.stac.aggregation_document import aggregation_links
from edges.stac.links import GEOJSON_TYPE, QUERYABLES_REL, SCHEMA_TYPE, SORTABLES_REL, link, url_of
from gateway.search.sight import Sight


class Scope(Frozen):
    """``base`` is the gateway's public URL. ``site`` is None for the whole lake.

    ``sight`` is what is seen of it; None is what everybody sees.
    """

    base: str
    site: str | None = None
    sight: Sight | None = None

    def url(self, *steps: str) -> str:
        """Return an address within the scope."""
        return url_of(self.base, *(() if self.site is None else ("catalogs", self.site)), *steps)

    @property
    def sites(self) -> tuple[str, ...] | None:
        """Return the sites to ask, None for all."""
        return None if self.site is None else (self.site,)

    def collection_links(self, name: str) -> list[Json]:
        """Return the links of a collection; its one parent is where it was come from (Multi-Tenant Catalogs rc.2)."""
        own = self.url("collections", name)
        links = [
            link("self", own),
            link("root", url_of(self.base)),
            link("parent", self.url()),
            link("items", f"{own}/items", GEOJSON_TYPE),
            link(QUERYABLES_REL, f"{own}/queryables", SCHEMA_TYPE),
            link(SORTABLES_REL, f"{own}/sortables", SCHEMA_TYPE),
            *aggregation_links(own),
        ]
        return links if self.site is None else [*links, link("canonical", url_of(self.base, "collections", name))]
