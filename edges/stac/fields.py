"""The Fields extension: what of an item to give (STAC API Fields 1.0.0), on members that are still bytes."""

from collections.abc import Iterable
from typing import Any

import msgspec

from edges.model import Fields, Members

DEFAULT_INCLUDE = (
    "type",
    "stac_version",
    "id",
    "collection",
    "geometry",
    "bbox",
    "links",
    "assets",
    "properties.datetime",
    "properties.start_datetime",
    "properties.end_datetime",
)
"""What an empty ``fields`` asks for: the least that is a valid Item, also where ``datetime`` is null."""

IDENTITY = ("type", "stac_version", "id", "collection")
"""What is always given unless excluded by name, so that an answer can be told apart and asked for again."""

_TOP_LEVEL = frozenset({*DEFAULT_INCLUDE, "properties", "stac_extensions"}) - {"properties.datetime"}
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

Tree = dict[str, Any]
"""Paths as a tree; an empty branch stands for everything below it."""


def apply_fields(item: Members, fields: Fields | None) -> Members:
    """Return the item with the members that ``fields`` asks for; unknown paths are no error.

    ============ ============ =================================================
    include      exclude      gives
    ============ ============ =================================================
    empty        empty        :data:`DEFAULT_INCLUDE`
    given        empty        what is included, and :data:`IDENTITY`
    empty        given        the whole item without what is excluded
    given        given        what is included and not excluded; the longer path
                              wins, and of equal ones what is included
    ============ ============ =================================================

    A path may leave out ``properties.`` where it names no member of an item.
    """
    if fields is None:
        return item
    chosen = item
    if fields.include or not fields.exclude:
        chosen = _pick(item, _tree((*IDENTITY, *(fields.include or DEFAULT_INCLUDE))))
    return _drop(chosen, _tree(fields.exclude), _tree(fields.include)) if fields.exclude else chosen


def _tree(paths: Iterable[str]) -> Tree:
    tree: Tree = {}
    for path in paths:
        steps = path.split(".")
        if steps[0] not in _TOP_LEVEL:
            steps = ["properties", path]
        elif steps[0] == "properties" and len(steps) > 1:
            steps = ["properties", path.partition(".")[2]]
        _plant(tree, steps)
    return tree


def _plant(tree: Tree, steps: list[str]) -> None:
    branch = tree
    for step in steps[:-1]:
        if branch.get(step) == {}:
            return  # all of it is named already
        branch = branch.setdefault(step, {})
    branch[steps[-1]] = {}


def _pick(members: Members, tree: Tree) -> Members:
    picked: Members = {}
    for name, raw in members.items():
        if name in tree:
            branch = tree[name]
            inner = _inside(raw) if branch else None
            if inner is None:
                picked[name] = raw
            else:
                picked[name] = _encoded(_pick(inner, branch))
    return picked


def _drop(members: Members, tree: Tree, asked: Tree) -> Members:
    """Return the members that the tree does not name, but for those that ``asked`` names just as far, or further."""
    kept: Members = {}
    for name, raw in members.items():
        branch, wanted = tree.get(name), asked.get(name)
        if branch is None or (branch == {} and wanted == {}):
            kept[name] = raw
        elif branch or wanted:
            inner = _inside(raw)
            if inner is not None:
                kept[name] = _encoded(_drop(inner, branch, wanted or {}) if branch else _pick(inner, wanted or {}))
            elif branch:
                kept[name] = raw
    return kept


def _inside(raw: msgspec.Raw) -> Members | None:
    try:
        return _OBJECT.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None  # not an object: it has no members to choose from


def _encoded(members: Members) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(members))
