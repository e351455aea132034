"""Names of places, and the expressions that choose some of them. Pure."""

import re
from collections.abc import Iterable, Mapping

from edges.errors import InvalidInput

PRIVATE = "~"
"""What the name of a group's own bucket begins with, as a target; no site's name does."""

EXTERNAL = "!"
"""What the name of a source begins with that one order brings, with credentials; no site's name does."""

MAX_EXPRESSION = 1_000
"""Characters of an expression."""

_TOKEN = re.compile(r"\s*(?:([&|\\()])|([A-Za-z0-9_.:*-]+)(?:\s*(!?=)\s*([A-Za-z0-9_.:*-]+))?)")
_RIGHT = "edge ids, `*` or label=value, joined by & (and), | (or), \\ (without) and brackets"


def is_private(target: str) -> bool:
    """Tell whether a target is a group's own bucket.

    >>> is_private("~team-a"), is_private("edge-a")
    (True, False)
    """
    return target.startswith(PRIVATE)


def is_external(site: str) -> bool:
    """Tell whether a source is one that an order brought.

    >>> is_external("!5f2c"), is_external("hub-b")
    (True, False)
    """
    return site.startswith(EXTERNAL)


def chosen(expression: str, labels: Mapping[str, Mapping[str, str]]) -> list[str]:
    r"""Return the places that an expression names, by name; ``labels`` are all places' labels.

    The form is that of Rucio's RSE expressions: operators have one rank and are read from the left.

    >>> places = {"a": {"region": "eu"}, "b": {"region": "eu"}, "c": {"region": "us"}}
    >>> chosen("region=eu", places), chosen("* \\ region=eu", places), chosen("(a|b)&region!=us", places)
    (['a', 'b'], ['c'], ['a', 'b'])

    Raises:
        InvalidInput: it cannot be read.
    """
    if len(expression) > MAX_EXPRESSION:
        raise _unread(f"{len(expression)} characters")
    reader = _Reader(expression, labels)
    found = reader.all()
    if reader.rest():
        raise _unread(f"{reader.rest()[:40]!r} is left over")
    return sorted(found)


def _unread(wrong: str) -> InvalidInput:
    return InvalidInput("target.edges", wrong, _RIGHT)


class _Reader:
    """Reads one expression by recursive descent; brackets nest at most as deep as the text is long."""

    def __init__(self, text: str, labels: Mapping[str, Mapping[str, str]]) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._labels = labels

    def rest(self) -> str:
        """Return what was not read."""
        return self._text[self._at :].strip()

    def all(self) -> set[str]:
        """Read terms and what joins them."""
        found = self._term()
        while self.rest()[:1] in ("&", "|", "\\"):
            operator = self._next()[0]
            other = self._term()
            found = {"&": found & other, "|": found | other, "\\": found - other}[operator]
        return found

    def _term(self) -> set[str]:
        token = self._next()
        if token[0] == "(":
            self._depth += 1
            if self._depth > 32:
                raise _unread("more than 32 brackets inside each other")
            found = self.all()
            if self._next()[0] != ")":
                raise _unread("a bracket is left open")
            self._depth -= 1
            return found
        if token[0]:
            raise _unread(f"{token[0]!r} where a name should be")
        return set(self._matching(*token[1:]))

    def _matching(self, name: str, operator: str, value: str) -> Iterable[str]:
        if not operator:
            return [place for place in self._labels if _like(name, place)]
        equal = operator == "="
        return [place for place, labels in self._labels.items() if _like(value, labels.get(name, "")) is equal]

    def _next(self) -> tuple[str, str, str, str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise _unread(f"{self.rest()[:40]!r} cannot be read" if self.rest() else "it ends too early")
        self._at = match.end()
        sign, name, operator, value = (group or "" for group in match.groups())
        return sign, name, operator, value


def _like(pattern: str, value: str) -> bool:
    """Compare; ``*`` stands for anything."""
    pieces = [re.escape(piece) for piece in pattern.split("*")]
    return re.fullmatch(".*".join(pieces), value) is not None
