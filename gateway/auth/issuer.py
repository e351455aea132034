"""An OpenID Connect provider as seen from here: its discovery document and its keys, kept and asked for again."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import aiohttp
import msgspec
from yarl import URL

from edges.errors import EdgeError
from edges.http import read_bounded
from gateway.auth.signing_keys import SigningKey, SigningKeys, read_keys
from gateway.background import beside
from gateway.settings import IssuerSettings

logger = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
MAX_BYTES = 256 << 10
"""The largest document that is read of an issuer."""
REFETCH_SECONDS = 60.0
"""A key that is not known makes us ask again, at most so often: made-up key ids must not make us a flood."""
RETRY_SECONDS = 5.0
"""An issuer that does not answer is left alone for so long; who asks meanwhile is refused at once."""


class IssuerUnavailable(Exception):
    """The identity provider cannot be asked, so its tokens cannot be believed."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "The identity provider does not answer"


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we use of the discovery document (OpenID Connect Discovery 1.0 section 3)."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    end_session_endpoint: str = ""


class Issuer:
    """Knows the provider's keys. ``running`` keeps them fresh; without it they are asked for when needed.

    Keys that the provider does not publish any more end with the next fetch. While it does not answer, those
    that were known count for ``stale_seconds``; then nothing does.
    """

    def __init__(
        self,
        *,
        settings: IssuerSettings,
        session: aiohttp.ClientSession,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._session = session
        self._clock = clock
        self._lock = asyncio.Lock()
        self._metadata: Metadata | None = None
        self._keys = SigningKeys()
        self._fetched_at: float | None = None
        self._failed_at: float | None = None
        self._forced_at: float | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fetch now and again, in the background: a provider that is down keeps nobody from starting."""
        async with beside(self._refresh_regularly(), name=f"keys of {self.settings.name}"):
            yield

    async def _refresh_regularly(self) -> None:
        while True:
            try:
                await self._fetch()
                pause = self.settings.keys_seconds
            except IssuerUnavailable:
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    def holds(self, fingerprint: bytes) -> bool:
        """Tell whether what this key signed is still to be believed."""
        return self._age() < self.settings.stale_seconds and self._keys.holds(fingerprint)

    async def candidates(self, kid: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        """Return the keys that may have signed a token; an unknown id makes us ask the provider, once a minute.

        Raises:
            IssuerUnavailable: the keys are not known, or too old, and the provider does not answer.
        """
        await self._ensure()
        found = self._keys.candidates(kid, algorithm)
        if found or kid is None or not self._may_refetch():
            return found
        self._forced_at = self._clock()
        with suppress(IssuerUnavailable):  # what we know is fresh enough to say that the key is not among it
            await self._fetch()
        return self._keys.candidates(kid, algorithm)

    async def metadata(self) -> Metadata:
        """Return the discovery document.

        Raises:
            IssuerUnavailable: it is not known, and the provider does not answer.
        """
        await self._ensure()
        if self._metadata is None:
            raise self._unavailable()
        return self._metadata

    def _unavailable(self) -> IssuerUnavailable:
        return IssuerUnavailable(f"identity provider {self.settings.name} does not answer as it should; try again")

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _may_refetch(self) -> bool:
        return self._forced_at is None or self._clock() - self._forced_at >= REFETCH_SECONDS

    async def _ensure(self) -> None:
        """Have keys that are not too old; one request at a time asks for them."""
        age = self._age()
        if age < self.settings.keys_seconds + self.settings.timeout_seconds:
            return
        async with self._lock:
            if self._age() < age:  # another one has fetched meanwhile
                return
            if self._failed_at is None or self._clock() - self._failed_at >= RETRY_SECONDS:
                with suppress(IssuerUnavailable):  # what we know may be young enough
                    await self._fetch()
        if self._age() >= self.settings.stale_seconds:
            raise self._unavailable()

    async def _fetch(self) -> None:
        """Fetch both documents.

        Raises:
            IssuerUnavailable: it does not answer, or not with what it should.
        """
        try:
            metadata = _checked(await self._get(self.settings.issuer.rstrip("/") + DISCOVERY), self.settings.issuer)
            keys = read_keys(await self._get(metadata.jwks_uri))
        except (aiohttp.ClientError, TimeoutError, OSError, EdgeError, ValueError, msgspec.DecodeError) as error:
            self._failed_at = self._clock()
            extra = {"issuer": self.settings.name, "error": f"{type(error).__name__}: {error}"[:300]}
            logger.warning("an identity provider's keys cannot be fetched", extra=extra)
            raise self._unavailable() from error
        self._metadata, self._keys = metadata, keys
        self._fetched_at, self._failed_at = self._clock(), None

    async def _get(self, url: str) -> bytes:
        timeout = aiohttp.ClientTimeout(total=self.settings.timeout_seconds)
        headers = {"Accept": "application/json"}
        async with self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            return await read_bounded(response, site=self.settings.name, limit=MAX_BYTES)


def _checked(content: bytes, issuer: str) -> Metadata:
    """Read the discovery document; it must speak of this issuer, and lead nowhere less safe than it is itself.

    Raises:
        ValueError: it does not.
    """
    metadata = msgspec.json.decode(content, type=Metadata)
    if metadata.issuer != issuer:
        raise ValueError("its discovery document is of another issuer")
    scheme = URL(issuer).scheme
    named = (metadata.jwks_uri, metadata.authorization_endpoint, metadata.token_endpoint, metadata.end_session_endpoint)
    for url in named:
        if url and URL(url).scheme not in ("https", scheme):
            raise ValueError("its discovery document leads away from https")
    return metadata
