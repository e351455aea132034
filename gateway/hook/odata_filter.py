"""``$filter`` of OData: a text becomes a test of JSON objects, within bounds. Pure.

Source: OData 4.01 Part 2 (URL Conventions), section 5.1.1. What is not here is refused by name: arithmetic, lambdas,
geography. Names of properties are read in any case, as HOOK's clients write them (``id eq 1``).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from edges.errors import InvalidInput
from edges.model import Json

MAX_FILTER = 4_000
"""Characters of a filter."""
MAX_TOKENS = 600
MAX_DEPTH = 24
"""Brackets, functions and negations inside each other."""

Test = Callable[[Json], bool]
Value = Callable[[Json], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<moment>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d{1,18}(?:\.\d{1,18})?)(?![\w.])"
    r"|(?P<word>[A-Za-z_][\w/.]{0,127})"
    r"|(?P<sign>[(),]))"
)
_COMPARED: Mapping[str, Callable[[int], bool]] = {
    "eq": lambda sign: sign == 0,
    "ne": lambda sign: sign != 0,
    "gt": lambda sign: sign > 0,
    "ge": lambda sign: sign >= 0,
    "lt": lambda sign: sign < 0,
    "le": lambda sign: sign <= 0,
}
_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_CHANGES: Mapping[str, Callable[[str], Any]] = {
    "tolower": str.lower,
    "toupper": str.upper,
    "trim": str.strip,
    "length": len,
}
_RIGHT = "a filter such as (Name eq 'x' and Status ne 'failed') or endswith(Name,'y')"


class _Token(NamedTuple):
    kind: str
    text: str


class Moment(NamedTuple):
    """An instant in epoch seconds, to be compared with a text that tells one."""

    at: float


def filter_test(text: str, names: Sequence[str]) -> Test:
    """Return the test that a filter is; ``names`` are the properties that may be named (``A/B`` for one inside).

    Raises:
        InvalidInput: the filter cannot be read, is too large, or names what is not there.
    """
    if len(text) > MAX_FILTER:
        raise _unread(f"{len(text)} characters, more than {MAX_FILTER}")
    return _Parser(_tokens(text), {name.lower(): name for name in names}).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unread(f"{text[at : at + 40]!r} cannot be read")
        found.append(_Token(match.lastgroup or "", match.group(match.lastgroup or 0)))
        at = match.end()
        if len(found) > MAX_TOKENS:
            raise _unread(f"more than {MAX_TOKENS} words")
    return found


def _unread(wrong: str) -> InvalidInput:
    return InvalidInput("$filter", wrong, _RIGHT)


_END = _Token("end", "")


class _Parser:
    """Reads by recursive descent, as deep as MAX_DEPTH."""

    def __init__(self, tokens: Sequence[_Token], names: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._names = names
        self._at = 0
        self._depth = 0

    def whole(self) -> Test:
        test = self._any()
        if self._peek() is not _END:
            raise _unread(f"{self._peek().text[:40]!r} is left over")
        return test

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _is_word(self, *words: str) -> bool:
        token = self._peek()
        return token.kind == "word" and token.text.lower() in words

    def _expect(self, sign: str) -> None:
        token = self._next()
        if (token.kind, token.text) != ("sign", sign):
            raise _unread(f"{token.text[:40]!r} where {sign!r} should be" if token.text else "it ends too early")

    def _any(self) -> Test:
        tests = [self._all()]
        while self._is_word("or"):
            self._next()
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda each: any(test(each) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._is_word("and"):
            self._next()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda each: all(test(each) for test in tests)

    def _one(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _unread(f"more than {MAX_DEPTH} brackets or negations inside each other")
        test = self._primary()
        self._depth -= 1
        return test

    def _primary(self) -> Test:
        if self._is_word("not"):
            self._next()
            inner = self._one()
            return lambda each: not inner(each)
        if self._peek() == ("sign", "("):
            self._next()
            test = self._any()
            self._expect(")")
            return test
        if self._is_word(*_TESTS):
            return self._function()
        return self._comparison()

    def _function(self) -> Test:
        decide = _TESTS[self._next().text.lower()]
        self._expect("(")
        text = self._operand()
        self._expect(",")
        part = self._operand()
        self._expect(")")

        def test(each: Json) -> bool:
            told, sought = text(each), part(each)
            if isinstance(told, list):
                return any(isinstance(one, str) and decide(one, str(sought)) for one in told)
            return isinstance(told, str) and isinstance(sought, str) and decide(told, sought)

        if self._is_word("eq"):  # contains(...) eq true
            self._next()
            wanted = self._operand()({})
            return lambda each: test(each) is wanted
        return test

    def _comparison(self) -> Test:
        left = self._operand()
        token = self._next()
        operator = token.text.lower()
        if operator == "in":
            return self._within(left)
        if operator not in _COMPARED:
            raise _unread(
                f"{token.text[:40]!r} where eq, ne, gt, ge, lt, le or in should be" if token.text else "no test"
            )
        right = self._operand()
        return lambda each: _holds(operator, left(each), right(each))

    def _within(self, left: Value) -> Test:
        self._expect("(")
        choices = [self._operand()]
        while self._peek() == ("sign", ","):
            self._next()
            choices.append(self._operand())
        self._expect(")")
        return lambda each: any(_holds("eq", left(each), choice(each)) for choice in choices)

    def _operand(self) -> Value:
        token = self._next()
        if token.kind == "word":
            return self._named(token.text)
        if token.kind in ("sign", "end"):
            raise _unread(f"{token.text!r} where a name or value should be" if token.text else "it ends too early")
        value = _literal(token)
        return lambda _: value

    def _named(self, word: str) -> Value:
        constants = {"true": True, "false": False, "null": None}
        if word.lower() in constants:
            value = constants[word.lower()]
            return lambda _: value
        if word.lower() in _CHANGES and self._peek() == ("sign", "("):
            return self._changed(_CHANGES[word.lower()])
        name = self._names.get(word.lower())
        if name is None:
            raise InvalidInput("$filter", f"{word[:40]!r} is no property here", ", ".join(self._names.values()))
        path = name.split("/")
        return lambda each: _at(each, path)

    def _changed(self, change: Callable[[str], Any]) -> Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _unread(f"more than {MAX_DEPTH} functions inside each other")
        self._expect("(")
        inner = self._operand()
        self._expect(")")
        self._depth -= 1

        def value(each: Json) -> Any:
            told = inner(each)
            return change(told) if isinstance(told, str) else None

        return value


def _at(each: Json, path: Sequence[str]) -> Any:
    value: Any = each
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _literal(token: _Token) -> Any:
    if token.kind == "text":
        return token.text[1:-1].replace("''", "'")
    if token.kind == "number":
        return float(token.text) if "." in token.text else int(token.text)
    try:
        return Moment(_epoch(token.text))
    except ValueError as error:
        raise _unread(f"{token.text!r} is no date") from error


def _epoch(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else datetime.fromisoformat(f"{moment.isoformat()}+00:00")).timestamp()


def _holds(operator: str, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return {"eq": left is right, "ne": left is not right}.get(operator, False)
    if isinstance(left, list) and operator in ("eq", "ne"):
        return any(_holds("eq", one, right) for one in left) is (operator == "eq")
    pair = _alike(left, right)
    return operator == "ne" if pair is None else _COMPARED[operator]((pair[0] > pair[1]) - (pair[0] < pair[1]))


def _alike(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Return two values of one kind, or None where they have none in common. An Id is a number in either form."""
    if isinstance(left, Moment) or isinstance(right, Moment):
        return _moments(left, right)
    if isinstance(left, bool) or isinstance(right, bool):
        return (left, right) if isinstance(left, bool) and isinstance(right, bool) else None
    if isinstance(left, str) != isinstance(right, str):
        return _numbers(left, right)
    return left, right


def _moments(left: Any, right: Any) -> tuple[float, float] | None:
    try:
        told = [each.at if isinstance(each, Moment) else _epoch(str(each)) for each in (left, right)]
    except ValueError:
        return None
    return told[0], told[1]


def _numbers(left: Any, right: Any) -> tuple[float, float] | None:
    try:
        return float(left), float(right)
    except (ValueError, OverflowError):
        return None
