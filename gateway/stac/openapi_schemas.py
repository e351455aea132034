"""The shapes of requests and answers, as JSON Schema 2020-12 for the OpenAPI description. Pure data."""

from edges.model import Json


def ref(name: str) -> Json:
    """Return a reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


STRING: Json = {"type": "string"}
OBJECT: Json = {"type": "object"}
_STRINGS: Json = {"type": "array", "items": STRING}
_INTEGER: Json = {"type": "integer", "minimum": 0}
_LINKS: Json = {"type": "array", "items": ref("Link")}


def _object(required: tuple[str, ...] = (), /, **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


def _page(member: str, of: str) -> Json:
    counts = {"numberMatched": _INTEGER, "numberReturned": _INTEGER}
    return _object((member, "links"), **{member: {"type": "array", "items": ref(of)}}, links=_LINKS, **counts)


def _all(*parts: Json) -> Json:
    return {"allOf": list(parts)}


_FEDERATED: Json = _object(
    **{
        "federation": {"type": "object", "additionalProperties": OBJECT, "description": "Each site, by its id."},
        "federation:missing": _STRINGS | {"description": "Sites whose part is missing."},
    }
)
_CQL2: Json = {"description": "CQL2 JSON, or text.", "oneOf": [OBJECT, STRING]}
_SORTBY = _object(("field",), field=STRING, direction={"enum": ["asc", "desc"]})

SCHEMAS: dict[str, Json] = {
    "Link": _object(("rel", "href"), rel=STRING, href=STRING, type=STRING, title=STRING, method=STRING, body=OBJECT),
    "Problem": _object(
        ("title", "status"),
        type=STRING,
        title=STRING,
        status={"type": "integer"},
        detail=STRING,
        field=STRING | {"description": "The parameter or member that is wrong."},
        wrong=STRING,
        expected=STRING,
    ),
    "Conformance": _object(("conformsTo",), conformsTo=_STRINGS),
    "Catalog": _object(
        ("type", "stac_version", "id", "description", "links"),
        type={"const": "Catalog"},
        stac_version=STRING,
        id=STRING,
        title=STRING,
        description=STRING,
        conformsTo=_STRINGS,
        links=_LINKS,
    ),
    "Catalogs": _page("catalogs", "Catalog"),
    "Collection": _object(
        ("type", "stac_version", "id", "description", "license", "extent", "links"),
        **{"type": {"const": "Collection"}, "federation:backends": _STRINGS},
        stac_version=STRING,
        id=STRING,
        description=STRING,
        license=STRING,
        extent=_object(("spatial", "temporal"), spatial=OBJECT, temporal=OBJECT),
        summaries=OBJECT,
        links=_LINKS,
    ),
    "PartOfCollection": _object(id=STRING) | {"description": "A collection, or what `fields` left of it."},
    "Collections": _all(_page("collections", "PartOfCollection"), ref("Federated")),
    "Children": _object(
        ("children", "links"),
        children={"type": "array", "items": {"oneOf": [ref("Catalog"), ref("Collection")]}},
        links=_LINKS,
    ),
    "Federated": _FEDERATED,
    "Item": _object(
        ("type", "stac_version", "id", "collection", "geometry", "properties", "links", "assets"),
        type={"const": "Feature"},
        stac_version=STRING,
        id=STRING,
        collection=STRING,
        geometry={"type": ["object", "null"]},
        bbox={"type": "array", "items": {"type": "number"}},
        properties=OBJECT,
        links=_LINKS,
        assets={"type": "object", "additionalProperties": OBJECT},
    ),
    "PartOfItem": _object(type={"const": "Feature"}) | {"description": "An item, or what `fields` left of it."},
    "ItemCollection": _all(
        _page("features", "PartOfItem"), _object(("type",), type={"const": "FeatureCollection"}), ref("Federated")
    ),
    "Properties": _object(
        ("$schema", "$id", "type", "properties"),
        **{"$schema": STRING, "$id": STRING},
        type={"const": "object"},
        properties={"type": "object", "additionalProperties": OBJECT},
    ),
    "SearchBody": _object(
        **{"filter-lang": {"enum": ["cql2-json", "cql2-text"]}, "filter-crs": STRING},
        collections=_STRINGS,
        ids=_STRINGS,
        bbox={"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
        intersects=OBJECT,
        datetime=STRING,
        limit={"type": "integer", "minimum": 1},
        q={"oneOf": [_STRINGS, STRING], "description": "Words to look for; any of them."},
        query={"type": "object", "additionalProperties": OBJECT},
        filter=_CQL2,
        sortby={"type": "array", "items": _SORTBY},
        fields=_object(include=_STRINGS, exclude=_STRINGS),
        dedup={"enum": ["none", "replica", "product", "observation"]},
        provenance={"type": "boolean"},
        token=STRING,
        strict={"type": "boolean"},
        require=_STRINGS,
    ),
}
