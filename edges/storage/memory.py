"""A bucket in memory: the shortest statement of what :class:`edges.seams.ObjectStore` means."""

import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

from edges.errors import Conflict, NotFound, SiteMisbehaved, SiteUnavailable
from edges.lines.sockets import Buffer
from edges.model import ObjectInfo, Part, Stored


class _Stored(NamedTuple):
    body: bytes
    etag: str
    metadata: dict[str, str]


class _Upload(NamedTuple):
    key: str
    metadata: dict[str, str]
    parts: dict[int, bytes]


class MemoryStore:
    """Implements :class:`edges.seams.ObjectStore` for one process."""

    def __init__(self, *, site: str = "memory", bucket: str = "bucket") -> None:
        self.site = site
        self.bucket = bucket
        self._objects: dict[str, _Stored] = {}
        self._uploads: dict[str, _Upload] = {}

    async def head(self, key: str) -> ObjectInfo | None:
        """Tell size, ETag and metadata of an object, or None."""
        stored = self._objects.get(key)
        if stored is None:
            return None
        return ObjectInfo(key=key, size=len(stored.body), etag=stored.etag, metadata=stored.metadata)

    async def get(
        self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 20
    ) -> AsyncIterator[bytes]:
        """Stream an object from byte ``start`` up to ``stop``, in pieces of at most ``chunk`` bytes."""
        stored = self._objects.get(key)
        if stored is None:
            raise NotFound(f"{self.site}: no object {key!r}")
        wanted = stored.body[start:stop]
        for position in range(0, len(wanted), chunk):
            yield wanted[position : position + chunk]

    def lend(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[Buffer]:
        """Stream an object as :meth:`get` does: nothing here is used again."""
        return self.get(key, start=start, stop=stop)

    async def lend_whole(self, key: str) -> tuple[ObjectInfo, AsyncIterator[Buffer]]:
        """Stream a whole object; tell what it is."""
        info = await self.head(key)
        if info is None:
            raise NotFound(f"no object {key!r}")
        return info, self.get(key)

    async def put(self, key: str, body: Buffer, *, metadata: dict[str, str] | None = None) -> str:
        """Write a small object; return its ETag."""
        etag = _etag(body)
        self._objects[key] = _Stored(bytes(body), etag, dict(metadata or {}))
        return etag

    async def put_stream(
        self,
        key: str,
        body: AsyncIterable[Buffer],
        size: int,
        *,
        metadata: dict[str, str] | None = None,
        if_absent: bool = False,
    ) -> Stored:
        """Stream an object of exactly ``size`` bytes; raise Conflict where one is there, with ``if_absent``."""
        whole = b"".join([bytes(piece) async for piece in body])
        if len(whole) != size:
            raise SiteUnavailable(self.site, f"the body has {len(whole)} of the announced {size} bytes")
        if if_absent and key in self._objects:
            raise Conflict(f"{self.site}: there is an object {key!r}")
        return Stored(etag=await self.put(key, whole, metadata=metadata))

    async def copy_from(self, origin: ObjectInfo, bucket: str, key: str, *, metadata: dict[str, str]) -> None:
        """Copy an object of this bucket, only while it has the ETag told."""
        stored = self._objects.get(origin.key) if bucket == self.bucket else None
        if stored is None:
            raise NotFound(f"{self.site}: no object {origin.key!r}")
        if stored.etag != origin.etag:
            raise Conflict(f"{self.site}: {origin.key!r} has changed")
        await self.put(key, stored.body, metadata=metadata)

    async def create_upload(self, key: str, *, metadata: dict[str, str] | None = None) -> str:
        """Begin a multipart upload; return its id."""
        upload_id = secrets.token_hex(8)
        self._uploads[upload_id] = _Upload(key, dict(metadata or {}), {})
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, body: AsyncIterable[Buffer], size: int) -> Part:
        """Stream one part of exactly ``size`` bytes; repeating a number replaces that part."""
        upload = self._upload(key, upload_id)
        whole = b"".join([bytes(piece) async for piece in body])
        if len(whole) != size:
            raise SiteMisbehaved(self.site, f"part {number} has {len(whole)} of the announced {size} bytes")
        upload.parts[number] = whole
        return Part(number=number, etag=_etag(whole), size=size)

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """List the confirmed parts, by number; raise NotFound where the upload is gone."""
        parts = self._upload(key, upload_id).parts
        return [Part(number=number, etag=_etag(body), size=len(body)) for number, body in sorted(parts.items())]

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part], *, if_absent: bool = False) -> str:
        """Make the object visible; return its ETag. With ``if_absent``, raise Conflict where one is there."""
        upload = self._upload(key, upload_id)
        if if_absent and key in self._objects:
            raise Conflict(f"{self.site}: there is an object {key!r}")
        numbers = [part.number for part in parts]
        wrong = numbers != sorted(set(numbers)) or any(
            part.number not in upload.parts or _etag(upload.parts[part.number]) != part.etag for part in parts
        )
        if wrong or not parts:
            raise SiteMisbehaved(self.site, "the parts named are not those uploaded, in rising order")
        body = b"".join(upload.parts[number] for number in numbers)
        del self._uploads[upload_id]
        return await self.put(key, body, metadata=upload.metadata)

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Discard an upload and its parts. Idempotent."""
        if upload_id in self._uploads and self._uploads[upload_id].key == key:
            del self._uploads[upload_id]

    async def list_uploads(self, prefix: str = "") -> list[tuple[str, str]]:
        """List unfinished uploads below a prefix, as (key, upload id)."""
        return sorted((upload.key, name) for name, upload in self._uploads.items() if upload.key.startswith(prefix))

    async def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List the objects below a prefix, by key (without metadata)."""
        for key, stored in sorted(self._objects.items()):
            if key.startswith(prefix):
                yield ObjectInfo(key=key, size=len(stored.body), etag=stored.etag)

    async def delete(self, key: str) -> None:
        """Delete an object. Idempotent."""
        self._objects.pop(key, None)

    def presign_get(self, key: str, *, expires: int) -> str:
        """Return a URL that names the object; nothing serves it."""
        return f"memory://{self.bucket}/{quote(key)}?expires={expires}"

    def _upload(self, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise NotFound(f"{self.site}: no upload of {key!r} with this id")
        return upload


def _etag(body: Buffer) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
