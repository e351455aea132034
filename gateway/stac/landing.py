"""The catalogues as documents: the landing page of the lake, those of its sites, and what is below them. Pure."""

from collections.abc import Iterable, Sequence

from edges.model import Frozen, Json
from edges.stac.aggregation_document import aggregation_links
from edges.stac.documents import STAC_VERSION, entry_links
from edges.stac.links import SCHEMA_TYPE, SORTABLES_REL, link, url_of
from gateway.stac.conformance import CONFORMANCE, OF_A_CATALOGUE
from gateway.stac.scope import Scope

KINDS = ("Catalog", "Collection")


class SiteTold(Frozen):
    """What landing pages tell of a site."""

    id: str
    title: str
    kind: str


def landing_page(scope: Scope, sites: Sequence[SiteTold], collections: Iterable[Json]) -> Json:
    """Return the landing page of the whole lake (STAC API Core)."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "lakegate",
        "title": "Lakegate",
        "description": "One catalogue over many data lakes.",
        "conformsTo": list(CONFORMANCE),
        "links": [
            *_links(scope),
            link("catalogs", scope.url("catalogs"), title="The sites, each as a catalogue of its own"),
            *(link("child", scope.url("catalogs", site.id), title=site.title) for site in sites),
            *_children(scope, collections),
        ],
    }


def catalogue(scope: Scope, site: SiteTold, collections: Iterable[Json]) -> Json:
    """Return the landing page of one site's catalogue (Multi-Tenant Catalogs rc.2)."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": site.id,
        "title": site.title,
        "description": f"What the {site.kind} {site.title} holds, in harmonised words.",
        "conformsTo": list(OF_A_CATALOGUE),
        "federation:backends": [site.id],
        "links": [
            *_links(scope),
            link("parent", url_of(scope.base), title="Lakegate"),
            *_children(scope, collections),
        ],
    }


def _links(scope: Scope) -> list[Json]:
    return [
        *entry_links(scope.url(), root=scope.base, described=scope.base),
        link("children", scope.url("children")),
        link(SORTABLES_REL, scope.url("sortables"), SCHEMA_TYPE),
        *aggregation_links(scope.url()),
    ]


def _children(scope: Scope, collections: Iterable[Json]) -> list[Json]:
    return [
        link("child", scope.url("collections", one["id"]), title=str(one.get("title") or one["id"]))
        for one in collections
    ]


def catalogues_page(scope: Scope, catalogues: Sequence[Json]) -> Json:
    """Return the catalogues below one, on one page."""
    return {
        "catalogs": list(catalogues),
        "links": [
            link("self", scope.url("catalogs")),
            link("root", url_of(scope.base)),
            link("parent", scope.url()),
        ],
        "numberMatched": len(catalogues),
        "numberReturned": len(catalogues),
    }


def children_page(scope: Scope, children: Iterable[Json], kind: str | None) -> Json:
    """Return what is directly below a catalogue (Children rc.2), all or of one ``type``, on one page."""
    own = scope.url("children")
    return {
        "children": [one for one in children if kind in (None, one["type"])],
        "links": [
            link("self", own if kind is None else f"{own}?type={kind}"),
            link("root", url_of(scope.base)),
            link("parent", scope.url()),
        ],
    }
