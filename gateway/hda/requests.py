"""A search as clients of HDA send it, to the one that the federation understands. Pure.

Beyond STAC API 1.0.0 they pin providers (``federation:backends`` in ``query`` or ``filter``, ``provider=``), compare
with lists (``{"eq": [...]}``), write times without seconds or offset, and page by number. A token says by itself which
providers were pinned, since EODAG sends back the token and none of the rest of a next link's body.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Dedup, Frozen, Json
from edges.stac import query_extension
from edges.stac.cql2_check import check_filter, parse_filter_text
from edges.stac.limits import MAX_IDS, decode_object, kind_of
from edges.stac.request import SearchRequest, body_of_get, search_of_body

BACKENDS = "federation:backends"
MEMBERS = frozenset(
    {
        *("collections", "ids", "bbox", "intersects", "datetime", "query", "filter", "filter-lang", "filter-crs"),
        *("sortby", "fields", "limit", "token", "page", "q", "dedup", "provider"),
    }
)
"""The members of a search's body that have a meaning here."""
LARGEST_SKIP = 10_000
"""Items that may stand before a page that is asked for by its number."""

_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[Tt ](?P<minute>\d\d:\d\d)(?P<second>:\d\d(?:\.\d+)?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)?"
)
_SCALARS = (str, int, float, bool)


class Terms(Frozen):
    """The bounds of a page, and how clients are met.

    ``sites`` is by which site each name of a backend goes. ``compatible``: members are known in any case, and those
    that nobody knows are passed over.
    """

    default_limit: int
    max_limit: int
    default_dedup: Dedup = "replica"
    compatible: bool = False
    sites: Mapping[str, str] = {}


class HdaSearch(Frozen):
    """A search with its ``page`` (from 1), where it is asked for by number; ``members`` are the body as understood."""

    search: SearchRequest
    members: Json
    page: int = 1


def search_of_post(body: bytes, terms: Terms) -> HdaSearch:
    """Read the body of ``POST /search``.

    Raises:
        InvalidInput: names the member, what was wrong and what would be right.
    """
    given = decode_object("body", body) if body.strip() else {}
    return search_of_members(_known(given, compatible=terms.compatible), terms)


def search_of_get(parameters: Mapping[str, str], terms: Terms) -> HdaSearch:
    """Read the parameters of ``GET /search`` or ``/items``; those that nobody knows are passed over.

    Raises:
        InvalidInput: as :func:`search_of_post`.
    """
    given = body_of_get(parameters)
    for name in ("provider", "page"):
        if parameters.get(name, "").strip():
            given[name] = parameters[name]
    return search_of_members(given, terms)


def search_of_members(given: Json, terms: Terms) -> HdaSearch:
    """Read the members of a search, whatever way they came.

    Raises:
        InvalidInput: as :func:`search_of_post`.
    """
    members = {name: value for name, value in given.items() if value is not None}
    if isinstance(members.get("datetime"), str):
        members["datetime"] = plain_datetime(members["datetime"])
    token, kept = _split(members["token"] if "token" in members else _token_of_query(members.get("query")))
    tests, pins = _tests(members)
    pins += _names("provider", members.get("provider")) if "provider" in members else []
    page = _page(members.get("page", 1)) if token is None else 1
    asked = {name: value for name, value in members.items() if name not in ("query", "filter", "provider", "page")}
    asked |= {"filter": _joined(tests), "filter-lang": "cql2-json"} if tests else {}
    request = search_of_body(
        {name: value for name, value in asked.items() if name != "token"},
        terms.default_limit,
        terms.max_limit,
        terms.default_dedup,
    )
    sites = sites_of(pins, terms.sites) if pins else kept
    query = msgspec.structs.replace(request.query, sites=sites)
    if (page - 1) * query.limit > LARGEST_SKIP:
        raise InvalidInput(
            "page", f"{page} of {query.limit} items", f"at most {LARGEST_SKIP} items before it, or a token"
        )
    return HdaSearch(search=SearchRequest(query=query, token=token), members=members, page=page)


def following(members: Json, token: str, sites: Sequence[str] | None) -> Json:
    """Return the body of a next link: the whole request, with the token of the following page."""
    kept = {name: value for name, value in members.items() if name != "page"}
    return kept | {"token": with_sites(token, sites)}


