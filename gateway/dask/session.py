"""Who is asking the Dask face: the principal that the gateway's middleware found, or our own short-lived cookie.

The client sends credentials only after a 401, with every single request; with a cookie it asks once in five minutes.
"""

from typing import Protocol

from aiohttp import hdrs, web

from gateway.principal import PRINCIPAL, Principal, Unauthenticated

COOKIE = "lakegate-dask"
COOKIE_SECONDS = 300
"""How long a revoked token can still be used here; the same as dask-gateway-server keeps its own cookies."""
BROWSER_HEADERS = (hdrs.ORIGIN, "Sec-Fetch-Site")
"""What each browser sends and no Dask client does."""


class CookieSigner(Protocol):
    """Makes and reads authenticated values.

    Guarantees: ``verify`` returns a principal only for a value that ``sign`` gave for it, no longer ago than
    ``seconds``; it never raises.
    """

    def sign(self, principal: Principal, *, seconds: int) -> str:
        """Return a cookie value."""
        ...

    def verify(self, value: str) -> Principal | None:
        """Return whose value it is, or None."""
        ...


class Doorman:
    """Lets named users in. ``secure`` marks cookies for HTTPS only."""

    def __init__(self, *, signer: CookieSigner | None, secure: bool) -> None:
        self._signer = signer
        self._secure = secure

    def admit(self, request: web.Request, *, browser: bool) -> Principal:
        """Return the named user of a request.

        ``browser`` is True where browsers come by themselves (dashboards). Elsewhere a cookie that a browser sends is
        not believed: pages of other origins, and dashboards, which run what users write, could use it.

        Raises:
            Unauthenticated: nobody is named.
        """
        principal = request.get(PRINCIPAL)
        if isinstance(principal, Principal) and not principal.anonymous:
            return principal
        from_browser = any(name in request.headers for name in BROWSER_HEADERS)
        value = request.cookies.get(COOKIE)
        if self._signer is not None and value is not None and (browser or not from_browser):
            remembered = self._signer.verify(value)
            if remembered is not None and not remembered.anonymous:
                return remembered
        raise Unauthenticated("send the user name and an API token by HTTP Basic authentication")

    def remember(self, request: web.Request, response: web.StreamResponse, principal: Principal) -> None:
        """Set the cookie on a response that has not begun, where the request brought credentials."""
        if self._signer is None or hdrs.AUTHORIZATION not in request.headers:
            return
        response.set_cookie(
            COOKIE,
            self._signer.sign(principal, seconds=COOKIE_SECONDS),
            max_age=COOKIE_SECONDS,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Lax",
        )
