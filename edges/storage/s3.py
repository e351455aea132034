"""One bucket of an S3 service: signing and control calls by botocore, bytes by presigned URLs over aiohttp.

botocore hashes each payload and copies it several times; a presigned URL leaves the payload unsigned, so
that bytes go from socket to socket (measured: a third of the CPU). Whoever needs integrity checks it on the
stream.
"""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
import boto3
import tenacity
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from yarl import URL

from edges.errors import EdgeError, NotFound, SiteMisbehaved, SiteUnavailable
from edges.model import ObjectInfo, Part
from edges.settings import StorageSettings
from edges.storage.s3_errors import MAX_ERROR_BODY, error_code, refusal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_T = TypeVar("_T")

_PIECE = 256 * 1024
"""Bytes handed to a socket at once: small enough that a stall shows soon, large enough to cost nothing."""

_URL_SECONDS = 3600
"""How long a signed URL of our own calls lives; it is used at once, and only its start is checked."""


class Whole:
    """A body that can be sent again: ``__aiter__`` starts anew each time (an async generator cannot)."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes | bytearray | memoryview) -> None:
        self._body = memoryview(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _PIECE):
            yield bytes(self._body[start : start + _PIECE])


class S3Store:
    """Implements :class:`edges.seams.ObjectStore`; open it with ``async with``.

    ``connections`` of the settings bound the control calls and the data streams, each. ``stall_seconds``
    without a byte breaks a call off. Calls that can be repeated are tried ``attempts`` times with growing
    pauses of at most ``pause_seconds``; a streamed part is repeated only if its body can be iterated again.
    """

    def __init__(
        self,
        *,
        site: str,
        settings: StorageSettings,
        session: aiohttp.ClientSession,
        stall_seconds: float = 30.0,
        attempts: int = 5,
        pause_seconds: float = 5.0,
    ) -> None:
        self.site = site
        self.bucket = settings.bucket
        self._settings = settings
        self._session = session
        self._stall = stall_seconds
        self._attempts = attempts
        self._pause = pause_seconds
        self._streams = asyncio.Semaphore(settings.connections)
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix=f"s3-{site}")
        self._client: S3Client | None = None

    async def __aenter__(self) -> Self:
        self._client = await asyncio.get_running_loop().run_in_executor(self._threads, self._connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> "S3Client":
        config = Config(
            signature_version="s3v4",  # with an own endpoint the default would be SigV2
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},  # we decide on repeats, once
            connect_timeout=min(10.0, self._stall),
            read_timeout=max(60.0, self._stall),  # completing a large upload takes its time
            max_pool_connections=self._settings.connections,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={},  # a proxy of the environment must not see signed requests
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._settings.endpoint,
            region_name=self._settings.region,
            aws_access_key_id=self._settings.access_key.reveal(),
            aws_secret_access_key=self._settings.secret_key.reveal(),
            config=config,
        )

    # -- control calls ---------------------------------------------------------------------------------------

    async def head(self, key: str) -> ObjectInfo | None:
        """Tell size, ETag and metadata of an object, or None."""
        try:
            told = await self._call("HeadObject", lambda s3: s3.head_object(Bucket=self.bucket, Key=key))
        except NotFound:
            return None
        metadata = {name.lower(): value for name, value in told.get("Metadata", {}).items()}
        return ObjectInfo(key=key, size=told["ContentLength"], etag=told.get("ETag", ""), metadata=metadata)

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
        return self._sign("get_object", {"Key": key}, expires)

    # -- bytes -----------------------------------------------------------------------------------------------

    async def get(self, key: str, *, start: int = 0, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        """Stream an object from byte ``start``, in pieces of at most ``chunk`` bytes.

        Raises:
            NotFound: there is no such object.
            SiteUnavailable: the stream broke off or stalled; go on with ``start`` at what has arrived.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        url = URL(self._sign("get_object", {"Key": key}, _URL_SECONDS), encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._stall, sock_read=self._stall)
        async with self._streams:
            try:
                async with self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as response:
                    if response.status == 416 and start:
                        return
                    await self._expect(response, "GetObject", 206 if response.status == 206 else 200)
                    ahead = start - self._first_byte(response, start)
                    async for piece in response.content.iter_chunked(chunk):
                        if ahead < len(piece):
                            yield piece[max(0, ahead) :]
                        ahead -= len(piece)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise SiteUnavailable(self.site, f"GetObject broke off: {type(error).__name__}") from error

    async def put(self, key: str, body: bytes, *, metadata: dict[str, str] | None = None) -> str:
        """Write a small object; return its ETag."""
        told = {"Key": key, "Metadata": metadata or {}}
        headers = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
        return await self._send(
            "PutObject", self._sign("put_object", told, _URL_SECONDS), headers, Whole(body), len(body)
        )

    async def put_part(self, key: str, upload_id: str, number: int, body: AsyncIterable[bytes], size: int) -> Part:
        """Stream one part of exactly ``size`` bytes; repeating a number replaces that part."""
        told = {"Key": key, "UploadId": upload_id, "PartNumber": number}
        etag = await self._send("UploadPart", self._sign("upload_part", told, _URL_SECONDS), {}, body, size)
        return Part(number=number, etag=etag, size=size)

    async def _send(
        self, operation: str, url: str, headers: dict[str, str], body: AsyncIterable[bytes], size: int
    ) -> str:
        if isinstance(body, AsyncIterator):  # consumed by the first try, so there is no second
            return await self._send_once(operation, url, headers, body, size)
        return await self._repeated(lambda: self._send_once(operation, url, headers, body, size))

    async def _send_once(
        self, operation: str, url: str, headers: dict[str, str], body: AsyncIterable[bytes], size: int
    ) -> str:
        loop = asyncio.get_running_loop()
        sized = headers | {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        async with self._streams:
            try:
                async with asyncio.timeout(self._stall) as patience:

                    def moved() -> None:
                        patience.reschedule(loop.time() + self._stall)

                    async with self._session.put(
                        URL(url, encoded=True),
                        data=_counted(body, size, moved),
                        headers=sized,
                        timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._stall),
                        allow_redirects=False,
                    ) as response:
                        await self._expect(response, operation, 200)
                        return response.headers.get("ETag", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise SiteUnavailable(self.site, f"{operation} broke off: {type(error).__name__}") from error

    async def _expect(self, response: aiohttp.ClientResponse, operation: str, status: int) -> None:
        if response.status == status:
            return
        body = await response.content.read(MAX_ERROR_BODY) if response.status >= 300 else b""
        raise refusal(self.site, operation, response.status, error_code(body))

    def _first_byte(self, response: aiohttp.ClientResponse, start: int) -> int:
        """Tell where an answer to a range request begins (RFC 9110 section 14.4): some services ignore the range."""
        found = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
        first = int(found.group(1)) if found else 0
        if first > start:
            raise SiteMisbehaved(self.site, f"GetObject from byte {start} was answered from byte {first}")
        return first

    # -- signing, threads, repeats ---------------------------------------------------------------------------

    def _sign(self, operation: str, told: dict[str, Any], expires: int) -> str:
        return self._connected().generate_presigned_url(
            operation, Params={"Bucket": self.bucket, **told}, ExpiresIn=expires
        )

    def _connected(self) -> "S3Client":
        if self._client is None:
            raise RuntimeError("the store is not open: enter it with `async with`")
        return self._client

    async def _call(self, operation: str, act: "Callable[[S3Client], Any]") -> Any:
        client = self._connected()
        loop = asyncio.get_running_loop()

        async def once() -> Any:
            try:
                return await loop.run_in_executor(self._threads, act, client)
            except ClientError as error:
                raise _translated(self.site, operation, error) from error
            except (BotoCoreError, OSError) as error:
                raise SiteUnavailable(self.site, f"{operation} failed: {type(error).__name__}") from error

        return await self._repeated(once)

    async def _repeated(self, act: Callable[[], Awaitable[_T]]) -> _T:
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=self._pause),
            retry=tenacity.retry_if_exception_type(SiteUnavailable),
            reraise=True,
        ):
            with attempt:
                return await act()
        raise AssertionError("the retry loop ends by return or raise")  # pragma: no cover


def _translated(site: str, operation: str, error: ClientError) -> EdgeError:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    return refusal(site, operation, status, "" if code.isdigit() else code)


async def _counted(body: AsyncIterable[bytes], size: int, moved: Callable[[], None]) -> AsyncIterator[bytes]:
    """Pass a body on; note each piece as progress; refuse to send more than was announced.

    Fewer bytes leave the request unfinished, which the service discards (no object becomes visible).
    """
    sent = 0
    async for piece in body:
        sent += len(piece)
        if sent > size:
            raise aiohttp.ClientPayloadError(f"the body is longer than the announced {size} bytes")
        yield piece
        moved()
    if sent < size:
        raise aiohttp.ClientPayloadError(f"the body has {sent} of the announced {size} bytes")
