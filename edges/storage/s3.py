"""One bucket of an S3 service: control calls by botocore, bytes by :class:`edges.storage.s3_wire.S3Wire`."""

import asyncio
import random
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import tenacity
from botocore.exceptions import BotoCoreError, ClientError

from edges.errors import Conflict, NotFound, SiteMisbehaved, SiteUnavailable
from edges.lines.answers import PIECE
from edges.lines.lines import Lines
from edges.lines.sockets import Buffer
from edges.model import ObjectInfo, Part, Stored
from edges.settings import StorageSettings
from edges.storage.s3_client import s3_client
from edges.storage.s3_errors import copied_etag, refusal, translated
from edges.storage.s3_wire import S3Wire, Whole, crc_of, kept

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_T = TypeVar("_T")

_LARGEST_COPY = 5 << 30
"""Bytes that one CopyObject takes at most; beyond, parts are copied (Amazon S3 API Reference, "CopyObject")."""

_COPY_PART = 1 << 30
"""Bytes of one copied part."""

_COPY_SECONDS = 600.0
"""How long the service may take for one copy inside itself."""


class S3Store:
    """Implements :class:`edges.seams.ObjectStore`; open it with ``async with``.

    ``connections`` of the settings bound the control calls and the data streams, each. ``stall_seconds``
    without a byte breaks a call off. Calls that can be repeated are tried ``attempts`` times with growing
    pauses of at most ``pause_seconds``; a streamed body is sent once.
    """

    def __init__(
        self,
        *,
        site: str,
        settings: StorageSettings,
        lines: Lines,
        stall_seconds: float = 30.0,
        attempts: int = 5,
        pause_seconds: float = 5.0,
    ) -> None:
        self.site = site
        self.bucket = settings.bucket
        self._settings = settings
        self._stall = stall_seconds
        self._attempts = attempts
        self._pause = pause_seconds
        self._wire = S3Wire(site=site, settings=settings, lines=lines, stall=stall_seconds)
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix=f"s3-{site}")
        self._open = False
        self._connecting = threading.Lock()
        self._client: S3Client | None = None

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()
            self._client = None

    # -- control calls ---------------------------------------------------------------------------------------

    async def head(self, key: str) -> ObjectInfo | None:
        """Tell size, ETag and metadata of an object, or None."""

        async def once() -> ObjectInfo | None:
            status, told = await self._wire.head(key)
            if status == 404:
                return None
            if status != 200:
                raise refusal(self.site, "HeadObject", status, "")
            metadata = {
                name.lower().removeprefix("x-amz-meta-"): value
                for name, value in told.items()
                if name.lower().startswith("x-amz-meta-")
            }
            size = int(told.get("Content-Length", "0"))
            return ObjectInfo(key=key, size=size, etag=told.get("ETag", ""), metadata=metadata)

        return await self._repeated(once)

    async def create_upload(self, key: str, *, metadata: dict[str, str] | None = None) -> str:
        """Begin a multipart upload; return its id."""
        told = await self._call(
            "CreateMultipartUpload",
            lambda s3: s3.create_multipart_upload(Bucket=self.bucket, Key=key, Metadata=metadata or {}),
        )
        return str(told["UploadId"])

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """List the confirmed parts, by number; raise NotFound where the upload is gone."""
        parts: list[Part] = []
        marker = 0
        while True:
            told = await self._call("ListParts", self._parts_page(key, upload_id, marker))
            parts += [
                Part(number=part["PartNumber"], etag=part["ETag"], size=part["Size"]) for part in told.get("Parts", [])
            ]
            following = told.get("NextPartNumberMarker", 0)
            if not told.get("IsTruncated"):
                return sorted(parts, key=lambda part: part.number)
            if following <= marker:
                raise SiteMisbehaved(self.site, "ListParts does not move on")
            marker = following

    def _parts_page(self, key: str, upload_id: str, marker: int) -> "Callable[[S3Client], Any]":
        return lambda s3: s3.list_parts(Bucket=self.bucket, Key=key, UploadId=upload_id, PartNumberMarker=marker)

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part], *, if_absent: bool = False) -> str:
        """Make the object visible; return its ETag.

        With ``if_absent`` an object that is there already is kept and :class:`edges.errors.Conflict` raised,
        where the service honours ``If-None-Match: *`` on this call (Amazon S3 and Ceph 20 do; others ignore
        it).
        """
        named: list[Any] = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        told = await self._call(
            "CompleteMultipartUpload",
            lambda s3: s3.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": named},
                **condition,
            ),
        )
        return str(told.get("ETag", ""))

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Discard an upload and its parts. Idempotent."""
        try:
            await self._call(
                "AbortMultipartUpload",
                lambda s3: s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id),
            )
        except NotFound:
            return

    async def list_uploads(self, prefix: str = "") -> list[tuple[str, str]]:
        """List unfinished uploads below a prefix, as (key, upload id)."""
        found: list[tuple[str, str]] = []
        after: tuple[str, str] = ("", "")
        while True:
            try:
                told = await self._call("ListMultipartUploads", self._uploads_page(prefix, after))
            except NotFound:  # rclone says so of a bucket that never had an upload
                return found
            found += [(upload["Key"], upload["UploadId"]) for upload in told.get("Uploads", [])]
            following = (told.get("NextKeyMarker", ""), told.get("NextUploadIdMarker", ""))
            if not told.get("IsTruncated"):
                return [upload for upload in found if upload[0].startswith(prefix)]
            if following <= after:
                raise SiteMisbehaved(self.site, "ListMultipartUploads does not move on")
            after = following

    def _uploads_page(self, prefix: str, after: tuple[str, str]) -> "Callable[[S3Client], Any]":
        marker: dict[str, Any] = {"KeyMarker": after[0], "UploadIdMarker": after[1]} if after[0] else {}
        return lambda s3: s3.list_multipart_uploads(
            Bucket=self.bucket,
            Prefix=prefix,
            **marker,
        )

    async def list_objects(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """List the objects below a prefix, by key (without metadata)."""
        token = ""
        while True:
            told = await self._call("ListObjectsV2", self._objects_page(prefix, token))
            for found in told.get("Contents", []):
                yield ObjectInfo(key=found["Key"], size=found["Size"], etag=found.get("ETag", ""))
            following = told.get("NextContinuationToken", "")
            if not told.get("IsTruncated"):
                return
            if not following or following == token:
                raise SiteMisbehaved(self.site, "ListObjectsV2 does not move on")
            token = following

    def _objects_page(self, prefix: str, token: str) -> "Callable[[S3Client], Any]":
        position: dict[str, Any] = {"ContinuationToken": token} if token else {}
        return lambda s3: s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **position)

    async def delete(self, key: str) -> None:
        """Delete an object. Idempotent."""
        try:
            await self._call("DeleteObject", lambda s3: s3.delete_object(Bucket=self.bucket, Key=key))
        except NotFound:
            return

    def presign_get(self, key: str, *, expires: int) -> str:
        """Return a URL that reads the object without credentials, for ``expires`` seconds."""
        return self._wire.presigned(key, expires=expires)

    # -- bytes -----------------------------------------------------------------------------------------------

    def get(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        """Stream an object from byte ``start`` up to ``stop`` (not included), in pieces of at most ``chunk`` bytes.

        Raises:
            NotFound: there is no such object.
            SiteUnavailable: the stream broke off or stalled; go on with ``start`` at what has arrived.
        """
        return kept(self._wire.get(key, start=start, stop=stop, chunk=chunk))

    def lend(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[Buffer]:
        """Stream an object as :meth:`get` does, without a copy: each piece holds until the next is asked for."""
        return self._wire.get(key, start=start, stop=stop, chunk=PIECE)

    async def lend_whole(self, key: str) -> tuple[ObjectInfo, AsyncIterator[Buffer]]:
        """Begin to stream an object as :meth:`lend` does; tell what it is, as the same answer does (no metadata)."""
        pieces, info = await self._wire.begin(key)
        if info is not None:
            return info, pieces
        await pieces.aclose()  # it does not tell its length
        told = await self.head(key)
        if told is None:
            raise NotFound(f"{self.site}: no object {key!r}")
        return told, self.lend(key)

    async def put(self, key: str, body: Buffer, *, metadata: dict[str, str] | None = None) -> str:
        """Write a small object; return its ETag."""
        headers = _told(metadata)
        told = await self._send("PutObject", key, {}, headers, Whole(body), len(body))
        return told.get("ETag", "")

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

        With ``if_absent``, raises Conflict where an object is there, if the service honours ``If-None-Match: *``.
        """
        headers = _told(metadata) | ({"If-None-Match": "*"} if if_absent else {})
        told = await self._send("PutObject", key, {}, headers, body, size)
        return Stored(etag=told.get("ETag", ""), crc64nvme=crc_of(told.get("x-amz-checksum-crc64nvme", "")))

    async def put_part(self, key: str, upload_id: str, number: int, body: AsyncIterable[Buffer], size: int) -> Part:
        """Stream one part of exactly ``size`` bytes; repeating a number replaces that part."""
        query = {"uploadId": upload_id, "partNumber": str(number)}
        told = await self._send("UploadPart", key, query, {}, body, size)
        return Part(number=number, etag=told.get("ETag", ""), size=size)

    async def copy_from(self, origin: ObjectInfo, bucket: str, key: str, *, metadata: dict[str, str]) -> None:
        """Copy an object of this service (``origin``, in ``bucket``) inside it, only while it has that ETag.

        Some services do not look at the condition (Ceph 16, rclone): the origin is looked at again afterwards.

        Raises:
            Conflict: the origin has changed; a copy of something else was deleted.
            NotFound: it is gone.
        """
        source = {
            "x-amz-copy-source": f"/{bucket}/{quote(origin.key, safe='/-_.~')}",
            "x-amz-copy-source-if-match": origin.etag,
        }
        if origin.size <= _LARGEST_COPY:
            headers = _told(metadata) | source | {"x-amz-metadata-directive": "REPLACE"}
            await self._repeated(lambda: self._wire.copy("CopyObject", key, {}, headers, _COPY_SECONDS))
            await self._unchanged(origin, bucket, key)
            return
        upload = await self.create_upload(key, metadata=metadata)
        try:
            parts = [
                await self._copy_part(key, upload, number, source, (first, min(first + _COPY_PART, origin.size)))
                for number, first in enumerate(range(0, origin.size, _COPY_PART), start=1)
            ]
            await self.complete_upload(key, upload, parts)
            await self._unchanged(origin, bucket, key)
        except BaseException:  # also where the copy is given up: parts that nobody completes would be paid for
            await asyncio.shield(self.abort_upload(key, upload))
            raise

    async def _unchanged(self, origin: ObjectInfo, bucket: str, copied: str) -> None:
        status, told = await self._wire.head(origin.key, bucket=bucket)
        if status == 200 and told.get("ETag", "").strip('"') == origin.etag.strip('"'):
            return
        await self.delete(copied)
        raise Conflict(f"{self.site}: the object changed while it was copied")

    async def _copy_part(
        self, key: str, upload: str, number: int, source: dict[str, str], span: tuple[int, int]
    ) -> Part:
        headers = source | {"x-amz-copy-source-range": f"bytes={span[0]}-{span[1] - 1}"}
        query = {"uploadId": upload, "partNumber": str(number)}
        told = await self._repeated(lambda: self._wire.copy("UploadPartCopy", key, query, headers, _COPY_SECONDS))
        return Part(number=number, etag=copied_etag(told), size=span[1] - span[0])

    def _send(
        self,
        operation: str,
        key: str,
        query: dict[str, str],
        headers: dict[str, str],
        body: AsyncIterable[Buffer],
        size: int,
    ) -> Awaitable[Mapping[str, str]]:
        def once() -> Awaitable[Mapping[str, str]]:
            return self._wire.send(operation, key, query, headers, body, size)

        if isinstance(body, Whole):
            return self._repeated(once)
        return once()  # consumed by the first try, so there is no second

    # -- signing, threads, repeats ---------------------------------------------------------------------------

    def _connected(self) -> "S3Client":
        """Return the client, made by the first call that wants it (in a thread): small objects need none."""
        with self._connecting:
            if self._client is None:
                self._client = s3_client(self._settings, stall_seconds=self._stall)
            return self._client

    async def _call(self, operation: str, act: "Callable[[S3Client], Any]") -> Any:
        if not self._open:
            raise RuntimeError("the store is not open: enter it with `async with`")
        loop = asyncio.get_running_loop()

        async def once() -> Any:
            try:
                return await loop.run_in_executor(self._threads, lambda: act(self._connected()))
            except ClientError as error:
                raise translated(self.site, operation, error) from error
            except (BotoCoreError, OSError) as error:
                raise SiteUnavailable(self.site, f"{operation} failed: {type(error).__name__}") from error

        return await self._repeated(once)

    async def _repeated(self, act: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await act()
        except SiteUnavailable:  # the everyday case costs no machinery
            if self._attempts <= 1:
                raise
        await asyncio.sleep(random.uniform(0.0, min(0.1, self._pause)))  # noqa: S311 - jitter
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts - 1),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=self._pause),
            retry=tenacity.retry_if_exception_type(SiteUnavailable),
            reraise=True,
        ):
            with attempt:
                return await act()
        raise AssertionError("the retry loop ends by return or raise")  # pragma: no cover


def _told(metadata: dict[str, str] | None) -> dict[str, str]:
    return {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
