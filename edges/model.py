"""The nouns that every room shares. Frozen values; nothing here does I/O."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, dataclass_transform

import msgspec

Bytes = bytes | bytearray
"""The bytes of an answer, whole: nobody changes them any more."""
Json = dict[str, Any]
"""A decoded JSON object."""

Members = dict[str, msgspec.Raw]
"""A STAC item or collection whose top-level members are still the site's own bytes."""

MAX_LIMIT = 10_000
"""Largest page we ever serve, in items; a larger ``limit`` is clamped (STAC API Item Search, ``limit``)."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(msgspec.StructMeta):
    """Tells type checkers that sub-classes are frozen and keyword-only, too."""


class Frozen(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our values: immutable, keyword-only, strict when decoded."""


class Interval(Frozen):
    """A closed time interval in microseconds since 1970-01-01T00:00:00Z; ``None`` is an open end."""

    start: int | None = None
    end: int | None = None


class SortKey(Frozen):
    """One key of an order: an item field (``datetime``, ``eo:cloud_cover``, ``id``, ``collection``)."""

    field: str
    descending: bool = False


class Fields(Frozen):
    """The Fields extension: what to include and exclude, as dotted paths (``properties.datetime``)."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


Dedup = Literal["none", "replica", "product", "observation"]
"""Which copies of one scene a search gives once: see ``gateway.search.identity`` for the rungs of this ladder."""


class Query(Frozen):
    """A search, after parsing: what to match, in which order, how much of it.

    ``bbox`` is west, south, east, north in degrees (west > east crosses the antimeridian).
    ``intersects`` is a GeoJSON geometry. ``filter`` is CQL2 JSON. ``text`` are expressions of free text, any of which
    must hold (``edges.stac.free_text``). ``sites`` are those that may be asked, None for all. ``sortby`` is as asked;
    the total order adds its own tie-breaks (``edges.stac.order``). An empty ``collections`` or ``ids`` tuple matches
    nothing. ``provenance`` asks to tell on each item what harmonisation changed.
    """

    collections: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    bbox: tuple[float, float, float, float] | None = None
    intersects: Json | None = None
    datetime: Interval | None = None
    filter: Json | None = None
    text: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    dedup: Dedup = "replica"
    provenance: bool = False
    sortby: tuple[SortKey, ...] = ()
    fields: Fields | None = None
    limit: int = 10


class Batch(Frozen):
    """One page of one catalogue, in the catalogue's order.

    ``next`` is an opaque position for the following page of the same query at the same catalogue; ``None`` at the
    end. ``matched`` is the exact number of matches where the catalogue tells it. ``exact`` is false where the query
    had parts that the site has no words for: items that do not match are then no fault of the site. ``items`` may be
    decoded only as they are read, and raise :class:`edges.errors.SiteMisbehaved` then.
    """

    items: Sequence[Members]
    next: str | None = None
    matched: int | None = None
    exact: bool = True


class Capabilities(Frozen):
    """What a catalogue can be asked to do (from its conformance classes, corrected by its behaviour).

    ``ties``: it also honours the tie-breaks (collection, id) that we ask for, so that its order is our total order.
    ``text``: it evaluates free text, by our own grammar and over our own fields. ``unsortable`` are fields whose order
    is another one there, since they have other names or values. ``sortable`` are all that it can be asked for,
    None for any. ``aggregates`` are the aggregations that it may be asked for (``edges.stac.aggregation``).
    ``ids_at_once`` is how many ids one request may name where copies are looked for.
    """

    filter: bool = False
    text: bool = False
    sort: bool = False
    ties: bool = True
    fields: bool = False
    post: bool = True
    transaction: bool = False
    unsortable: frozenset[str] = frozenset()
    sortable: frozenset[str] | None = None
    aggregates: frozenset[str] = frozenset()
    ids_at_once: int = 250


class Alternate(Frozen):
    """Another place of the same bytes (STAC alternate-assets v1.2.0)."""

    site: str
    href: str


class Health(Frozen):
    """How a site is, as last seen."""

    status: Literal["up", "degraded", "down", "unknown"]
    reason: str = ""
    checked_at: float | None = None


class ClusterCap(Frozen):
    """The hard limit of one Dask cluster, fixed at creation: cores, memory in bytes, and GPUs."""

    cores: float
    memory: int
    gpus: float = 0.0


class EdgeUser(Frozen):
    """Who acts at an edge: told to the edge in a short-lived signed claim, never by the user's credentials."""

    name: str
    groups: tuple[str, ...] = ()


class ObjectInfo(Frozen):
    """What HEAD tells of an object. ``size`` in bytes; ``metadata`` are the user's ``x-amz-meta-*`` values."""

    key: str
    size: int
    etag: str
    metadata: Mapping[str, str] = {}


class Stored(Frozen):
    """A written object, as the store confirmed it: its ETag and, if it told it, the CRC-64/NVME of what it holds."""

    etag: str
    crc64nvme: int | None = None


class Part(Frozen):
    """A part of a multipart upload that the store has confirmed. ``number`` counts from 1; ``size`` in bytes.

    ``crc64nvme`` is of its bytes, as whoever sent them computed it.
    """

    number: int
    etag: str
    size: int
    crc64nvme: int | None = None
