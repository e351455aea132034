"""Where JSON text stands in the rows of a file: the names down to it, ``[]`` for each element of a list. Pure.

Our files tell it in their metadata, so that who reads them decodes there and nowhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edges.geoparquet.shapes import Column


def json_paths(columns: Mapping[str, Column]) -> list[tuple[str, ...]]:
    """Return where JSON text stands in columns of these types."""
    found: list[tuple[str, ...]] = []
    pending: list[tuple[tuple[str, ...], Column]] = [((name,), column) for name, column in columns.items()]
    while pending:
        path, column = pending.pop()
        if column.kind == "json":
            found.append(path)
        if column.element is not None:
            pending.append(((*path, "[]"), column.element))
        pending += [((*path, name), member) for name, member in column.members.items()]
    return sorted(found)


def change_at(holder: Any, path: Sequence[str], change: Callable[[Any], Any]) -> None:
    """Replace what stands at a path, where anything does.

    Raises:
        TypeError: the path leads through something that holds nothing.
        ValueError: it ends at a list.
    """
    name, *rest = path
    if name == "[]":
        for element in holder:
            if element is not None:
                change_at(element, rest, change)
        return
    if not isinstance(holder, dict):
        raise TypeError(f"{name[:100]!r} is looked for in a {type(holder).__name__}")
    value = holder.get(name)
    if value is None:
        return
    if rest:
        change_at(value, rest, change)
    else:
        holder[name] = change(value)
