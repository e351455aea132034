"""Reservations that take less than was asked for, where the policies in the way say ``trim``. No I/O."""

import math
from collections.abc import Mapping

import msgspec

from quotas.book import Asked, Book, reused
from quotas.model import Lease, Line, Refusal

_ROUNDS = 4
"""How often what is left is asked for again: policies of one edge and of all may each cut some."""


def reserve_some(book: Book, now: float, key: str, asked: Asked) -> Lease | Refusal:
    """Reserve as much as fits (see :class:`quotas.ledger.Ledger`)."""
    known = book.known(key)
    if known is not None:
        if known.charge != asked.charge or not _within(known.lines, asked.lines):
            raise reused(key)
        return known
    lines = asked.lines
    for _ in range(_ROUNDS):
        answer = book.reserve(now, key, asked.charge, lines, asked.ttl, asked.why)
        if not isinstance(answer, Refusal):
            return answer
        left = {resource: math.floor(amount) for resource, amount in answer.admissible.items()}
        if any(each.on_exceed != "trim" for each in answer.violated) or min(left.values()) <= 0:
            return answer
        lines = _cut(lines, left)
    return answer


def _within(given: tuple[Line, ...], asked: tuple[Line, ...]) -> bool:
    if [(line.resource, line.edge) for line in given] != [(line.resource, line.edge) for line in asked]:
        return False
    return all(one.amount <= other.amount for one, other in zip(given, asked, strict=True))


def _cut(lines: tuple[Line, ...], most: Mapping[str, float]) -> tuple[Line, ...]:
    """Cut each resource to what is left; lines at several edges share it in their order."""
    left = dict(most)
    cut = []
    for line in lines:
        amount = min(line.amount, left.get(line.resource, math.inf))
        if line.resource in left:
            left[line.resource] -= amount
        cut.append(msgspec.structs.replace(line, amount=amount))
    return tuple(cut)
