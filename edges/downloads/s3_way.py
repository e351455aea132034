"""Addresses of a site's own S3 store: ``s3://bucket/key``, and HTTP addresses at its endpoint."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from edges.downloads.presigning import SigningKey, presigned
from edges.downloads.ways import Call
from edges.errors import NotFound
from edges.settings import StorageSettings
from edges.storage.sigv4 import Signer

_MAX_KEY_BYTES = 1024
"""Amazon S3 User Guide, "Naming Amazon S3 objects"."""


class S3Object(NamedTuple):
    """An object of the store, its key not encoded."""

    bucket: str
    key: str


class S3Way:
    """Implements :class:`edges.downloads.ways.SigningWay` with the site's keys, for the buckets that are the site's.

    Other buckets of the same store are refused, though the keys may open them: an item is only a stranger's word.
    Signed URLs are made for ``public_endpoint``, by default the one of the settings.
    """

    def __init__(
        self,
        settings: StorageSettings,
        *,
        buckets: Iterable[str] = (),
        public_endpoint: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._buckets = frozenset((settings.bucket, *buckets))
        self._endpoint = settings.endpoint.rstrip("/")
        self._public = encoded_endpoint(public_endpoint or settings.endpoint)
        self._key = SigningKey(
            access_key=settings.access_key.reveal(),
            secret_key=settings.secret_key.reveal(),
            region=settings.region,
        )
        self._signer = Signer(
            endpoint=settings.endpoint,
            region=settings.region,
            access_key=self._key.access_key,
            secret_key=self._key.secret_key,
        )
        self._clock = clock

    def takes(self, href: str) -> bool:
        return object_of(href, self._endpoint) is not None

    def object(self, href: str) -> S3Object:
        """Return the object that an address names.

        Raises:
            NotFound: it is in no bucket of the site, or is no key.
        """
        found = object_of(href, self._endpoint)
        if found is None or found.bucket not in self._buckets:
            raise NotFound("the asset is in a bucket for which no credentials are configured")
        steps = found.key.split("/")
        if not found.key or len(found.key.encode()) > _MAX_KEY_BYTES or "." in steps or ".." in steps:
            raise NotFound("the asset's address names no object")
        return found

    async def call(self, method: str, href: str) -> Call:
        found = self.object(href)
        url, headers = self._signer.signed(method, f"{found.bucket}/{found.key}", {}, {}, self._clock())
        return Call(url=url, headers=headers)

    def signed(self, method: str, href: str, *, seconds: int, disposition: str = "") -> str | None:
        try:
            found = self.object(href)
        except NotFound:
            return None
        url = f"{self._public}/{quote(f'{found.bucket}/{found.key}', safe='/-_.~')}"
        more = {"response-content-disposition": disposition} if disposition else {}
        return presigned(method, url, self._key, seconds=seconds, now=self._clock(), more=more)


def encoded_endpoint(endpoint: str) -> str:
    """Return an endpoint without a slash at its end, and with its path encoded."""
    path = urlsplit(endpoint).path
    return endpoint[: len(endpoint) - len(path)] + quote(path.rstrip("/"), safe="/-_.~%")


def object_of(href: str, endpoint: str) -> S3Object | None:
    """Return the object that an address names in the store at ``endpoint``, by path or by host; None elsewhere.

    >>> object_of("https://s3.example/b/a%20k", "https://s3.example")
    S3Object(bucket='b', key='a k')
    >>> object_of("https://b.s3.example/k", "https://s3.example")
    S3Object(bucket='b', key='k')
    """
    try:
        told, own = urlsplit(href), urlsplit(endpoint)
        ports = told.port, own.port
    except ValueError:
        return None
    if told.scheme == "s3":
        return S3Object(told.netloc, href.removeprefix(f"s3://{told.netloc}").removeprefix("/"))
    if told.query or told.scheme != own.scheme or ports[0] != ports[1] or not told.hostname or not own.hostname:
        return None
    path = unquote(told.path)
    if told.hostname == own.hostname and path.startswith(own.path.rstrip("/") + "/"):
        bucket, _, key = path.removeprefix(own.path.rstrip("/")).removeprefix("/").partition("/")
        return S3Object(bucket, key)
    if told.hostname.endswith("." + own.hostname):
        return S3Object(told.hostname.removesuffix("." + own.hostname), path.removeprefix("/"))
    return None
