"""Changes of values, each both ways: on values, and on what filters say of them. Pure.

A conversion translates a predicate exactly (also in three-valued logic), or raises :class:`NoNativeWords`. Values of
another type than a conversion is for pass unchanged.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edges.model import Json
from edges.profiles.model import Linear, PropertyRule, Text
from edges.profiles.predicates import NoNativeWords, both, by_cases, compared, either, negated, never, one_of, renamed
from edges.stac.cql2 import compile_filter, property_names

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_DIGITS = 12
"""Significant digits of a converted number: rounding hides the noise of binary fractions, and keeps the order."""
_SEARCH_STEPS = 200


class Conversion(Protocol):
    """One change of values. ``order`` is 1 where sorting by either side is the same, -1 where reversed, else 0."""

    order: int

    def forward(self, value: Any) -> Any:
        """Return our value for a native one."""
        ...

    def backward(self, value: Any) -> Any:
        """Return a native value for one of ours."""
        ...

    def compare(self, sign: str, name: str, literal: Any) -> Json:
        """Say ``ours <sign> literal`` of the native property ``name``."""
        ...

    def among(self, name: str, literals: Sequence[Any]) -> Json:
        """Say that ours is one of the literals."""
        ...

    def other(self, node: Json, name: str) -> Json:
        """Say any other predicate, which reads one property only."""
        ...


def conversion_of(rule: PropertyRule) -> Conversion:
    """Return how a rule changes values."""
    if rule.values:
        return TableConversion(rule.values)
    if rule.linear is not None:
        return LinearConversion(rule.linear)
    return TextConversion(rule.text) if rule.text is not None else SameValue()


class SameValue:
    """The name changes only."""

    order = 1

    def forward(self, value: Any) -> Any:
        return value

    def backward(self, value: Any) -> Any:
        return value

    def compare(self, sign: str, name: str, literal: Any) -> Json:
        return compared(sign, name, literal)

    def among(self, name: str, literals: Sequence[Any]) -> Json:
        return one_of(name, literals)

    def other(self, node: Json, name: str) -> Json:
        return _said_of(node, name)


class TableConversion:
    """A table of texts, also for the members of an array; several native values may become one of ours."""

    order = 0

    def __init__(self, table: Mapping[str, str]) -> None:
        self._ours = dict(table)
        self._natives: dict[str, list[str]] = {}
        for native, ours in table.items():
            self._natives.setdefault(ours, []).append(native)

    def forward(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.forward(each) for each in value]
        return self._ours.get(value, value) if isinstance(value, str) else value

    def backward(self, value: Any) -> Any:
        """Return the first native value of the table that becomes ours: a table tells its usual one first."""
        if isinstance(value, list):
            return [self.backward(each) for each in value]
        return self._natives.get(value, [value])[0] if isinstance(value, str) else value

    def compare(self, sign: str, name: str, literal: Any) -> Json:
        if not isinstance(literal, str):
            return compared(sign, name, literal)  # texts do not compare with it, on either side
        if sign in ("=", "<>"):
            among = self.among(name, [literal])
            return among if sign == "=" else negated(among)
        return self.other(compared(sign, name, literal), name)

    def among(self, name: str, literals: Sequence[Any]) -> Json:
        natives = [native for literal in literals for native in self._became(literal)]
        return one_of(name, natives) if natives else never(name, "")

    def _became(self, literal: Any) -> list[Any]:
        if not isinstance(literal, str):
            return [literal]
        own = [] if literal in self._ours else [literal]
        return [*self._natives.get(literal, []), *own]

    def other(self, node: Json, name: str) -> Json:
        """Decide it for each value of the table; what the table does not name is asked as it is."""
        if str(node["op"]).startswith("a_"):
            raise NoNativeWords
        (ours,) = property_names(node)
        holds = compile_filter(node)
        cases = {native: holds({"properties": {ours: value}}) for native, value in self._ours.items()}
        return by_cases(name, cases, _said_of(node, name))


class LinearConversion:
    """Another unit. The bounds of filters are searched for among the numbers themselves, so that rounding is exact."""

    def __init__(self, linear: Linear) -> None:
        self._scale = linear.scale
        self._offset = linear.offset
        self.order = 1 if linear.scale > 0 else -1

    def forward(self, value: Any) -> Any:
        if not _is_number(value):
            return value
        result = float(f"{value * self._scale + self._offset:.{_DIGITS}g}")
        return int(result) if isinstance(value, int) and result.is_integer() else result

    def backward(self, value: Any) -> Any:
        if not _is_number(value):
            return value
        exact = (value - self._offset) / self._scale
        short = float(f"{exact:.{_DIGITS}g}")
        result = short if self.forward(short) == value else exact
        return int(result) if isinstance(value, int) and result.is_integer() else result

    def compare(self, sign: str, name: str, literal: Any) -> Json:
        if not _is_number(literal):
            return compared(sign, name, literal)
        if sign == "=":
            low, high = sorted((self._edge("<=", literal), self._edge(">=", literal)))
            if self.forward(low) != literal:
                return never(name, 0)
            return both(compared(">=", name, low), compared("<=", name, high))
        if sign == "<>":
            return negated(self.compare("=", name, literal))
        return compared(self._turned(sign), name, self._bound(sign, literal))

    def among(self, name: str, literals: Sequence[Any]) -> Json:
        return either(*(self.compare("=", name, literal) for literal in literals)) if literals else never(name, 0)

    def other(self, node: Json, name: str) -> Json:
        raise NoNativeWords

    def _turned(self, sign: str) -> str:
        return sign if self._scale > 0 else _FLIPPED[sign]

    def _bound(self, sign: str, literal: float) -> float:
        """Return the native number that a strict or loose comparison stops at."""
        if sign in ("<=", ">="):
            return self._edge(sign, literal)
        return self._edge(">=" if sign == "<" else "<=", literal)

    def _edge(self, sign: str, literal: float) -> float:
        """Return the last native number whose value of ours is still ``<sign> literal``."""
        holds = operator.le if sign == "<=" else operator.ge

        def inside(native: float) -> bool:
            return bool(holds(self.forward(native), literal))

        away = 1.0 if (sign == "<=") is (self._scale > 0) else -1.0
        middle = float((literal - self._offset) / self._scale)
        width = 1e-9 * (abs(middle) + abs(self._offset / self._scale) + 1e-3)
        near, far = middle - away * width, middle + away * width
        if not inside(near) or inside(far):
            raise NoNativeWords
        for _ in range(_SEARCH_STEPS):
            between = (near + far) / 2
            if between in (near, far):
                return near
            near, far = (between, far) if inside(between) else (near, between)
        raise NoNativeWords


class TextConversion:
    """Text with a prefix and a suffix, of text or of a whole number."""

    def __init__(self, text: Text) -> None:
        self._prefix = text.prefix
        self._suffix = text.suffix
        self._number = text.number
        self.order = 1 if not text.suffix and not text.number else 0

    def forward(self, value: Any) -> Any:
        if isinstance(value, int if self._number else str) and not isinstance(value, bool):
            return f"{self._prefix}{value}{self._suffix}"
        return value

    def backward(self, value: Any) -> Any:
        inner = self._inner(value)
        return value if inner is None else inner

    def _inner(self, value: Any) -> Any:
        """Return the native value that becomes this one; None where none does."""
        if not isinstance(value, str) or not value.startswith(self._prefix) or not value.endswith(self._suffix):
            return None
        inner = value[len(self._prefix) : len(value) - len(self._suffix)]
        if len(value) < len(self._prefix) + len(self._suffix):
            return None
        if not self._number:
            return inner
        digits = inner.removeprefix("-")
        plain = digits.isascii() and digits.isdigit() and len(digits) < 18 and str(int(inner)) == inner
        return int(inner) if plain else None

    def compare(self, sign: str, name: str, literal: Any) -> Json:
        if not isinstance(literal, str):
            if self._number:
                raise NoNativeWords  # unknown of our texts, but not of the site's numbers
            return compared(sign, name, literal)
        if sign in ("=", "<>"):
            among = self.among(name, [literal])
            return among if sign == "=" else negated(among)
        if self.order != 1 or not literal.startswith(self._prefix):
            raise NoNativeWords
        return compared(sign, name, literal.removeprefix(self._prefix))

    def among(self, name: str, literals: Sequence[Any]) -> Json:
        if not all(isinstance(literal, str) for literal in literals):
            raise NoNativeWords
        natives = [inner for inner in map(self._inner, literals) if inner is not None]
        return one_of(name, natives) if natives else never(name, 0 if self._number else "")

    def other(self, node: Json, name: str) -> Json:
        """Say ``like`` where the pattern begins with the prefix; anything else has no native words."""
        pattern = node["args"][1] if node["op"] == "like" and isinstance(node["args"][0], dict) else None
        prefix = self._prefix
        plain = self.order == 1 and "property" in node["args"][0] and not set(prefix) & set("%_\\")
        if not plain or not isinstance(pattern, str) or not pattern.startswith(prefix):
            raise NoNativeWords
        return {"op": "like", "args": [{"property": name}, pattern.removeprefix(prefix)]}


def _said_of(node: Json, name: str) -> Json:
    return dict(renamed(node, dict.fromkeys(property_names(node), name)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
