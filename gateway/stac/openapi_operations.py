"""Every operation that the gateway serves, as a table. Pure data."""

from typing import NamedTuple

from edges.model import Json
from edges.stac.aggregation import AGGREGATIONS, INTERVALS
from edges.stac.documents import OPENAPI_TYPE
from edges.stac.geohash import MAX_PRECISION
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, SCHEMA_TYPE
from gateway.stac.openapi_schemas import OBJECT, STRING, ref

_BOOLEAN: Json = {"type": "boolean"}
_COUNT: Json = {"type": "integer", "minimum": 1}

PARAMETERS: dict[str, tuple[str, Json]] = {
    "collections": ("Collection ids, separated by commas.", STRING),
    "ids": ("Item ids, separated by commas.", STRING),
    "bbox": ("west,south,east,north; west > east crosses the antimeridian.", STRING),
    "intersects": ("A GeoJSON geometry.", STRING),
    "datetime": ("An instant or interval (RFC 3339), `..` for an open end.", STRING),
    "limit": ("How many on a page; more than the most is clamped.", _COUNT),
    "q": ('Words to look for: `sea ice,climate`, or `+ice -sea`, AND, OR, NOT, brackets, "a phrase".', STRING),
    "sortby": ("Fields, as -datetime,+eo:cloud_cover; nulls stand last.", STRING),
    "fields": ("What to include, and with - to exclude.", STRING),
    "query": ("The Query extension, JSON.", STRING),
    "filter": ("A CQL2 filter.", STRING),
    "filter-lang": ("How the filter is written.", {"type": "string", "enum": ["cql2-text", "cql2-json"]}),
    "filter-crs": ("CRS84 only.", STRING),
    "token": ("The token of a next link.", STRING),
    "dedup": (
        "Which copies are one: the same bytes, the same product, or the same observation.",
        {"type": "string", "enum": ["none", "replica", "product", "observation"]},
    ),
    "provenance": ("Tell on each item what harmonisation changed.", _BOOLEAN),
    "strict": ("Fail if any site is missing.", _BOOLEAN),
    "require": ("Sites that must answer, separated by commas.", STRING),
    "near": ("The site whose copies stand first.", STRING),
    "type": ("Children of one type only.", {"type": "string", "enum": ["Catalog", "Collection"]}),
    "format": ("Of an export.", {"type": "string", "enum": ["ndjson", "geoparquet"]}),
    "records": (
        "What an NDJSON export tells beside the items.",
        {"type": "string", "enum": ["items", "trailer", "checkpoints"]},
    ),
    "max_items": ("Items of an export in all.", _COUNT),
    "resume": ("Where an export is to be taken up, as it told.", STRING),
}
_COUNTING: dict[str, tuple[str, Json]] = {
    "aggregations": ("What to aggregate, separated by commas: see /aggregations.", STRING),
    "datetime_frequency_interval": ("Of datetime_frequency.", {"type": "string", "enum": list(INTERVALS)}),
    **{
        f"{name}_precision": ("Characters of a geohash.", _COUNT | {"maximum": MAX_PRECISION})
        for name, one in AGGREGATIONS.items()
        if one.kind == "cells"
    },
}
PARAMETERS |= _COUNTING
_MATCHING = (
    "collections", "ids", "bbox", "intersects", "datetime", "q", "query", "filter", "filter-lang", "filter-crs",
)  # fmt: skip
_PAGING = ("limit", "token", "sortby", "fields")
_DEMANDS = ("dedup", "provenance", "strict", "require", "near")
_SEARCH = (*_MATCHING, *_PAGING, *_DEMANDS)
_ITEMS = tuple(name for name in _SEARCH if name != "collections")
_AGGREGATE = (*_MATCHING, "dedup", "strict", "require", *_COUNTING)
_EXPORT = (*_MATCHING, "sortby", "fields", *_DEMANDS, "format", "records", "max_items", "resume")


class Operation(NamedTuple):
    """One method of one path. ``answer`` is the schema of its success, ``kinds`` what it is given as."""

    path: str
    method: str
    summary: str
    answer: Json = OBJECT
    parameters: tuple[str, ...] = ()
    body: Json | None = None
    statuses: tuple[int, ...] = (200,)
    kinds: tuple[str, ...] = (JSON_TYPE,)


