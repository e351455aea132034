"""Access tokens of OpenID Connect providers, as an authenticator: verified once, remembered until they end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from edges.model import Frozen
from gateway.auth import claims
from gateway.auth.identity import Identity, InvalidCredentials
from gateway.auth.issuer import Issuer
from gateway.auth.tokens import digest_of

REMEMBERED = 10_000
"""So many verified tokens are remembered; the oldest are forgotten first."""


class _Known(Frozen):
    """A verified token: whom it told, until when (epoch seconds), by which issuer's which key."""

    identity: Identity
    until: float
    issuer: str
    fingerprint: bytes


class OidcAuthenticator:
    """Believes signed tokens of the configured issuers (see :class:`gateway.auth.identity.Authenticator`).

    A token that was verified costs a hash until it ends or its key is no longer published. Signatures are
    checked in a thread of their own. Use within :meth:`running`.
    """

    def __init__(self, issuers: Sequence[Issuer], *, clock: Callable[[], float] = time.time) -> None:
        self._issuers = {issuer.settings.issuer: issuer for issuer in issuers}
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="token-signatures")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the issuers' keys fresh; an issuer that is down delays nothing."""
        async with AsyncExitStack() as stack:
            stack.callback(self._thread.shutdown, wait=False)
            for issuer in self._issuers.values():
                await stack.enter_async_context(issuer.running())
            yield

    def issuer(self, name: str) -> Issuer | None:
        """Return an issuer by its name in the configuration."""
        return next((each for each in self._issuers.values() if each.settings.name == name), None)

    def issuers(self) -> tuple[Issuer, ...]:
        """Return all issuers, as configured."""
        return tuple(self._issuers.values())

    async def identify(self, secret: str) -> Identity | None:
        """Return whose token it is; None for what is no signed token of our issuers.

        Raises:
            InvalidCredentials: forged, expired, for another audience: the message says what.
            IssuerUnavailable: its issuer cannot be asked for its keys.
        """
        digest = digest_of(secret)
        known = self._known.get(digest)
        if known is not None and self._holds(known):
            return known.identity
        token = claims.read_signed(secret)
        issuer = self._issuers.get(str(token.claims.get("iss"))) if token is not None else None
        if token is None or issuer is None:
            return None
        fingerprint = await self._verify(token, issuer)
        until = claims.check_claims(token.claims, issuer.settings, now=self._clock())
        via = f"oidc:{issuer.settings.name}:{digest.hex()[:24]}"
        identity = claims.identity_of(token.claims, issuer.settings, via=via, until=until)
        self._check_prefix(identity.user, issuer)
        name = issuer.settings.issuer
        self._remember(digest, _Known(identity=identity, until=until, issuer=name, fingerprint=fingerprint))
        return identity

    async def recall(self, via: str) -> Identity | None:
        """Return None: a browser's session that such a token began is a token of ours."""
        return None

    async def identify_by_id_token(self, text: str, issuer: Issuer, *, nonce: str) -> Identity:
        """Return whom an ID token tells that the issuer gave as the answer to a sign-in.

        Raises:
            InvalidCredentials: it is not that answer.
            IssuerUnavailable: its issuer cannot be asked for its keys.
        """
        token = claims.read_signed(text)
        if token is None:
            raise InvalidCredentials("the ID token is no signed token")
        await self._verify(token, issuer, id_token=True)
        claims.check_id_claims(token.claims, issuer.settings, nonce=nonce, now=self._clock())
        until = self._clock() + issuer.settings.session_seconds
        identity = claims.identity_of(token.claims, issuer.settings, via="", until=until)
        self._check_prefix(identity.user, issuer)
        return identity

    async def _verify(self, token: claims.Signed, issuer: Issuer, *, id_token: bool = False) -> bytes:
        """Check the signature; return the fingerprint of the key.

        Raises:
            InvalidCredentials: it is not the issuer's.
        """
        algorithm = claims.check_header(token, issuer.settings, id_token=id_token)
        keys = await issuer.candidates(token.kid, algorithm)
        loop = asyncio.get_running_loop()
        for key in keys:
            check = partial(key.verifies, token.signed, token.signature, algorithm=algorithm)
            if await loop.run_in_executor(self._thread, check):
                return key.fingerprint
        raise InvalidCredentials(
            "the token's signature is not its issuer's" if keys else "the token's issuer does not publish its key"
        )

    def _check_prefix(self, user: str, own: Issuer) -> None:
        """Refuse a name that reads as a user of another issuer."""
        prefix = own.settings.user_prefix
        for other in self._issuers.values():
            if len(other.settings.user_prefix) > len(prefix) and user.startswith(other.settings.user_prefix):
                raise InvalidCredentials("the user's name begins as those of another identity provider do")

    def _holds(self, known: _Known) -> bool:
        issuer = self._issuers[known.issuer]
        now = self._clock() - issuer.settings.leeway_seconds
        return known.until > now and issuer.holds(known.fingerprint)

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known.pop(digest, None)
        while len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = known
