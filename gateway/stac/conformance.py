"""What the gateway guarantees, whatever its sites can do: all of it is evaluated here where a site does not."""

from edges.stac.aggregation import AGGREGATION_CONFORMANCE, OWN_CLASS
from edges.stac.documents import CONFORMANCE as OF_ITEMS

_API = "https://api.stacspec.org"
_COLLECTION_SEARCH = (
    f"{_API}/v1.0.0-rc.1/collection-search",
    f"{_API}/v1.0.0-rc.1/collection-search#free-text",
    f"{_API}/v1.0.0-rc.1/collection-search#advanced-free-text",
    f"{_API}/v1.0.0-rc.1/collection-search#query",
    f"{_API}/v1.0.0-rc.1/collection-search#filter",
    f"{_API}/v1.0.0-rc.1/collection-search#fields",
    f"{_API}/v1.0.0-rc.1/collection-search#sort",
    f"{_API}/v1.1.0/collection-search#sort",
    f"{_API}/v1.1.0/collection-search#sortables",
)
_CHILDREN = (
    f"{_API}/v1.0.0-rc.2/children",
    f"{_API}/v1.0.0-rc.2/children#type-filter",
    f"{_API}/v1.0.0/children",
    f"{_API}/v1.0.0/children#type-filter",
)
_CATALOGUES = (
    f"{_API}/v1.0.0-rc.2/multi-tenant-catalogs",
    f"{_API}/v1.0.0-rc.2/multi-tenant-catalogs/search",
)

OF_A_CATALOGUE: tuple[str, ...] = (
    *OF_ITEMS, *_COLLECTION_SEARCH, *_CHILDREN, *AGGREGATION_CONFORMANCE, OWN_CLASS
)  # fmt: skip
"""Of one site's catalogue."""

CONFORMANCE: tuple[str, ...] = (*OF_A_CATALOGUE, *_CATALOGUES)
"""Of the whole lake."""

OF_WRITING: tuple[str, ...] = (
    f"{_API}/v1.0.0/ogcapi-features/extensions/transaction",
    f"{_API}/v1.0.0/collections/extensions/transaction",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/create-replace-delete",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/update",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/features",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/optimistic-locking",
)
"""Beside these, where users keep collections of their own."""