_GEOJSON = (GEOJSON_TYPE,)
_SCHEMA = (SCHEMA_TYPE,)
_HTML = ("text/html",)
_KEPT = (200, 304, 401, 404, 406)
_FOUND = (200, 400, 401, 404, 406, 429, 502)
_BODY = ref("SearchBody")
_EXPORTED = ("application/x-ndjson", "application/vnd.apache.parquet")
_ONE = "/collections/{collection}"

_OF_A_SCOPE = (
    Operation("/conformance", "get", "Conformance classes", ref("Conformance"), statuses=_KEPT),
    Operation("/children", "get", "Catalogues and collections below", ref("Children"), ("type",), None, (*_KEPT, 400)),
    Operation("/catalogs", "get", "Catalogues below", ref("Catalogs"), statuses=_KEPT),
    Operation("/collections", "get", "Search collections", ref("Collections"), (*_MATCHING, *_PAGING), None, _FOUND),
    Operation("/collections", "post", "Search collections", ref("Collections"), (), _BODY, (*_FOUND, 415)),
    Operation(_ONE, "get", "One collection", ref("Collection"), statuses=_KEPT),
    Operation(f"{_ONE}/items", "get", "Its items", ref("ItemCollection"), _ITEMS, None, _FOUND, _GEOJSON),
    Operation(
        f"{_ONE}/items/{{item}}",
        "get",
        "One item with its copies",
        ref("Item"),
        ("near", "provenance"),
        None,
        _FOUND,
        _GEOJSON,
    ),
    *(
        Operation(f"{root}/{what}", "get", f"{what.title()} of items", ref("Properties"), given, None, _KEPT, _SCHEMA)
        for root, given in ((_ONE, ()), ("", ("collections",)))
        for what in ("queryables", "sortables")
    ),
    *(
        Operation(f"/collections-{what}", "get", f"{what.title()} of collections", ref("Properties"), kinds=_SCHEMA)
        for what in ("queryables", "sortables")
    ),
    *(
        Operation(f"{root}/{path}", method, summary, OBJECT, parameters, body, _FOUND)
        for root in ("", _ONE)
        for path, method, summary, parameters, body in (
            ("aggregations", "get", "What can be counted of items", (), None),
            ("aggregate", "get", "Counts of items", _AGGREGATE, None),
            ("aggregate", "post", "Counts of items", (), _BODY),
        )
    ),
    Operation("/search", "get", "Search items", ref("ItemCollection"), _SEARCH, None, _FOUND, _GEOJSON),
    Operation("/search", "post", "Search items", ref("ItemCollection"), ("near",), _BODY, (*_FOUND, 415), _GEOJSON),
    Operation("/search/explain", "get", "How a search is made", OBJECT, _SEARCH, None, _FOUND),
    Operation("/search/explain", "post", "How a search is made", OBJECT, (), _BODY, _FOUND),
    Operation("/search/export", "get", "All matches as a stream", STRING, _EXPORT, None, _FOUND, _EXPORTED),
    Operation("/search/export", "post", "All matches as a stream", STRING, (), _BODY, _FOUND, _EXPORTED),
)
"""What is served of the whole lake, and again below ``/catalogs/{catalogue}``."""

