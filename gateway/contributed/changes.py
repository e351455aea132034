"""Preconditions of changes (RFC 9110 section 13.1), and changes told as patches (RFC 7396). Pure."""

from collections.abc import Iterable
from typing import Any, ClassVar

from edges.errors import InvalidInput
from edges.model import Json


class PreconditionFailed(Exception):
    """The document has changed since the client read it, or the client wanted to make it anew."""

    status: ClassVar[int] = 412
    title: ClassVar[str] = "Precondition failed"


def check_match(wanted: str | None, unwanted: str | None, tag: str | None) -> None:
    """Check ``If-Match`` and ``If-None-Match`` of a change; ``tag`` is None where nothing is there.

    Raises:
        PreconditionFailed: another state was wanted.
    """
    if wanted is not None and not _any(wanted, tag):
        raise PreconditionFailed("it has changed since it was read (If-Match); read it again, and change that")
    if unwanted is not None and _any(unwanted, tag):
        raise PreconditionFailed("it is there already (If-None-Match)")


def _any(told: str, tag: str | None) -> bool:
    if told.strip() == "*":
        return tag is not None
    return tag is not None and tag in [_opaque(each) for each in told.split(",")]


def _opaque(told: str) -> str:
    """Return a tag as we write it: compression on the way may have made it a weak one."""
    return told.strip().removeprefix("W/")


def merged(document: Any, patch: Any) -> Any:
    """Return a document changed by a JSON Merge Patch (RFC 7396).

    >>> merged({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    base = document if isinstance(document, dict) else {}
    changed = {name: value for name, value in base.items() if name not in patch}
    return changed | {name: merged(base.get(name), value) for name, value in patch.items() if value is not None}


def replaced_members(document: Json, patch: Json, fixed: Iterable[str]) -> Json:
    """Return a document merged with a patch that leaves ``fixed`` members as they are.

    Raises:
        InvalidInput: the patch would change one of them.
    """
    for name in fixed:
        if name in patch and patch[name] != document.get(name):
            raise InvalidInput(name, "it would change", f"{document.get(name)!r}, as it is")
    changed: Json = merged(document, patch)
    return changed