def with_sites(token: str, sites: Sequence[str] | None) -> str:
    """Return a token that says by itself which sites were asked."""
    return ".".join((token, *(sites or ())))


def sites_of(names: Sequence[str], sites: Mapping[str, str]) -> tuple[str, ...]:
    """Return the sites of backends' names.

    Raises:
        InvalidInput: one is not known.
    """
    for name in names:
        if name not in sites:
            known = ", ".join(sorted(sites)[:MAX_IDS]) or "none"
            raise InvalidInput(BACKENDS, f"no backend {name[:80]!r}", f"one of {known}")
    return tuple(dict.fromkeys(sites[name] for name in names))


def pins_of(query: Any) -> tuple[Json, list[str]]:
    """Return a ``query`` object without its pins, and the names of the backends that it pins.

    Raises:
        InvalidInput: a pin is neither ``eq`` nor ``in`` of names.
    """
    if not isinstance(query, dict):
        raise InvalidInput("query", f"a JSON {kind_of(query)}", 'an object such as {"eo:cloud_cover": {"lte": 10}}')
    pin = query.get(BACKENDS)
    rest = {name: value for name, value in query.items() if name != BACKENDS}
    if pin is None:
        return rest, []
    operators = pin if isinstance(pin, dict) else {"eq": pin}
    if len(operators) != 1 or not set(operators) <= {"eq", "in", "contains"}:
        raise InvalidInput(f"query.{BACKENDS}", repr(pin)[:80], '{"eq": "<backend>"} or {"in": [...]}')
    return rest, _names(f"query.{BACKENDS}", next(iter(operators.values())))


def plain_datetime(text: str) -> str:
    """Return a ``datetime`` as RFC 3339 wants it: with seconds and an offset; a day alone is all of that day.

    >>> plain_datetime("2026-05-28T00:00Z")
    '2026-05-28T00:00:00Z'
    >>> plain_datetime("2024-09-08/2024-09-09")
    '2024-09-08T00:00:00Z/2024-09-09T23:59:59.999999Z'
    """
    first, slash, second = text.strip().partition("/")
    if not slash:
        moment = _MOMENT.fullmatch(first)
        if moment is not None and moment["minute"] is None:
            return f"{_instant(first, end=False)}/{_instant(first, end=True)}"
        return _instant(first, end=False)
    return f"{_instant(first, end=False)}/{_instant(second, end=True)}"


def _instant(text: str, *, end: bool) -> str:
    moment = _MOMENT.fullmatch(text.strip())
    if moment is None:
        return text
    if moment["minute"] is None:
        return f"{moment['day']}T23:59:59.999999Z" if end else f"{moment['day']}T00:00:00Z"
    zone = moment["zone"] or "Z"
    if zone[0] in "+-" and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    return f"{moment['day']}T{moment['minute']}{moment['second'] or ':00'}{zone.upper()}"


def _known(given: Json, *, compatible: bool) -> Json:
    """Refuse members that nobody knows, or pass over them."""
    if not compatible:
        for name in given:
            if name not in MEMBERS:
                right = f"{name.lower()!r}" if name.lower() in MEMBERS else f"one of {', '.join(sorted(MEMBERS))}"
                raise InvalidInput(name[:80], "extra inputs are not permitted", right)
        return given
    found: Json = {}
    for name, value in given.items():
        plain = name if name in MEMBERS else name.lower()
        if plain in MEMBERS:
            found.setdefault(plain, value)
    return found


def _split(token: Any) -> tuple[str | None, tuple[str, ...] | None]:
    if token is None:
        return None, None
    if not isinstance(token, str):
        raise InvalidInput("token", f"a JSON {kind_of(token)}", "the token of a next link, unchanged")
    cursor, *sites = token.split(".")
    return cursor, tuple(sites) or None


def _token_of_query(query: Any) -> Any:
    """Return the token where EODAG, of a provider that it has no paging for, says it as if it were a property."""
    told = query.get("token") if isinstance(query, dict) else None
    return told.get("eq") if isinstance(told, dict) else None


