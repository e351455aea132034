"""The middleware that puts the principal on each request, or refuses it."""

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from gateway.auth.cookies import SESSION_COOKIE, SessionCookies
from gateway.auth.credentials import Credential, credential_of
from gateway.auth.identity import (
    Authenticator,
    Forbidden,
    Identity,
    InvalidCredentials,
    principal_for,
    wanted_group,
)
from gateway.auth.scopes import READING, check_scope
from gateway.principal import PRINCIPAL, Principal, Unauthenticated
from gateway.problems import problem
from gateway.settings import AuthSettings

logger = logging.getLogger(__name__)


ANONYMOUS = "anonymous"

IDENTITY = web.RequestKey("identity", Identity)
"""What the credentials of a request told, for the faces that issue credentials."""


def auth_middleware(
    authenticators: Sequence[Authenticator],
    *,
    settings: AuthSettings,
    cookies: SessionCookies | None = None,
    public_url: str = "",
) -> Middleware:
    """Return the middleware; it belongs inside the one that turns errors into problems.

    Valid credentials put a principal on the request; none leave it to ``settings.anonymous``; invalid ones
    are answered with 401, never served as anonymous. Cookies count only for requests of our own pages.
    """
    gate = _Gate(authenticators, settings, cookies, urlsplit(public_url).netloc)

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            principal = await gate.principal(request)
            if principal is not None:
                request[PRINCIPAL] = principal
            return await handler(request)
        except Unauthenticated as error:
            return gate.challenge(request, error)

    return authenticate


class _Gate:
    """Finds the principal of a request."""

    def __init__(
        self,
        authenticators: Sequence[Authenticator],
        settings: AuthSettings,
        cookies: SessionCookies | None,
        public_netloc: str,
    ) -> None:
        self._authenticators = authenticators
        self._cookies = cookies
        self._public_netloc = public_netloc
        self._anonymous: Principal | None = None
        if settings.anonymous == "read":
            group = settings.anonymous_group
            self._anonymous = Principal(user=ANONYMOUS, groups=(group,), charging_group=group, anonymous=True)

    async def principal(self, request: web.Request) -> Principal | None:
        """Return the principal, which may be the anonymous one, or None where nobody is allowed to be it.

        Raises:
            InvalidCredentials: the credentials are not valid.
            Forbidden: the credentials do not reach so far, or the group is not the user's.
        """
        cookie = request.cookies.get(SESSION_COOKIE) if self._cookies is not None else None
        credential = credential_of(request.headers, request.query, cookie, request.path)
        if credential is None:
            return self._anonymous
        identity = await self._identify(credential)
        if identity is None:
            logger.info("credentials refused", extra={"source": credential.source, "remote": request.remote})
            raise InvalidCredentials("the token is not known here, or the session is over; sign in again")
        if credential.source == "cookie":
            self._check_own_page(request)
        check_scope(identity.scopes, request.method, request.path)
        request[IDENTITY] = identity
        return principal_for(identity, wanted_group(request.headers, request.query))

    async def _identify(self, credential: Credential) -> Identity | None:
        if credential.source == "cookie":
            session = self._cookies.session(credential.secret) if self._cookies is not None else None
            return await self._recall(session.via) if session is not None and session.via else None
        for authenticator in self._authenticators:
            identity = await authenticator.identify(credential.secret)
            if identity is not None:
                return identity
        return None

    async def _recall(self, via: str) -> Identity | None:
        for authenticator in self._authenticators:
            identity = await authenticator.recall(via)
            if identity is not None:
                return identity
        return None

    def _check_own_page(self, request: web.Request) -> None:
        """Refuse what a foreign page makes a browser do with our cookie (CSRF, websocket hijacking)."""
        websocket = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        if request.method in READING and not websocket:
            return
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            foreign = websocket or request.headers.get("Sec-Fetch-Site", "none") not in (
                "none",
                "same-origin",
            )
        else:
            foreign = urlsplit(origin).netloc not in {
                request.headers.get(hdrs.HOST),
                self._public_netloc or None,
            }
        if foreign:
            raise Forbidden("with a session cookie only pages of this gateway may do this; send a token instead")

    def challenge(self, request: web.Request, error: Unauthenticated) -> web.Response:
        """Answer 401, and ask for credentials (RFC 9110 section 11.6.1)."""
        response = problem(error.status, error.title, str(error))
        invalid = ', error="invalid_token"' if isinstance(error, InvalidCredentials) else ""
        if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":  # a script must not open a dialogue
            response.headers.add(hdrs.WWW_AUTHENTICATE, 'Basic realm="lakegate", charset="UTF-8"')
        response.headers.add(hdrs.WWW_AUTHENTICATE, f'Bearer realm="lakegate"{invalid}')
        response.headers["Cache-Control"] = "no-store"
        if self._cookies is not None and SESSION_COOKIE in request.cookies:
            self._cookies.clear(response)
        return response
