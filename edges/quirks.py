"""What a site was caught at, as values: since when, how often, by which request. Pure."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from edges.model import Frozen, Json, Query
from edges.stac.request import query_to_post

QuirkKind = Literal[
    "order",
    "ties",
    "filter",
    "bbox",
    "intersects",
    "datetime",
    "ids",
    "collections",
    "limit",
    "duplicates",
    "foreign",
    "misshapen",
    "unsafe",
    "copies",
]

TOLD: Mapping[QuirkKind, str] = {
    "order": "does not keep the order it was asked for",
    "ties": "mixes items with equal sort values",
    "filter": "gives items that the filter excludes",
    "bbox": "gives items outside of the bbox",
    "intersects": "gives items that do not intersect the geometry",
    "datetime": "gives items outside of the datetime interval",
    "ids": "gives items with other ids than those asked for",
    "collections": "gives items of other collections than those asked for",
    "limit": "gives more items than it was asked for",
    "duplicates": "gives the same item twice",
    "foreign": "gives items of a collection that it does not hold",
    "misshapen": "gives items that are no STAC items",
    "unsafe": "gives links or assets with addresses that no client should open",
    "copies": "tells other values of an item than a site that has it, too",
}
"""What is said of each kind; kinds are few, so that they can be labels of a metric."""

KINDS: tuple[QuirkKind, ...] = get_args(QuirkKind)
MAX_EXAMPLE_BYTES = 2_048


class Quirk(Frozen):
    """One thing that a site was caught at. Moments are seconds since 1970; ``example`` is the latest request."""

    kind: QuirkKind
    since: float
    last: float
    count: int = 1
    example: Json | None = None

    @property
    def text(self) -> str:
        """Say it to a person."""
        return TOLD[self.kind]


def noted(
    known: Mapping[QuirkKind, Quirk], kind: QuirkKind, now: float, *, count: int = 1, example: Json | None = None
) -> dict[QuirkKind, Quirk]:
    """Return what is known of a site after it was caught at something ``count`` times."""
    old = known.get(kind)
    if old is None:
        return {**known, kind: Quirk(kind=kind, since=now, last=now, count=count, example=example)}
    changed = msgspec.structs.replace(old, last=now, count=old.count + count, example=example or old.example)
    return {**known, kind: changed}


def example_request(url: str, query: Query, *, limit: int) -> Json:
    """Return a request that shows a quirk, as one can send it by hand; what is long in it is left out and named."""
    body = query_to_post(query) | {"limit": limit}
    example: dict[str, Any] = {"method": "POST", "url": f"{url.rstrip('/')}/search", "body": body}
    for name in ("intersects", "ids", "filter", "collections"):
        if len(msgspec.json.encode(example)) <= MAX_EXAMPLE_BYTES:
            break
        if body.pop(name, None) is not None:
            example["left_out"] = [*example.get("left_out", ()), name]
    return example