def _tests(members: Json) -> tuple[list[Json], list[str]]:
    """Return what ``query`` and ``filter`` ask of items as CQL2, and the backends that they pin."""
    tests: list[Json] = []
    pins: list[str] = []
    if "query" in members:
        query, pinned = pins_of(_object("query", members["query"]))
        pins += pinned
        tests += [
            _test(name, *pair) for name, told in query.items() if name != "token" for pair in _operators(name, told)
        ]
    if "filter" in members:
        rest, pinned = _unpinned(_filter(members))
        pins += pinned
        tests += [rest] if rest is not None else []
    return tests, pins


def _object(field: str, value: Any) -> Any:
    return decode_object(field, value) if isinstance(value, str) else value


def _operators(name: str, told: Any) -> list[tuple[str, Any]]:
    if isinstance(told, (*_SCALARS, list)):
        return [("eq", told)]
    if not isinstance(told, dict):
        raise InvalidInput(f"query.{name[:40]}", f"a JSON {kind_of(told)}", 'an object such as {"lte": 10}')
    return list(told.items())


def _test(name: str, operator: str, value: Any) -> Json:
    prop: Json = {"property": name}
    is_native = name.startswith("ecmwf:")
    if operator == "eq" and isinstance(value, list):
        return _among(f"query.{name[:40]}.eq", prop, value)
    if operator == "eq" and is_native and isinstance(value, str):  # a provider tells lists of one
        return {"op": "or", "args": [{"op": "=", "args": [prop, value]}, {"op": "a_equals", "args": [prop, [value]]}]}
    translated = query_extension.translate({name: {operator: value}})
    return translated if translated is not None else {"op": "=", "args": [1, 1]}


def _among(field: str, prop: Json, values: list[Any]) -> Json:
    """Return the test of ``eq`` with a list: a property that is one of the values, or a list of just these."""
    if not values or not all(isinstance(value, _SCALARS) for value in values) or len(values) > MAX_IDS:
        raise InvalidInput(field, repr(values)[:80], f"1 to {MAX_IDS} texts or numbers")
    return {"op": "or", "args": [{"op": "in", "args": [prop, values]}, {"op": "a_equals", "args": [prop, values]}]}


def _filter(members: Json) -> Json:
    value, lang = members["filter"], members.get("filter-lang")
    if isinstance(value, str) and lang != "cql2-json":
        return parse_filter_text(value)
    told = _object("filter", value)
    if not isinstance(told, dict):
        raise InvalidInput("filter", f"a JSON {kind_of(told)}", "a CQL2 JSON object, or CQL2 text")
    return check_filter(told)


def _unpinned(test: Json) -> tuple[Json | None, list[str]]:
    """Return a filter without the pins among its conjuncts.

    Raises:
        InvalidInput: a backend is named elsewhere than in a conjunct of its own.
    """
    if test.get("op") == "and":
        parts = [_unpinned(part) for part in test["args"]]
        tests = [part for part, _ in parts if part is not None]
        return (_joined(tests) if tests else None), [name for _, names in parts for name in names]
    pinned = _pinned(test)
    if pinned is not None:
        return None, pinned
    if BACKENDS.encode() in msgspec.json.encode(test):
        raise InvalidInput("filter", f"{BACKENDS} is compared in another way", f"{BACKENDS} = '<backend>' AND ...")
    return test, []


def _pinned(test: Json) -> list[str] | None:
    args = test.get("args") or []
    if test.get("op") in ("=", "in", "a_contains", "a_equals", "a_overlaps") and args[:1] == [{"property": BACKENDS}]:
        return _names("filter", args[1])
    return None


def _joined(tests: list[Json]) -> Json:
    return tests[0] if len(tests) == 1 else {"op": "and", "args": tests}


def _names(field: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidInput(field, repr(value)[:80], "a backend's name, or a list of them")
    if len(names) > MAX_IDS:
        raise InvalidInput(field, f"{len(names)} of them", f"at most {MAX_IDS}")
    return names


def _page(value: Any) -> int:
    text = str(value) if not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdigit() or not int(text[:9]) > 0:
        raise InvalidInput("page", repr(value)[:40], "a whole number, 1 or more")
    return int(text[:9])
