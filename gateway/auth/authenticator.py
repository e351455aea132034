"""Static and issued API tokens, as an authenticator."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.auth.identity import Identity, InvalidCredentials
from gateway.auth.tokens import FILE, IssuedToken, TokenGrant, TokenStore, TokenStoreUnavailable, digest_of
from gateway.background import beside
from gateway.settings import ApiTokenSettings, AuthSettings

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
"""How often the file is looked at for changes by others: how long a token revoked there still works."""

USES_SECONDS = 30.0
"""How often it is written down when tokens were last used."""


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
        self._used: dict[str, float] = {}
        self._uses_written_at = clock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the issued tokens, and follow changes of the file.

        Raises:
            TokenStoreUnavailable: the file cannot be read.
        """
        await self._refresh()
        try:
            async with beside(self._follow(), name="token refresh"):
                yield
        finally:
            with suppress(TokenStoreUnavailable):  # when a token was last used is not worth a failed shutdown
                await self._write_uses()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._refresh()
                if self._clock() - self._uses_written_at >= USES_SECONDS:
                    await self._write_uses()
            except TokenStoreUnavailable as error:
                logger.warning("issued tokens cannot be refreshed", extra={"error": str(error)})

    async def _refresh(self) -> None:
        if await asyncio.to_thread(self._store.changes) == self._changes:
            return
        self._changes, changed = await asyncio.to_thread(self._store.load, self._changes)
        self._issued.update(changed)
        self._by_id.update((token.id, token) for token in changed.values())
        self._forget()

    def _forget(self) -> None:
        """Forget what ended long ago."""
        now = self._clock()
        for digest, token in [each for each in self._issued.items() if each[1].forgotten(now)]:
            del self._issued[digest], self._by_id[token.id]

    async def _write_uses(self) -> None:
        self._uses_written_at = self._clock()
        used, self._used = self._used, {}
        if used:
            await asyncio.to_thread(self._store.write_uses, used.items())

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
        return self._identity(token)

    async def recall(self, via: str) -> Identity | None:
        """Return whom a token told (see :class:`gateway.auth.identity.Authenticator`)."""
        kind, _, name = via.partition(":")
        if kind == "static":
            return next((each for each in self._static.values() if each.via == via), None)
        token = self._by_id.get(name) if kind == "issued" else None
        return self._identity(token) if token is not None and self._over(token) is None else None

    def _identity(self, token: IssuedToken) -> Identity:
        self._used[token.id] = self._clock()
        return token.grant.identity(f"issued:{token.id}", expires_at=token.expires_at)

    def _over(self, token: IssuedToken) -> str | None:
        if token.revoked_at is not None:
            return "the token has been revoked"
        if token.expires_at is not None and token.expires_at <= self._clock():
            return "the token has expired"
        return None

    def is_token(self, via: str) -> bool:
        """Tell whether credentials are an issued token: not a browser's session, and none of the configuration."""
        kind, _, name = via.partition(":")
        token = self._by_id.get(name) if kind == "issued" else None
        return token is not None and token.grant.kind == "token"

    def holds(self, token: IssuedToken) -> bool:
        """Tell whether a token is neither revoked nor over."""
        return self._over(token) is None

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

    async def begin_session(self, identity: Identity, *, seconds: float) -> str:
        """Keep a browser's session by what another authenticator told; return its ``via``.

        It ends after so many seconds, and not later than the credentials that it began with.

        Raises:
            TokenStoreUnavailable: the file cannot be written.
        """
        left = seconds if identity.expires_at is None else min(seconds, identity.expires_at - self._clock())
        grant = TokenGrant(
            user=identity.user,
            groups=identity.groups,
            charging_group=identity.charging_group,
            admin=identity.admin,
            scopes=identity.scopes,
            kind="session",
            roles=identity.roles,
        )
        _, session = await self.create(grant, seconds=left)
        return f"issued:{session.id}"

    async def end_session(self, via: str) -> None:
        """End a browser's session; a token that it began with stays.

        Raises:
            TokenStoreUnavailable: the file cannot be written.
        """
        kind, _, name = via.partition(":")
        token = self._by_id.get(name) if kind == "issued" else None
        if token is not None and token.grant.kind == "session":
            await self.revoke(token.id)

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
        await self._write_uses()
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
        roles=token.roles,
        via=f"static:{digest.hex()[:24]}",
    )
