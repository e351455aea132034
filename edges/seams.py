"""The seams: narrow Protocols that say what their callers may rely on. Adapters live in the sub-packages.

Every method may raise :class:`edges.errors.SiteUnavailable` (no answer, worth trying again later) or
:class:`edges.errors.SiteMisbehaved` (an answer that its protocol forbids). Whoever opened an adapter closes it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from edges.compute.model import Adjustment, ClusterReport, KernelModel, Upstream
from edges.lines.sockets import Buffer
from edges.model import Batch, Capabilities, ClusterCap, EdgeUser, Json, Members, ObjectInfo, Part, Query, Stored


class Catalogue(Protocol):
    """A STAC catalogue that can be searched.

    Guarantees: a walk along ``Batch.next`` ends; a position is valid only for the query that gave it; items come in
    the total order of the query if ``capabilities().sort``. What ``capabilities`` does not claim is ignored by the
    catalogue, and the caller evaluates it.
    """

    async def capabilities(self) -> Capabilities:
        """Tell what can be pushed down."""
        ...

    def search(self, query: Query, *, limit: int, after: str | None = None) -> Awaitable[Batch]:
        """Return one page of at most ``limit`` items, after the position ``after``; await it once, or cancel it."""
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
        """Create or replace items of one collection: all of them or none. Idempotent.

        Raises:
            NotFound: the collection is not there.
        """
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

    def get(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        """Stream an object from byte ``start`` up to ``stop`` (not included), in pieces of at most ``chunk`` bytes."""
        ...

    def lend(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[Buffer]:
        """Stream an object as :meth:`get` does, to be passed on at once: a piece holds until the next is asked."""
        ...

    async def lend_whole(self, key: str) -> tuple[ObjectInfo, AsyncIterator[Buffer]]:
        """Begin to stream an object as :meth:`lend` does; tell what it is, as the same answer does (no metadata).

        Raises:
            NotFound: there is no such object.
            SiteUnavailable: the service does not answer.
        """
        ...

    async def put(self, key: str, body: Buffer, *, metadata: dict[str, str] | None = None) -> str:
        """Write a small object; return its ETag."""
        ...

    async def put_stream(
        self,
        key: str,
        body: AsyncIterable[Buffer],
        size: int,
        *,
        metadata: dict[str, str] | None = None,
        if_absent: bool = False,
    ) -> Stored:
        """Stream an object of exactly ``size`` bytes; nothing is visible unless the body ended by itself.

        With ``if_absent``, raise Conflict where an object is there, if the service can tell. Never repeated.
        """
        ...

    async def copy_from(self, origin: ObjectInfo, bucket: str, key: str, *, metadata: dict[str, str]) -> None:
        """Copy an object of the same service inside it, only while it has the ETag told.

        Raises Conflict where it has changed, NotFound where it is gone.
        """
        ...

    async def create_upload(self, key: str, *, metadata: dict[str, str] | None = None) -> str:
        """Begin a multipart upload; return its id."""
        ...

    async def put_part(self, key: str, upload_id: str, number: int, body: AsyncIterable[Buffer], size: int) -> Part:
        """Stream one part of exactly ``size`` bytes; repeating a number replaces that part."""
        ...

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """List the confirmed parts, by number; raise NotFound where the upload is gone."""
        ...

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part], *, if_absent: bool = False) -> str:
        """Make the object visible; return its ETag.

        With ``if_absent``, raise Conflict where an object is there already, if the service can tell.
        """
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


class DaskBackend(Protocol):
    """One edge's Dask Gateway, acted on in the name of a user (``edges.compute.dask_gateway``).

    Guarantees: a cluster never outgrows the cap it was created with; the user's own credentials are never needed.
    Beside the errors above: :class:`edges.compute.errors.ComputeRefused` where the edge refuses in its own words,
    :class:`edges.compute.errors.NotRunning` where a cluster cannot be scaled, :class:`edges.errors.NotFound`.
    """

    @property
    def comm_address(self) -> tuple[str, int]:
        """Return host and port of the TLS proxy in front of the clusters' schedulers."""
        ...

    def dashboard(self, name: str) -> Upstream:
        """Return where a cluster's dashboard is."""
        ...

    async def version(self) -> str:
        """Return the server's version; the cheapest sign of life."""
        ...

    async def options(self, user: EdgeUser) -> list[Json]:
        """Return the option fields that the edge offers this user."""
        ...

    async def create(self, user: EdgeUser, options: Mapping[str, Any], cap: ClusterCap) -> str:
        """Start a cluster within ``cap``; return its name, which may become a host name."""
        ...

    async def report(self, user: EdgeUser, name: str, *, wait: bool = False) -> ClusterReport | None:
        """Return the full report, None where unknown; ``wait`` holds up to 20 s until the cluster has started."""
        ...

    async def reports(self, user: EdgeUser, statuses: Iterable[str] = ()) -> dict[str, ClusterReport]:
        """Return the user's clusters by name, by default those pending or running."""
        ...

    async def stop(self, user: EdgeUser, name: str) -> None:
        """Stop a cluster. Idempotent."""
        ...

    async def scale(self, user: EdgeUser, name: str, count: int) -> Adjustment:
        """Ask for ``count`` workers."""
        ...

    async def adapt(
        self, user: EdgeUser, name: str, *, minimum: int | None, maximum: int | None, active: bool
    ) -> Adjustment:
        """Let the cluster scale by itself between the bounds."""
        ...


class KernelBackend(Protocol):
    """One edge's Jupyter kernel gateway (``edges.compute.jupyter``).

    Guarantees: kernel ids are unique at the edge. A kernel model names no user: the caller keeps whose it is.
    Beside the errors above: :class:`edges.compute.errors.ComputeRefused`, :class:`edges.errors.NotFound`.
    """

    async def specs(self) -> Json:
        """Return the kernelspecs: ``{"default": name, "kernelspecs": {name: {...}}}``."""
        ...

    async def resource(self, spec: str, path: str) -> tuple[str, bytes]:
        """Return a kernelspec's file (its logo) as (content type, bytes)."""
        ...

    async def kernels(self) -> dict[str, KernelModel]:
        """Return all kernels of the edge by id."""
        ...

    async def start(self, spec: str, env: Mapping[str, str]) -> KernelModel:
        """Start a kernel with these variables (the edge lets through those that it allows)."""
        ...

    async def kernel(self, kernel_id: str) -> KernelModel | None:
        """Return a kernel, or None where it is gone."""
        ...

    async def stop(self, kernel_id: str) -> None:
        """End a kernel. Idempotent."""
        ...

    async def interrupt(self, kernel_id: str) -> None:
        """Interrupt what a kernel runs."""
        ...

    async def restart(self, kernel_id: str) -> KernelModel:
        """Restart a kernel under its id."""
        ...

    def channels(self, kernel_id: str, session_id: str | None) -> Upstream:
        """Return where the kernel's websocket is."""
        ...
