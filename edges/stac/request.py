"""A search as it comes in, by GET or by POST, to the one :class:`edges.model.Query`; and back to a POST body.

Follows STAC API 1.0.0 Item Search, Sort 1.1.0, Fields 1.0.0, Query 1.0.0 and Filter 1.0.0-rc.4. Unknown
members are tolerated; a known one of the wrong type is an error that names it.
"""

from collections.abc import Mapping
from typing import Any, cast, get_args

from edges.errors import InvalidInput
from edges.model import Dedup, Fields, Frozen, Json, Query, SortKey
from edges.stac import query_extension
from edges.stac.cql2_check import check_filter, parse_filter_text
from edges.stac.datetimes import format_interval, parse_interval
from edges.stac.free_text import check_text
from edges.stac.geometry import check_box, check_geometry
from edges.stac.limits import (
    MAX_BODY_BYTES,
    MAX_IDS,
    MAX_NAME,
    MAX_SORT_KEYS,
    MAX_TOKEN,
    decode_object,
    kind_of,
)

CRS84 = frozenset({"http://www.opengis.net/def/crs/OGC/1.3/CRS84", "http://www.opengis.net/def/crs/OGC/0/CRS84h"})
"""The coordinate systems that ``filter-crs`` may name: longitude, latitude (and height)."""

_OWN_FIELDS = frozenset({"id", "collection", "geometry", "bbox", "type", "stac_version"})


class SearchRequest(Frozen):
    """A parsed search, and the page token that came with it."""

    query: Query
    token: str | None = None


def search_from_get(
    params: Mapping[str, str], *, default_limit: int, max_limit: int, default_dedup: Dedup = "replica"
) -> SearchRequest:
    """Parse the parameters of ``GET /search``. A blank parameter counts as not given.

    Raises:
        InvalidInput: naming the parameter, what was wrong and what would be right.
    """
    return search_of_body(body_of_get(params), default_limit, max_limit, default_dedup)


def body_of_get(params: Mapping[str, str]) -> Json:
    """Return the parameters of ``GET /search`` as the members of a body.

    Raises:
        InvalidInput: naming the parameter, what was wrong and what would be right.
    """
    given = {name: value for name, value in params.items() if value.strip()}
    plain = ("datetime", "q", "dedup", "token", "filter-lang", "filter-crs", "provenance")
    body: Json = {name: given[name] for name in plain if name in given}
    for name in ("collections", "ids"):
        if name in given:
            body[name] = [part.strip() for part in given[name].split(",") if part.strip()]
    if "bbox" in given:
        body["bbox"] = _numbers(given["bbox"])
    if "intersects" in given:
        body["intersects"] = decode_object("intersects", given["intersects"])
    if "query" in given:
        body["query"] = decode_object("query", given["query"])
    if "limit" in given:
        body["limit"] = _integer("limit", given["limit"])
    if "sortby" in given:
        body["sortby"] = [_signed_key(part) for part in given["sortby"].split(",") if part.strip()]
    if "fields" in params:  # a blank one asks for the default set
        body["fields"] = _signed_fields(params["fields"])
    if "filter" in given:
        lang = given.get("filter-lang", "cql2-text")
        body["filter"] = decode_object("filter", given["filter"]) if lang == "cql2-json" else given["filter"]
        body["filter-lang"] = lang
    return body


def search_from_post(
    body: bytes, *, default_limit: int, max_limit: int, default_dedup: Dedup = "replica"
) -> SearchRequest:
    """Parse the JSON body of ``POST /search``; an empty one is a search for everything.

    Raises:
        InvalidInput: naming the member, what was wrong and what would be right.
    """
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput("body", f"{len(body)} bytes", f"at most {MAX_BODY_BYTES}")
    given = decode_object("body", body) if body.strip() else {}
    return search_of_body(given, default_limit, max_limit, default_dedup)


