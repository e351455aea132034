"""The few CQL2 JSON shapes that translated filters are made of. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from edges.model import Json


class NoNativeWords(Exception):
    """A predicate has no exact translation: the site is not asked it, and the caller evaluates it."""


def prop(name: str) -> Json:
    """Return a property as an operand."""
    return {"property": name}


def compared(sign: str, name: str, literal: Any) -> Json:
    """Return a comparison of a property with a literal."""
    return {"op": sign, "args": [prop(name), literal]}


def one_of(name: str, literals: Sequence[Any]) -> Json:
    """Return membership in a list of at least one literal."""
    if len(literals) == 1:
        return compared("=", name, literals[0])
    return {"op": "in", "args": [prop(name), list(literals)]}


def is_null(name: str) -> Json:
    """Return that a property is missing or null."""
    return {"op": "isNull", "args": [prop(name)]}


def negated(test: Json) -> Json:
    """Return that a test is false."""
    return {"op": "not", "args": [test]}


def both(*tests: Json) -> Json:
    """Return that all tests hold."""
    return tests[0] if len(tests) == 1 else {"op": "and", "args": list(tests)}


def either(*tests: Json) -> Json:
    """Return that any test holds."""
    return tests[0] if len(tests) == 1 else {"op": "or", "args": list(tests)}


def never(name: str, literal: Any) -> Json:
    """Return what is false where a property has a value, and unknown where it has none: as any failed comparison."""
    return both(compared("=", name, literal), compared("<>", name, literal))


def always(name: str) -> Json:
    """Return what is true of every item."""
    return either(is_null(name), negated(is_null(name)))


def by_cases(name: str, cases: Mapping[str, bool | None], otherwise: Json) -> Json:
    """Return what is decided for some values of a property, and for others said by ``otherwise``.

    Raises:
        NoNativeWords: it is unknown of some value, which no list can say.
    """
    if None in cases.values():
        raise NoNativeWords
    true = [value for value, holds in cases.items() if holds]
    others = both(negated(one_of(name, list(cases))), otherwise)
    return either(one_of(name, true), others) if true else others


def renamed(node: Any, names: dict[str, str]) -> Any:
    """Return an expression whose properties go by other names; geometries stay as they are."""
    if isinstance(node, list):
        return [renamed(each, names) for each in node]
    if not isinstance(node, dict) or "coordinates" in node or "geometries" in node:
        return node
    if isinstance(node.get("property"), str):
        return node | {"property": names.get(node["property"], node["property"])}
    return {key: renamed(value, names) for key, value in node.items()}
