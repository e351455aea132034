"""Free text (``q``): parsed, and compiled to a test of folded text (STAC API Free-Text Search 1.0.0-rc.1).

Basic: terms with commas between, any of which must be there; spaces have no meaning, so that words side by side are
one phrase. Advanced: ``"a phrase"``, ``AND``, ``OR``, ``NOT``, brackets, and ``+`` before what must be there, ``-``
before what must not; beside a ``+`` the unsigned terms are only wished for. Case, accents and punctuation do not
count, whole words do: ``sentinel-2`` is the words *sentinel* and *2* in a row. A star at the end of a word
(``sentin*``) stands for the rest of it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from edges.errors import InvalidInput
from edges.model import Json, Members
from edges.stac.limits import MAX_DEPTH, MAX_IDS

FIELD = "q"
MAX_TEXT = 2_048
"""Longest expression, in characters."""
MAX_TOKENS = 200
"""Most words and operators in all expressions."""

FREE_TEXT_CLASS = "tag:lakegate,2026:free-text/1"
"""What a site declares that evaluates free text as this module does. The classes of the extension leave the fields,
the stems and the grammar open: a site that declares those alone may leave out what we would find."""

Holds = Callable[[str], bool]
"""Tells whether folded text (:func:`folded`) holds what is looked for."""


class Term(NamedTuple):
    """A phrase, with the spaces around it that make it one of whole words."""

    phrase: str


class Operation(NamedTuple):
    """``any``, ``all`` or ``none`` of some parts."""

    name: str
    parts: "tuple[Node, ...]"


Node = Term | Operation

_TOKEN = re.compile(r'\s*(?:"([^"]*)"|([(),])|([+-])(?=[^\s,)])|([^\s(),"]+))')
_WORDS = re.compile(r"[^\W_]+\*?")
_RIGHT = 'words, "a phrase", AND, OR, NOT, +must, -must not, brackets'


def folded(texts: Iterable[str]) -> str:
    """Return texts as words without case and accents, with spaces between and around, so that phrases can be found.

    >>> folded(["Sentinel-2, Level 2A", "Forêt"])
    ' sentinel 2 level 2a  foret '
    """
    return "".join(f" {' '.join(_words(text))} " for text in texts)


def _words(text: str) -> list[str]:
    plain = text
    if not text.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return [word.rstrip("*") for word in _WORDS.findall(plain.casefold())]


def check_text(expressions: tuple[str, ...]) -> tuple[str, ...]:
    """Return expressions that can be compiled.

    Raises:
        InvalidInput: too long, unbalanced, or an operator without its terms.
    """
    if len(expressions) > MAX_IDS or sum(len(each) for each in expressions) > MAX_TEXT:
        raise InvalidInput(FIELD, "too long", f"at most {MAX_TEXT} characters")
    parse_text(expressions)
    return expressions


@lru_cache(maxsize=256)
def parse_text(expressions: tuple[str, ...]) -> Node:
    """Parse expressions, any of which must hold.

    Raises:
        InvalidInput: see :func:`check_text`.
    """
    return _operation("any", [_Reader(each).whole() for each in expressions])


@lru_cache(maxsize=256)
def compile_text(expressions: tuple[str, ...]) -> Holds:
    """Compile expressions into one test of folded text.

    Raises:
        InvalidInput: see :func:`check_text`.
    """
    return _compiled(parse_text(expressions))


def _compiled(node: Node) -> Holds:
    if isinstance(node, Term):
        phrase = node.phrase
        return lambda text: phrase in text
    tests = [_compiled(part) for part in node.parts]
    if node.name == "any":
        return lambda text: any(test(text) for test in tests)
    if node.name == "all":
        return lambda text: all(test(text) for test in tests)
    return lambda text: not any(test(text) for test in tests)


def decided(node: Node, text: str) -> bool | None:
    """Tell whether some text already decides, whatever other text comes with it; None where it does not."""
    if isinstance(node, Term):
        return True if node.phrase in text else None
    answers = [decided(part, text) for part in node.parts]
    if node.name == "all":
        return False if False in answers else None if None in answers else True
    found = True if True in answers else None if None in answers else False
    return None if found is None else found is (node.name == "any")


def terms(node: Node) -> frozenset[Term]:
    """Return all terms."""
    if isinstance(node, Term):
        return frozenset({node})
    return frozenset(term for part in node.parts for term in terms(part))


def item_text(item: Members) -> str:
    """Return what free text is looked for in, of an item: its id, title, description and keywords; folded.

    Raises:
        msgspec.DecodeError: the item cannot be read.
    """
    properties = _PROPERTIES.decode(item.get("properties", b"{}"))
    return folded(_texts(_ANY.decode(item["id"]), properties.title, properties.description, properties.keywords))


def collection_text(collections: Iterable[Json]) -> str:
    """Return what free text is looked for in, of the copies of one collection, folded."""
    return folded(
        text
        for one in collections
        for text in _texts(one.get("id"), one.get("title"), one.get("description"), one.get("keywords"))
    )


def texts_of_collections(collections: Iterable[Json]) -> Mapping[str, str]:
    """Return the folded text of each collection by its id; several of one id are taken together."""
    copies: dict[str, list[Json]] = {}
    for one in collections:
        copies.setdefault(str(one.get("id")), []).append(one)
    return {name: collection_text(each) for name, each in copies.items()}


class _Properties(msgspec.Struct, gc=False):
    title: Any = None
    description: Any = None
    keywords: Any = None


_PROPERTIES = msgspec.json.Decoder(_Properties)
_ANY = msgspec.json.Decoder()


def _texts(*values: Any) -> list[str]:
    flat = [each for value in values for each in (value if isinstance(value, list) else [value])]
    return [each for each in flat if isinstance(each, str)]


def _operation(name: str, parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 and name != "none" else Operation(name, tuple(parts))


def _term(text: str) -> Term:
    words = _words(text)
    if not words:
        raise InvalidInput(FIELD, f"{text[:40]!r} holds no word", _RIGHT)
    return Term(f" {' '.join(words)}{'' if text.endswith('*') else ' '}")


class _Reader:
    """Reads one expression by recursive descent; its depth is bounded."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._place = 0
        self._depth = 0

    def whole(self) -> Node:
        read = self._either()
        if self._place < len(self._tokens):
            raise InvalidInput(FIELD, f"{self._tokens[self._place][1][:40]!r} out of place", _RIGHT)
        return read

    def _either(self) -> Node:
        parts = [self._both()]
        while self._takes(("sign", ","), ("word", "OR")):
            parts.append(self._both())
        return _operation("any", parts)

    def _both(self) -> Node:
        parts = [self._group()]
        while self._takes(("word", "AND")):
            parts.append(self._group())
        return _operation("all", parts)

    def _group(self) -> Node:
        """Read clauses side by side: what must be, what must not, and of the rest any, if nothing must."""
        clauses: dict[str, list[Node]] = {"": [], "+": [], "-": []}
        while (sign := self._sign()) is not None:
            clauses[sign].append(self._primary(alone=bool(sign)))
        parts = clauses["+"] or ([_operation("any", clauses[""])] if clauses[""] else [])
        if clauses["-"]:
            parts = [*parts, _operation("none", clauses["-"])]
        if not parts:
            raise InvalidInput(FIELD, "a term is missing", _RIGHT)
        return _operation("all", parts)

    def _sign(self) -> str | None:
        """Return the sign of the clause that follows, None where none does."""
        kind, value = self._peek()
        if (kind, value) == ("word", "NOT"):
            self._place += 1
            return "-"
        if kind == "sign" and value in "+-":
            self._place += 1
            return value
        ends = kind == "end" or (kind, value) in (("sign", ","), ("sign", ")"), ("word", "OR"), ("word", "AND"))
        return None if ends else ""

    def _primary(self, *, alone: bool) -> Node:
        """Read a phrase, a bracket, or words side by side; ``alone``: a sign stands before one word only."""
        kind, value = self._peek()
        self._place += 1
        if kind == "phrase":
            return _term(value)
        if (kind, value) == ("sign", "("):
            return self._bracket()
        if kind != "word":
            raise InvalidInput(FIELD, f"{value!r} without a term", _RIGHT)
        words = [value]
        while not alone and self._peek()[0] == "word" and self._peek()[1] not in ("AND", "OR", "NOT"):
            words.append(self._peek()[1])
            self._place += 1
        return _term(" ".join(words))

    def _bracket(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidInput(FIELD, "nested too deeply", f"at most {MAX_DEPTH} brackets")
        inside = self._either()
        self._depth -= 1
        if not self._takes(("sign", ")")):
            raise InvalidInput(FIELD, "a bracket is not closed", _RIGHT)
        return inside

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "")

    def _takes(self, *wanted: tuple[str, str]) -> bool:
        found = self._peek() in wanted
        self._place += found
        return found


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    text = expression.rstrip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise InvalidInput(FIELD, f"{text[place : place + 40]!r} cannot be read", _RIGHT)
        place = found.end()
        phrase, mark, sign, word = found.groups()
        if phrase is not None:
            tokens.append(("phrase", phrase))
        elif word is not None:
            tokens.append(("word", word))
        else:
            tokens.append(("sign", mark or sign))
    if not tokens or len(tokens) > MAX_TOKENS:
        raise InvalidInput(FIELD, "no term" if not tokens else f"{len(tokens)} terms", f"1 to {MAX_TOKENS} terms")
    return tokens