def search_of_body(body: Json, default_limit: int, max_limit: int, default_dedup: Dedup = "replica") -> SearchRequest:
    """Read the decoded body of a search; see :func:`search_from_post`."""
    given = {name: value for name, value in body.items() if value is not None}
    if isinstance(given.get("collections"), str):  # clients forget the array around one
        given["collections"] = [given["collections"]]
    if "fields" in body and body["fields"] is None:
        raise InvalidInput("fields", "null", "an object, which may be empty, or nothing at all")
    if "bbox" in given and "intersects" in given:
        raise InvalidInput("bbox", "given together with intersects", "one of the two")
    query = Query(
        collections=_names(given, "collections"),
        ids=_names(given, "ids"),
        bbox=check_box("bbox", given["bbox"]) if "bbox" in given else None,
        intersects=check_geometry("intersects", given["intersects"]) if "intersects" in given else None,
        datetime=parse_interval(_string(given, "datetime")) if "datetime" in given else None,
        filter=_filter(given),
        text=_text(given["q"]) if "q" in given else None,
        sortby=_sortby(given.get("sortby", [])),
        fields=_fields(given["fields"]) if "fields" in given else None,
        dedup=parse_dedup(given.get("dedup", default_dedup)),
        provenance=parse_flag(given, "provenance"),
        limit=_limit(given.get("limit", default_limit), max_limit),
    )
    return SearchRequest(query=query, token=_string(given, "token", MAX_TOKEN) if "token" in given else None)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidInput("bbox", repr(text[:80]), "four or six numbers with commas between") from error


def _integer(field: str, text: str) -> int:
    try:
        return int(text[:20])
    except ValueError as error:
        raise InvalidInput(field, repr(text[:20]), "a whole number, 1 or more") from error


