"""OData's system query options, and pages of what they choose. Pure.

Source: OData 4.01 Part 1 section 11.2, Part 2 section 5.1. Options of other names are passed over; ``$`` may stand as
``%24``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.hook.odata_filter import Test, filter_test

MAX_TOP = 1_000
DEFAULT_TOP = 100
MAX_SKIP = 1_000_000
_OPTIONS = ("$filter", "$orderby", "$top", "$skip", "$count", "$expand", "$select", "$format", "$search")


class Options(Frozen):
    """What a request asks of a list. ``order`` are pairs of name and whether descending."""

    test: Test | None = None
    order: tuple[tuple[str, bool], ...] = ()
    top: int = DEFAULT_TOP
    skip: int = 0
    count: bool = False
    expand: tuple[str, ...] = ()
    select: tuple[str, ...] = ()


def options_of(query: Mapping[str, str], names: Sequence[str], *, expandable: Sequence[str] = ()) -> Options:
    """Read the options; ``names`` are the properties that the list's entries have.

    Raises:
        InvalidInput: one is wrong, or is not offered; it is named.
    """
    for name in query:
        if name.startswith("$") and name.lower() not in _OPTIONS:
            raise InvalidInput(name[:40], "not offered", ", ".join(_OPTIONS[:7]))
    given = {name.lower(): value.strip() for name, value in query.items() if value.strip()}
    if given.get("$format", "json").split(";")[0] not in ("json", "application/json"):
        raise InvalidInput("$format", f"got {given['$format']!r}"[:80], "json")
    if "$search" in given:
        raise InvalidInput("$search", "not offered", "$filter, with contains(Name,'...')")
    return Options(
        test=filter_test(given["$filter"], names) if "$filter" in given else None,
        order=_order(given.get("$orderby", ""), names),
        top=_number(given, "$top", DEFAULT_TOP, MAX_TOP),
        skip=_number(given, "$skip", 0, MAX_SKIP),
        count=_flag(given),
        expand=_named(given, "$expand", expandable),
        select=_named(given, "$select", names),
    )


def _number(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > most:
        raise InvalidInput(name, f"got {text[:40]!r}", f"a whole number within 0 and {most}")
    return int(text)


def _flag(given: Mapping[str, str]) -> bool:
    text = given.get("$count", "false").lower()
    if text not in ("true", "false"):
        raise InvalidInput("$count", f"got {text[:40]!r}", "true or false")
    return text == "true"


def _named(given: Mapping[str, str], option: str, names: Sequence[str]) -> tuple[str, ...]:
    known = {name.lower(): name for name in names}
    asked = [part.strip() for part in given.get(option, "").split(",") if part.strip() not in ("", "*")]
    for part in asked:
        if part.lower() not in known:
            raise InvalidInput(option, f"{part[:40]!r} is not there", ", ".join(names) or "nothing")
    return tuple(known[part.lower()] for part in asked)


def _order(text: str, names: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    order: list[tuple[str, bool]] = []
    for part in [each.split() for each in text.split(",") if each.strip()][:10]:
        name, way = part[0], part[1].lower() if len(part) == 2 else "asc"
        found = _named({"$orderby": name}, "$orderby", names)
        if len(part) > 2 or way not in ("asc", "desc") or not found:
            raise InvalidInput("$orderby", f"got {' '.join(part)[:60]!r}", "Name asc, or Id desc")
        order.append((found[0], way == "desc"))
    return tuple(order)


def page(entries: Sequence[Json], options: Options, *, context: str, url: str, query: Mapping[str, str]) -> Json:
    """Return a page of a list as OData tells it; ``url`` and ``query`` are what its ``@odata.nextLink`` is made of."""
    found = [each for each in entries if options.test is None or options.test(each)]
    for name, descending in reversed(options.order):
        found.sort(key=_rank(name), reverse=descending)
    shown = found[options.skip : options.skip + options.top]
    told: Json = {"@odata.context": context}
    if options.count:
        told["@odata.count"] = len(found)
    told["value"] = [_selected(each, options.select) for each in shown]
    end = options.skip + len(shown)
    if shown and end < len(found):
        told["@odata.nextLink"] = f"{url}?{_following(query, end)}"
    return told


def _rank(name: str) -> Callable[[Json], tuple[int, Any]]:
    """Return how entries are ordered by a property: null first, numbers (in either form) before texts."""
    path = name.split("/")

    def rank(each: Json) -> tuple[int, Any]:
        value: Any = each
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return (0, 0)
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal()):
            return (1, float(value))
        return (2, str(value))

    return rank


def _selected(each: Json, select: Sequence[str]) -> Json:
    kept = {name.split("/")[0] for name in select}
    return {name: value for name, value in each.items() if name in kept} if kept else each


def _following(query: Mapping[str, str], skip: int) -> str:
    kept = {name: value for name, value in query.items() if name.startswith("$") and name.lower() != "$skip"}
    return "&".join(
        f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in {**kept, "$skip": str(skip)}.items()
    )
