"""The provider's half of a browser's sign-in: where to send the browser, and the code for tokens (RFC 6749, 7636)."""

import base64
import logging
import time
from collections.abc import Callable
from urllib.parse import quote_plus, urlencode

import aiohttp
import msgspec

from edges.errors import EdgeError
from edges.http import read_bounded
from gateway.auth.attempts import Attempt
from gateway.auth.identity import Identity, InvalidCredentials
from gateway.auth.issuer import MAX_BYTES, Issuer, IssuerUnavailable
from gateway.auth.oidc import OidcAuthenticator

logger = logging.getLogger(__name__)


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """A token endpoint's answer (OpenID Connect Core 1.0 section 3.1.3.3)."""

    id_token: str
    access_token: str = ""


class CodeFlow:
    """Signs browsers in by code and PKCE. ``base`` is our public URL, below which the redirect URIs are."""

    def __init__(
        self,
        *,
        oidc: OidcAuthenticator,
        session: aiohttp.ClientSession,
        base: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._oidc = oidc
        self._session = session
        self._base = base
        self.clock = clock

    def issuers(self) -> tuple[Issuer, ...]:
        """Return those at which browsers can sign in."""
        return tuple(issuer for issuer in self._oidc.issuers() if issuer.settings.client_id)

    def issuer(self, name: str) -> Issuer | None:
        """Return one of them by its name."""
        return next((issuer for issuer in self.issuers() if issuer.settings.name == name), None)

    async def address(self, issuer: Issuer, attempt: Attempt) -> str:
        """Return where the browser goes to sign in.

        Raises:
            IssuerUnavailable: the provider does not answer, or signs no browsers in.
        """
        endpoint = (await issuer.metadata()).authorization_endpoint
        if not endpoint:
            raise IssuerUnavailable(f"identity provider {issuer.settings.name} names no page to sign in at")
        parameters = {
            "response_type": "code",
            "client_id": issuer.settings.client_id,
            "redirect_uri": self._redirect(issuer),
            "scope": " ".join(issuer.settings.login_scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    async def finish(self, issuer: Issuer, attempt: Attempt, code: str) -> Identity:
        """Return who has signed in. The access token tells groups where it is one for us, else the ID token.

        Raises:
            InvalidCredentials: the provider refuses the code, or its answer does not belong to this sign-in.
            IssuerUnavailable: it does not answer.
        """
        tokens = await self._exchange(issuer, attempt, code)
        identity = await self._oidc.identify_by_id_token(tokens.id_token, issuer, nonce=attempt.nonce)
        try:
            told = await self._oidc.identify(tokens.access_token) if tokens.access_token else None
        except InvalidCredentials:  # it is for another audience: what providers give for their own user page
            told = None
        if told is None or told.user != identity.user:
            return identity
        return msgspec.structs.replace(told, expires_at=identity.expires_at)

    async def farewell(self, issuer: Issuer) -> str:
        """Return where the browser signs out at the provider, too (RP-Initiated Logout 1.0); our start page if nowhere.

        ``client_id`` stands for the ID token, which we do not keep.
        """
        try:
            endpoint = (await issuer.metadata()).end_session_endpoint
        except IssuerUnavailable:  # signing out here must work all the same
            endpoint = ""
        if not endpoint:
            return "/"
        parameters = {"client_id": issuer.settings.client_id, "post_logout_redirect_uri": f"{self._base}/"}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    def _redirect(self, issuer: Issuer) -> str:
        return f"{self._base}/auth/callback/{issuer.settings.name}"

    async def _exchange(self, issuer: Issuer, attempt: Attempt, code: str) -> _Tokens:
        settings = issuer.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect(issuer),
            "code_verifier": attempt.verifier,
        }
        headers = {"Accept": "application/json"}
        if settings.client_secret is None:
            form["client_id"] = settings.client_id
        else:
            headers["Authorization"] = _basic(settings.client_id, settings.client_secret.reveal())
        endpoint = (await issuer.metadata()).token_endpoint
        timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        try:
            async with self._session.post(
                endpoint, data=form, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                body = await read_bounded(response, site=settings.name, limit=MAX_BYTES)
                status = response.status
            return _read_tokens(body, status)
        except (aiohttp.ClientError, TimeoutError, OSError, EdgeError, LookupError, ValueError) as error:
            logger.warning("a sign-in cannot be finished", extra={"issuer": settings.name, "error": str(error)[:300]})
            raise IssuerUnavailable(f"identity provider {settings.name} does not answer as it should") from error


def _read_tokens(body: bytes, status: int) -> _Tokens:
    if 400 <= status < 500:
        raise InvalidCredentials("the identity provider refuses this sign-in; begin again")
    if status != 200:
        raise ValueError(f"status {status}")
    return msgspec.json.decode(body, type=_Tokens)


def _basic(client: str, secret: str) -> str:
    """Return the header of client_secret_basic: both parts are form-encoded first (RFC 6749 section 2.3.1)."""
    return "Basic " + base64.b64encode(f"{quote_plus(client)}:{quote_plus(secret)}".encode()).decode()