def _limit(value: Any, max_limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput("limit", repr(value)[:40], "a whole number, 1 or more")
    return min(value, max_limit)


def parse_dedup(value: Any) -> Dedup:
    """Return the rung of the identity ladder up to which copies are given once.

    Raises:
        InvalidInput: it is none of them.
    """
    for rung in get_args(Dedup):
        if value == rung:
            return cast("Dedup", rung)
    raise InvalidInput("dedup", repr(value)[:40], f"one of {', '.join(get_args(Dedup))}")


def parse_flag(given: Mapping[str, Any], field: str) -> bool:
    """Return a member that is true or false, false by default.

    Raises:
        InvalidInput: it is neither.
    """
    value = given.get(field) or False
    told = value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    if told is None:
        raise InvalidInput(field, repr(value)[:40], "true or false")
    return told


def _string(given: Json, field: str, most: int = MAX_NAME) -> str:
    value = given[field]
    if not isinstance(value, str) or len(value) > most:
        wrong = f"{len(value)} characters" if isinstance(value, str) else f"a JSON {kind_of(value)}"
        raise InvalidInput(field, wrong, f"a string of at most {most} characters")
    return value


def _names(given: Json, field: str) -> tuple[str, ...] | None:
    if field not in given:
        return None
    value = given[field]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidInput(field, f"a JSON {kind_of(value)}", "an array of strings")
    if len(value) > MAX_IDS:
        raise InvalidInput(field, f"{len(value)} of them", f"at most {MAX_IDS}")
    return tuple(dict.fromkeys(value))


def _text(value: Any) -> tuple[str, ...] | None:
    """Return the expressions of free text: an array by POST, one text by GET (which clients send by POST, too)."""
    expressions = [value] if isinstance(value, str) else value
    if not isinstance(expressions, list) or not all(isinstance(each, str) for each in expressions):
        raise InvalidInput("q", f"a JSON {kind_of(value)}", 'an array of strings, such as ["climate", "sea ice"]')
    return check_text(tuple(dict.fromkeys(expressions))) if expressions else None


def _signed_key(text: str) -> Json:
    # "+" arrives as a space where the client did not encode it.
    name = text.strip()
    return {"field": name.lstrip("+-").strip(), "direction": "desc" if name.startswith("-") else "asc"}


def _sortby(value: Any) -> tuple[SortKey, ...]:
    right = 'an array such as [{"field": "properties.datetime", "direction": "desc"}]'
    if not isinstance(value, list) or len(value) > MAX_SORT_KEYS:
        raise InvalidInput("sortby", repr(value)[:60], f"{right} of at most {MAX_SORT_KEYS}")
    keys: dict[str, SortKey] = {}
    for entry in value:
        field = entry.get("field") if isinstance(entry, dict) else None
        if not isinstance(field, str) or not 0 < len(field) <= MAX_NAME:
            raise InvalidInput("sortby", repr(entry)[:60], right)
        direction = entry.get("direction", "asc")
        if direction not in ("asc", "desc"):
            raise InvalidInput("sortby", f"direction {direction!r:.40}", "asc or desc")
        bare = field.removeprefix("properties.")
        name = field if bare in _OWN_FIELDS else bare
        keys.setdefault(name, SortKey(field=name, descending=direction == "desc"))
    return tuple(keys.values())


def _signed_fields(text: str) -> Json:
    parts = [part.strip() for part in text.split(",") if part.strip(" +-")]
    return {
        "include": [part.lstrip("+") for part in parts if not part.startswith("-")],
        "exclude": [part[1:] for part in parts if part.startswith("-")],
    }


def _fields(value: Any) -> Fields:
    if not isinstance(value, dict):
        raise InvalidInput("fields", f"a JSON {kind_of(value)}", 'an object {"include": [...], "exclude": [...]}')
    given = {name: paths for name, paths in value.items() if paths is not None}
    return Fields(include=_paths(given, "include"), exclude=_paths(given, "exclude"))


def _paths(value: Json, name: str) -> tuple[str, ...]:
    paths = value.get(name, [])
    if not isinstance(paths, list) or not all(isinstance(path, str) and 0 < len(path) <= MAX_NAME for path in paths):
        raise InvalidInput(f"fields.{name}", repr(paths)[:60], "an array of paths such as properties.datetime")
    if len(paths) > MAX_IDS:
        raise InvalidInput(f"fields.{name}", f"{len(paths)} paths", f"at most {MAX_IDS}")
    return tuple(dict.fromkeys(paths))


def _filter(given: Json) -> Json | None:
    tests = []
    if "filter" in given:
        crs = given.get("filter-crs")
        if crs is not None and crs not in CRS84:
            raise InvalidInput("filter-crs", repr(crs)[:80], "http://www.opengis.net/def/crs/OGC/1.3/CRS84")
        tests.append(_parsed_filter(given["filter"], given.get("filter-lang")))
    if "query" in given:
        translated = query_extension.translate(given["query"])
        if translated is not None:
            tests.append(check_filter(translated))
    if len(tests) == 2:
        return check_filter({"op": "and", "args": tests})
    return tests[0] if tests else None


def _parsed_filter(value: Any, lang: Any) -> Json:
    if lang not in (None, "cql2-text", "cql2-json"):
        raise InvalidInput("filter-lang", repr(lang)[:40], "cql2-text or cql2-json")
    if isinstance(value, str):
        if lang == "cql2-json":
            return check_filter(decode_object("filter", value))
        return parse_filter_text(value)
    if lang == "cql2-text" or not isinstance(value, dict):
        right = "a string" if lang == "cql2-text" else "a CQL2 JSON object, or CQL2 text with filter-lang cql2-text"
        raise InvalidInput("filter", f"a JSON {kind_of(value)}", right)
    return check_filter(value)


def query_to_post(query: Query) -> Json:
    """Return the ``POST /search`` body that expresses the query to any STAC API; its filter as cql2-json."""
    body: Json = {"limit": query.limit}
    if query.collections is not None:
        body["collections"] = list(query.collections)
    if query.ids is not None:
        body["ids"] = list(query.ids)
    if query.bbox is not None:
        body["bbox"] = list(query.bbox)
    if query.intersects is not None:
        body["intersects"] = query.intersects
    if query.datetime is not None:
        body["datetime"] = format_interval(query.datetime)
    if query.filter is not None:
        body |= {"filter": query.filter, "filter-lang": "cql2-json"}
    if query.text is not None:
        body["q"] = list(query.text)
    if query.sortby:
        body["sortby"] = [
            {"field": _qualified(key.field), "direction": "desc" if key.descending else "asc"} for key in query.sortby
        ]
    if query.fields is not None:
        body["fields"] = {"include": list(query.fields.include), "exclude": list(query.fields.exclude)}
    return body


def _qualified(field: str) -> str:
    # Older servers know the full path only; all know it.
    return field if field in _OWN_FIELDS or field.startswith("properties.") else f"properties.{field}"
