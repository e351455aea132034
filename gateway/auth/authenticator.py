"""Static and issued API tokens, as an authenticator."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.auth.identity import Identity, InvalidCredentials
from gateway.auth.tokens import FILE, IssuedToken, TokenGrant, TokenStore, TokenStoreUnavailable, digest_of
from gateway.settings import ApiTokenSettings, AuthSettings

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
"""How often the file is looked at for changes by others: how long a token revoked there still works."""


class TokenAuthenticator:
    """Knows the tokens of the configuration and those that were issued.

    All are in memory by their hash: finding one compares no secret byte by byte, so its time tells nothing of
    it. Use within :meth:`running`, which loads the issued tokens and follows the file.

    Raises:
        LookupError: a token of the configuration cannot be read.
        ValueError: a token's user or groups are not possible ones, or two users have the same token.
    """

    def __init__(self, settings: AuthSettings, *, state: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._static = _static(settings)
        self._store = TokenStore(state / FILE)
        self._changes = -1
        self._issued: dict[bytes, IssuedToken] = {}
        self._by_id: dict[str, IssuedToken] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the issued tokens, and follow changes of the file.

        Raises:
            TokenStoreUnavailable: the file cannot be read.
        """
        await self._refresh()
        following = asyncio.create_task(self._follow(), name="token refresh")
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._refresh()
            except TokenStoreUnavailable as error:
                logger.warning("issued tokens cannot be refreshed", extra={"error": str(error)})

    async def _refresh(self) -> None:
        if await asyncio.to_thread(self._store.changes) == self._changes:
            return
        self._changes, self._issued = await asyncio.to_thread(self._store.load)
        self._by_id = {token.id: token for token in self._issued.values()}

    async def identify(self, secret: str) -> Identity | None:
        """Return whose token it is (see :class:`gateway.auth.identity.Authenticator`)."""
        digest = digest_of(secret)
        identity = self._static.get(digest)
        if identity is not None:
            return identity
        token = self._issued.get(digest)
        if token is None:
            return None
        why = self._over(token)
        if why is not None:
            raise InvalidCredentials(why)
        return token.grant.identity(f"issued:{token.id}")

    async def recall(self, via: str) -> Identity | None:
        """Return whom a token told (see :class:`gateway.auth.identity.Authenticator`)."""
        kind, _, name = via.partition(":")
        if kind == "static":
            return next((each for each in self._static.values() if each.via == via), None)
        token = self._by_id.get(name) if kind == "issued" else None
        return token.grant.identity(via) if token is not None and self._over(token) is None else None

    def _over(self, token: IssuedToken) -> str | None:
        if token.revoked_at is not None:
            return "the token has been revoked"
        if token.expires_at is not None and token.expires_at <= self._clock():
            return "the token has expired"
        return None

    async def create(self, grant: TokenGrant, *, seconds: float | None = None) -> tuple[str, IssuedToken]:
        """Issue a token, valid for so many seconds or until it is revoked; it works at once.

        Raises:
            TokenStoreUnavailable: the file cannot be written.
        """
        now = self._clock()
        expires_at = None if seconds is None else now + seconds
        made = await asyncio.to_thread(self._store.create, grant, now=now, expires_at=expires_at)
        await self._refresh()
        return made

    async def revoke(self, token_id: str) -> bool:
        """Revoke a token; it ends at once. Tell whether there was one.

        Raises:
            TokenStoreUnavailable: the file cannot be written.
        """
        done = await asyncio.to_thread(self._store.revoke, token_id, now=self._clock())
        await self._refresh()
        return done

    async def issued(self) -> list[IssuedToken]:
        """List the issued tokens.

        Raises:
            TokenStoreUnavailable: the file cannot be read.
        """
        return await asyncio.to_thread(self._store.all)


def _static(settings: AuthSettings) -> dict[bytes, Identity]:
    found: dict[bytes, Identity] = {}
    for token in settings.tokens:
        digest = digest_of(token.token.reveal())
        if digest in found:
            raise ValueError(f"auth.tokens: users {found[digest].user} and {token.user} have the same token")
        found[digest] = _identity(token, digest)
    return found


def _identity(token: ApiTokenSettings, digest: bytes) -> Identity:
    return Identity(
        user=token.user,
        groups=token.groups,
        charging_group=token.charging_group,
        admin=token.admin,
        via=f"static:{digest.hex()[:24]}",
    )
