"""Patterns of LIKE: ``%`` any characters, ``_`` one, a backslash takes the next as it is (OGC 21-065r2, section 7.4).

A pattern may come from anybody, and the text that it is held against, too: neither may cost more than it is long.
"""

import re
from functools import cached_property, lru_cache

from edges.stac.limits import MAX_PATTERN

_LONGEST = 4 * MAX_PATTERN
"""Longest pattern that is read, in characters: one that was folded may be longer than it came."""


def matches_pattern(text: str, pattern: str) -> bool | None:
    """Tell whether text matches a pattern, in time linear in the text for each piece of it; None where it is too long.

    >>> matches_pattern("S2A_MSIL2A", "S2_%L2A"), matches_pattern("S2A", "x" * 10_000)
    (True, None)
    """
    if len(pattern) > _LONGEST:
        return None
    first, *rest = _pieces(pattern)
    if not first.stands_at(text, 0):
        return False
    place = first.width
    if not rest:
        return place == len(text)
    *middle, last = rest
    for piece in middle:  # the leftmost place of each piece leaves the most for the others
        start = piece.found(text, place)
        if start < 0:
            return False
        place = start + piece.width
    return len(text) - last.width >= place and last.stands_at(text, len(text) - last.width)


class _Piece:
    """What stands between two ``%``: it matches texts of one length only, so it cannot backtrack.

    It is compiled where a text has come so far: one that is held against no text costs next to nothing.
    """

    def __init__(self, characters: list[str | None]) -> None:
        self._characters = characters
        self.width = len(characters)

    def stands_at(self, text: str, place: int) -> bool:
        """Tell whether it matches what stands at a place."""
        return self._compiled.match(text, place) is not None

    def found(self, text: str, place: int) -> int:
        """Return the first place from there on where it matches, -1 for none."""
        found = self._compiled.search(text, place)
        return -1 if found is None else found.start()

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        source = "".join("." if each is None else re.escape(each) for each in self._characters)
        return re.compile(source, re.DOTALL)


@lru_cache(maxsize=256)
def _pieces(pattern: str) -> tuple[_Piece, ...]:
    pieces: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            pieces.append([])
        else:
            literal = next(characters, "\\") if character == "\\" else character
            pieces[-1].append(None if character == "_" else literal)
    return tuple(map(_Piece, pieces))
