"""The seams: narrow Protocols that say what their callers may rely on. Adapters live in the sub-packages.

Every method may raise :class:`edges.errors.SiteUnavailable` (no answer, worth trying again later) or
:class:`edges.errors.SiteMisbehaved` (an answer that its protocol forbids). Whoever opened an adapter closes it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Protocol

from edges.model import Batch, Capabilities, Json, Members, ObjectInfo, Part, Query


class Catalogue(Protocol):
    """A STAC catalogue that can be searched.

    Guarantees: a walk along ``Batch.next`` ends; a position is valid only for the query that gave it; items come in
    the total order of the query if ``capabilities().sort``. What ``capabilities`` does not claim is ignored by the
    catalogue, and the caller evaluates it.
    """

    async def capabilities(self) -> Capabilities:
        """Tell what can be pushed down."""
        ...

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Return one page of at most ``limit`` items, after the position ``after``."""
        ...

    async def collections(self) -> list[Json]:
        """Return all collections, as STAC Collection objects."""
        ...

    async def item(self, collection: str, item_id: str) -> Members | None:
        """Return one item, or None."""
        ...


class WritableCatalogue(Catalogue, Protocol):
    """A catalogue whose items can be changed (STAC Transaction extension semantics)."""

    async def put_collection(self, collection: Json) -> None:
        """Create or replace a collection. Idempotent."""
        ...

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        """Create or replace items of one collection: all of them or none. Idempotent."""
        ...

    async def delete_item(self, collection: str, item_id: str) -> bool:
        """Delete an item; tell whether it was there. Idempotent."""
        ...


class ObjectStore(Protocol):
    """One bucket of an S3 store (Amazon S3 API, 2006-03-01).

    An object becomes visible only whole: by ``put`` or by ``complete_upload``.
    """

    async def head(self, key: str) -> ObjectInfo | None:
        """Tell size, ETag and metadata of an object, or None."""
        ...

    def get(self, key: str, *, start: int = 0, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        """Stream an object from byte ``start``, in pieces of at most ``chunk`` bytes."""
        ...

    async def put(self, key: str, body: bytes, *, metadata: dict[str, str] | None = None) -> str:
        """Write a small object; return its ETag."""
        ...

    async def create_upload(self, key: str, *, metadata: dict[str, str] | None = None) -> str:
        """Begin a multipart upload; return its id."""
        ...

    async def put_part(self, key: str, upload_id: str, number: int, body: AsyncIterable[bytes], size: int) -> Part:
        """Stream one part of exactly ``size`` bytes; repeating a number replaces that part."""
        ...

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """List the confirmed parts, by number; raise NotFound where the upload is gone."""
        ...

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> str:
        """Make the object visible; return its ETag."""
        ...

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Discard an upload and its parts. Idempotent."""
        ...

    async def list_uploads(self, prefix: str = "") -> list[tuple[str, str]]:
        """List unfinished uploads below a prefix, as (key, upload id)."""
        ...

    def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List the objects below a prefix, by key (without metadata)."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object. Idempotent."""
        ...

    def presign_get(self, key: str, *, expires: int) -> str:
        """Return a URL that reads the object without credentials, for ``expires`` seconds."""
        ...