_STAC = (
    Operation("/", "get", "Landing page", ref("Catalog"), statuses=_KEPT),
    Operation("/api", "get", "This description", statuses=(200, 304, 406), kinds=(OPENAPI_TYPE,)),
    Operation("/api.html", "get", "This description, for a person", STRING, statuses=(200, 304, 406), kinds=_HTML),
    Operation("/catalogs/{catalogue}", "get", "One site's catalogue", ref("Catalog"), statuses=_KEPT),
    *_OF_A_SCOPE,
    *(one._replace(path=f"/catalogs/{{catalogue}}{one.path}") for one in _OF_A_SCOPE),
)
_OF_HDA = (
    Operation("", "get", "Landing page", ref("Catalog"), statuses=(200, 304, 406)),
    Operation("/", "get", "Landing page", ref("Catalog"), statuses=(200, 304, 406)),
    Operation("/conformance", "get", "Conformance classes", ref("Conformance"), statuses=(200, 304, 406)),
    Operation("/collections", "get", "Search collections", ref("Collections"), (*_MATCHING, *_PAGING), None, _FOUND),
    Operation(_ONE, "get", "One collection", ref("Collection"), statuses=(200, 304, 404, 406)),
    Operation(f"{_ONE}/items", "get", "Its items", ref("ItemCollection"), _MATCHING, None, _FOUND, _GEOJSON),
    Operation(f"{_ONE}/items/{{item}}", "get", "One item, or an order", ref("Item"), (), None, _FOUND, _GEOJSON),
    Operation("/search", "get", "Search items", ref("ItemCollection"), (*_MATCHING, *_PAGING), None, _FOUND, _GEOJSON),
    Operation("/search", "post", "Search items", ref("ItemCollection"), (), _BODY, (*_FOUND, 415), _GEOJSON),
    *(
        Operation(f"{root}/queryables", "get", "Queryables, narrowed by values", ref("Properties"), kinds=_SCHEMA)
        for root in ("", _ONE)
    ),
    Operation(f"{_ONE}/order", "post", "Order what has to be staged", ref("Item"), (), OBJECT, _FOUND, _GEOJSON),
    Operation(f"{_ONE}/items/{{item}}", "delete", "Withdraw an order", ref("Item"), statuses=(200, 401, 404)),
    Operation("/orders", "get", "My orders", ref("ItemCollection"), statuses=(200, 401), kinds=_GEOJSON),
    Operation("/orders/{order}", "get", "One of my orders", ref("Item"), statuses=(200, 401, 404), kinds=_GEOJSON),
    Operation("/orders/{order}", "delete", "Withdraw an order", ref("Item"), statuses=(200, 401, 404)),
)
_HDA = (
    *(one._replace(path=f"/stac{version}{one.path}") for version in ("/v2", "") for one in _OF_HDA),
    Operation("/stac/collections/{collection}/items/{item}/download", "get", "A product, as version 1", STRING),
    Operation("/services", "get", "What is offered beside the data", ref("ItemCollection"), ("q",), kinds=_GEOJSON),
    Operation("/services/{service}", "get", "One service", statuses=(200, 404), kinds=_GEOJSON),
)
_OWN = (
    Operation("/sites", "get", "The sites and how they are"),
    Operation("/sites/{site}", "get", "One site", statuses=(200, 404)),
    Operation("/placement", "post", "Where to compute, and why", body=OBJECT, statuses=(200, 400)),
    Operation("/quotas/me", "get", "Where my groups' quotas stand", statuses=(200, 401)),
    Operation("/quotas/{group}", "get", "Where a group's quotas stand", statuses=(200, 401, 403)),
    Operation("/quotas/{group}/history", "get", "What was charged", statuses=(200, 401, 403)),
    Operation("/quotas/{group}/usage", "get", "What a group has used over time", statuses=(200, 400, 401, 403)),
    Operation("/quotas/waiting", "get", "What waits for my groups' quotas", statuses=(200, 401)),
    Operation("/quotas/policies", "get", "The policies", statuses=(200, 401, 403)),
    Operation("/quotas/policies/{name}", "get", "One policy", statuses=(200, 401, 403, 404)),
    Operation(
        "/quotas/policies/{name}", "put", "Create or replace a policy", body=OBJECT, statuses=(200, 201, 400, 401, 403)
    ),
    Operation("/quotas/policies/{name}", "delete", "Remove a policy", statuses=(200, 204, 401, 403, 404)),
    Operation("/quotas/grants", "get", "The grants", statuses=(200, 401, 403)),
    Operation("/quotas/grants", "post", "Grant more for a while", body=OBJECT, statuses=(201, 400, 401, 403)),
    Operation("/quotas/grants/{id}", "delete", "Take a grant back", statuses=(200, 204, 401, 403, 404)),
    Operation("/quotas/check", "post", "What a reservation would answer", body=OBJECT, statuses=(200, 400, 401)),
    Operation("/health", "get", "Whether the gateway works"),
    Operation("/livez", "get", "Whether the process lives"),
    Operation("/readyz", "get", "Whether it can serve", statuses=(200, 503)),
    Operation("/metrics", "get", "Prometheus metrics", STRING, kinds=("text/plain",)),
)
_CHANGED = (200, 400, 401, 403, 404, 412, 413, 501)
_MADE = (201, 400, 401, 403, 404, 409, 413, 422, 429, 501)
_ITEM = f"{_ONE}/items/{{item}}"
_WRITTEN = (
    Operation(_ONE, "put", "Replace my collection's metadata", ref("Collection"), (), ref("Collection"), _CHANGED),
    Operation(_ONE, "patch", "Change my collection's metadata", ref("Collection"), (), OBJECT, _CHANGED),
    Operation(_ONE, "delete", "Remove my collection and its items", statuses=(204, 401, 403, 404, 412, 501)),
    Operation(f"{_ONE}/items", "post", "Add items to my collection", ref("Item"), (), ref("Item"), _MADE, _GEOJSON),
    Operation(_ITEM, "put", "Replace an item", ref("Item"), (), ref("Item"), (*_CHANGED, 429), _GEOJSON),
    Operation(_ITEM, "patch", "Change an item", ref("Item"), (), OBJECT, (*_CHANGED, 429), _GEOJSON),
    Operation(_ITEM, "delete", "Remove an item", statuses=(204, 401, 403, 404, 412, 501)),
    Operation(f"{_ONE}/bulk", "post", "Load many items", body=STRING, statuses=(*_MADE, 408, 415)),
    Operation(f"{_ONE}/tree", "post", "Read a bucket tree", body=OBJECT, statuses=(200, 400, 401, 403, 404, 501)),
    Operation(f"{_ONE}/sharing", "get", "Whose a collection is", statuses=(200, 401, 403, 404, 501)),
    Operation(f"{_ONE}/sharing", "put", "Share my collection", body=OBJECT, statuses=(200, 400, 401, 403, 404, 501)),
    Operation("/contributed", "get", "My collections, and those shared with me", statuses=(200, 401, 501)),
)
_SIGN_IN = (
    Operation("/auth/me", "get", "Who I am here", statuses=(200, 401)),
    Operation("/auth/session", "post", "Sign a browser in with a token", body=OBJECT, statuses=(200, 401)),
    Operation("/auth/session", "delete", "Sign a browser out"),
    Operation("/auth/issuers", "get", "Who can sign users in"),
    Operation("/auth/login", "get", "Choose who signs in", STRING, kinds=_HTML),
    Operation("/auth/login/{issuer}", "get", "Go and sign in there", STRING, statuses=(303, 404), kinds=_HTML),
    Operation("/auth/callback/{issuer}", "get", "Come back from there", STRING, statuses=(303, 400), kinds=_HTML),
    Operation("/auth/logout", "post", "Sign out"),
    Operation("/auth/tokens", "get", "My API tokens", statuses=(200, 401)),
    Operation("/auth/tokens", "post", "Make an API token of my own", body=OBJECT, statuses=(201, 400, 401, 403)),
    Operation("/auth/tokens/{id}", "delete", "Revoke one of mine", statuses=(204, 401, 404)),
    Operation("/admin/tokens", "get", "The issued API tokens", statuses=(200, 401, 403)),
    Operation("/admin/tokens", "post", "Issue an API token", body=OBJECT, statuses=(201, 400, 401, 403)),
    Operation("/admin/tokens/{id}", "delete", "Revoke an API token", statuses=(200, 401, 403, 404)),
)
_PROCESSES = (
    Operation("/processes", "get", "The processes"),
    Operation("/processes/{process}", "get", "One process", statuses=(200, 404)),
    Operation(
        "/processes/{process}/execution", "post", "Start a job", body=OBJECT, statuses=(200, 201, 400, 401, 404, 429)
    ),
    Operation("/jobs", "get", "My group's jobs", statuses=(200, 401)),
    Operation("/jobs/{job}", "get", "How a job is", statuses=(200, 401, 404)),
    Operation("/jobs/{job}", "delete", "Dismiss a job", statuses=(200, 401, 404, 410)),
    Operation("/jobs/{job}/results", "get", "What a job has brought", statuses=(200, 401, 404, 410, 502)),
    Operation("/jobs/{job}/explain", "get", "Why a job is where it is", statuses=(200, 401, 404)),
    Operation(
        "/jobs/{job}/{act}", "post", "Suspend, resume, retry, approve, reject", statuses=(200, 401, 403, 404, 409)
    ),
    Operation("/harvests", "get", "My group's harvest rules", statuses=(200, 401)),
    Operation("/harvests", "post", "Make a harvest rule", body=OBJECT, statuses=(200, 201, 400, 401, 403, 422)),
    Operation("/harvests/{rule}", "get", "A harvest rule", statuses=(200, 401, 404)),
    Operation("/harvests/{rule}", "patch", "Change a harvest rule", body=OBJECT, statuses=(200, 400, 401, 404, 410)),
    Operation("/harvests/{rule}", "delete", "End a harvest rule", statuses=(200, 401, 404, 410)),
    Operation("/harvests/{rule}/items", "get", "The copies of a rule", statuses=(200, 400, 401, 404)),
    Operation("/harvests/{rule}/explain", "get", "Why a rule is where it is", statuses=(200, 401, 404)),
    Operation(
        "/harvests/{rule}/{act}", "post", "Suspend, resume, retry, approve, reject", statuses=(200, 401, 403, 404, 409)
    ),
    Operation("/harvests/audits", "get", "The latest audits", statuses=(200, 401, 403)),
    Operation("/harvests/audits", "post", "Audit an edge's copies", body=OBJECT, statuses=(201, 400, 401, 403)),
    Operation("/harvests/audits/{audit}", "get", "An audit and its report", statuses=(200, 401, 403, 404)),
    Operation("/harvests/deliveries", "get", "Events that did not reach anybody", statuses=(200, 400, 401, 403)),
    Operation("/harvest-runs/{run}/terms", "post", "How a run's workers carry", statuses=(200, 403, 410)),
    Operation("/harvest-runs/{run}/{verb}", "post", "An act of a far worker", statuses=(200, 400, 403, 404, 409, 410)),
)
_CLUSTER = "/api/v1/clusters/{name}"
_GATEWAY = (
    Operation("/api/health", "get", "Dask Gateway: whether it works"),
    Operation("/api/version", "get", "Dask Gateway: its version"),
    Operation("/api/v1/options", "get", "Dask Gateway: options of clusters", statuses=(200, 401)),
    Operation("/api/v1/clusters/", "get", "Dask Gateway: my clusters", statuses=(200, 401)),
    Operation("/api/v1/clusters/", "post", "Dask Gateway: start a cluster", body=OBJECT, statuses=(201, 401, 429)),
    Operation(_CLUSTER, "get", "Dask Gateway: a cluster", statuses=(200, 401, 404)),
    Operation(_CLUSTER, "delete", "Dask Gateway: stop a cluster", statuses=(204, 401, 404)),
    Operation(f"{_CLUSTER}/scale", "post", "Dask Gateway: scale a cluster", body=OBJECT, statuses=(200, 401, 404)),
    Operation(f"{_CLUSTER}/adapt", "post", "Dask Gateway: let it scale", body=OBJECT, statuses=(200, 401, 404)),
    Operation("/clusters/{name}/{path}", "get", "Dask Gateway: its dashboard", STRING, statuses=(200, 401, 404)),
)
_DASK = (
    *_GATEWAY,
    *(one._replace(path=f"/dask/{{edge}}{one.path}", summary=f"{one.summary}, at one edge") for one in _GATEWAY),
    Operation("/bridges.json", "get", "The Dask Gateways of all edges"),
)
_SLICE = "/edges/{edge}/slices/{id}"
_SLICES = (
    Operation("/edges/{edge}/tunnel", "get", "Where an edge that dials out only holds websockets", statuses=(101, 403)),
    Operation("/edges/{edge}/slices", "get", "The slices of quota that an edge holds", statuses=(200, 401, 404)),
    Operation(_SLICE, "put", "Set a slice of quota aside", body=OBJECT, statuses=(200, 201, 400, 401, 404, 429)),
    Operation(f"{_SLICE}/renew", "post", "Keep a slice for longer", body=OBJECT, statuses=(200, 400, 401, 404)),
    Operation(f"{_SLICE}/settle", "post", "Tell what was spent of a slice", body=OBJECT, statuses=(200, 400, 401, 404)),
)
_DATA = (
    Operation(
        "/data/{site}/{collection}/{item}/{asset}",
        "get",
        "Download an asset, whole or by range",
        STRING | {"format": "binary"},
        statuses=(200, 206, 304, 307, 401, 403, 404, 412, 416, 422, 429, 502, 503),
        kinds=("*/*",),
    ),
    Operation(
        "/access", "post", "Signed addresses or short-lived keys of items", body=OBJECT,
        statuses=(200, 400, 401, 403, 422, 429, 502, 503),
    ),
)  # fmt: skip
_ORDER_ROOTS = ("BatchOrder", "BatchOrders")
_PRODUCTION_ROOTS = ("ProductionOrder", "ProductionOrders")
_FILE = "BatchOrder({order})/Product({product})"
_HOOK = (
    Operation("/odata/v1/Workflows", "get", "HOOK: what can be ordered", statuses=(200, 400, 401)),
    *(
        Operation(f"/odata/v1/{root}", "get", f"HOOK: one's {what}", statuses=(200, 400, 401))
        for roots, what in ((_ORDER_ROOTS, "batch orders"), (_PRODUCTION_ROOTS, "production orders"))
        for root in roots
    ),
    *(
        Operation(f"/odata/v1/{root}({{order}})", "get", "HOOK: an order", statuses=(200, 401, 404))
        for root in (*_ORDER_ROOTS, *_PRODUCTION_ROOTS)
    ),
    *(
        Operation(f"/odata/v1/{path}", "get", summary, statuses=(200, 401, 404))
        for path, summary in (
            ("BatchOrder({order})/Products", "HOOK: the products of a batch order"),
            (_FILE, "HOOK: one of them"),
            ("ProductionOrder({order})/Product", "HOOK: the product of an order"),
        )
    ),
    *(
        Operation(f"/odata/v1/{path}/$value", "get", "HOOK: its file", STRING, statuses=(302, 401, 404))
        for path in (_FILE, "ProductionOrder({order})/Product")
    ),
    *(
        Operation(f"/odata/v1/{root}/OData.CSC.{act}", "post", summary, body=OBJECT, statuses=(success, 400, 401, 429))
        for root in ("BatchOrder", "ProductionOrder")
        for act, summary, success in (("Order", "HOOK: order", 201), ("EstimateCost", "HOOK: what it would cost", 200))
    ),
    *(
        Operation(f"/odata/v1/{root}({{order}})/OData.CSC.Cancel", "post", "HOOK: cancel", statuses=(200, 401, 404))
        for root in ("BatchOrder", *_PRODUCTION_ROOTS)
    ),
    Operation(
        "/odata/v1/tmp-storage/{order}/{name}", "get", "HOOK: an archive, by its signed link",
        STRING | {"format": "binary"}, statuses=(200, 401, 404, 410), kinds=("application/zip",),
    ),
)  # fmt: skip
_KERNEL = "/api/kernels/{id}"
_JUPYTER = (
    Operation("/api/kernelspecs", "get", "Jupyter: the kernels that can be started", statuses=(200, 401)),
    Operation("/api/kernelspecs/{name}", "get", "Jupyter: one of them", statuses=(200, 401, 404)),
    Operation("/kernelspecs/{name}/{path}", "get", "Jupyter: its logo", STRING, statuses=(200, 404)),
    Operation("/api/kernels", "get", "Jupyter: my kernels", statuses=(200, 401)),
    Operation("/api/kernels", "post", "Jupyter: start a kernel", body=OBJECT, statuses=(201, 401, 429)),
    Operation(_KERNEL, "get", "Jupyter: a kernel", statuses=(200, 401, 404)),
    Operation(_KERNEL, "delete", "Jupyter: stop a kernel", statuses=(204, 401, 404)),
    Operation(f"{_KERNEL}/interrupt", "post", "Jupyter: interrupt a kernel", statuses=(204, 401, 404)),
    Operation(f"{_KERNEL}/restart", "post", "Jupyter: restart a kernel", statuses=(200, 401, 404)),
    Operation(f"{_KERNEL}/channels", "get", "Jupyter: a kernel's websocket", statuses=(101, 401, 404)),
)

OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "STAC": _STAC,
    "Users' collections": _WRITTEN,
    "Harmonised Data Access": _HDA,
    "Data": _DATA,
    "Lakegate": (*_OWN, *_SLICES),
    "Sign-in": _SIGN_IN,
    "Processes": _PROCESSES,
    "HOOK": _HOOK,
    "Dask Gateway": _DASK,
    "Jupyter": _JUPYTER,
}
"""All operations, by what they belong to."""
