"""Signing browsers in and out at an OpenID Connect provider: ``/auth/login``, ``/auth/callback``, ``/auth/logout``."""

import hmac
import logging

from aiohttp import web

from edges.errors import NotFound
from edges.model import Json
from gateway.auth.attempts import ATTEMPT_SECONDS, Attempt, Attempts, own_page
from gateway.auth.authenticator import TokenAuthenticator
from gateway.auth.code_flow import CodeFlow
from gateway.auth.cookies import SESSION_COOKIE, SESSION_SECONDS, SessionCookies
from gateway.auth.identity import Identity, InvalidCredentials, principal_for
from gateway.auth.issuer import Issuer

logger = logging.getLogger(__name__)

ATTEMPT_COOKIE = "lakegate_sign_in"
MAX_CODE = 4_096


class LoginFace:
    """Sends browsers to the provider, takes them back, and keeps them signed in by a cookie of ours."""

    def __init__(
        self,
        *,
        flow: CodeFlow,
        authenticator: TokenAuthenticator,
        cookies: SessionCookies,
        attempts: Attempts,
        secure: bool,
    ) -> None:
        self._flow = flow
        self._authenticator = authenticator
        self._cookies = cookies
        self._attempts = attempts
        self._secure = secure

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/auth/issuers", self._issuers),
            web.get("/auth/login", self._login),
            web.get("/auth/login/{issuer}", self._login),
            web.get("/auth/callback/{issuer}", self._callback),
            web.post("/auth/logout", self._logout),
        ]

    async def _issuers(self, request: web.Request) -> web.Response:
        """Tell where a browser can sign in; no secret is among it."""
        told: list[Json] = [
            {
                "name": issuer.settings.name,
                "issuer": issuer.settings.issuer,
                "login": f"/auth/login/{issuer.settings.name}",
            }
            for issuer in self._flow.issuers()
        ]
        return web.json_response({"issuers": told})

    async def _login(self, request: web.Request) -> web.StreamResponse:
        issuer = self._wanted(request.match_info.get("issuer"))
        next_page = request.query.get("next", "/")
        attempt = self._attempts.begin(issuer.settings.name, next_page=next_page, now=self._flow.clock())
        response = _redirect(await self._flow.address(issuer, attempt))
        response.set_cookie(
            ATTEMPT_COOKIE,
            self._attempts.seal(attempt),
            max_age=ATTEMPT_SECONDS,
            path="/auth/callback",
            httponly=True,
            secure=self._secure,
            samesite="Lax",  # it must come along when the provider sends the browser back
        )
        return response

    async def _callback(self, request: web.Request) -> web.StreamResponse:
        issuer = self._wanted(request.match_info["issuer"])
        attempt = self._attempt(request, issuer)
        identity = await self._flow.finish(issuer, attempt, _code(request))
        via = await self._authenticator.begin_session(identity, seconds=issuer.settings.session_seconds)
        logger.info("a browser has signed in", extra={"user": identity.user, "issuer": issuer.settings.name})
        response = _redirect(own_page(attempt.next))
        response.del_cookie(ATTEMPT_COOKIE, path="/auth/callback")
        self._keep(response, identity, via, issuer)
        return response

    def _keep(self, response: web.StreamResponse, identity: Identity, via: str, issuer: Issuer) -> None:
        seconds = min(SESSION_SECONDS, int(issuer.settings.session_seconds))
        self._cookies.set(response, principal_for(identity, None), via=via, seconds=seconds)

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        """End the session here, and lead the browser to the provider to end it there."""
        session = self._cookies.session(request.cookies.get(SESSION_COOKIE, ""))
        if session is not None:
            await self._authenticator.end_session(session.via)
        issuers = self._flow.issuers()
        response = _redirect(await self._flow.farewell(issuers[0]) if len(issuers) == 1 else "/")
        self._cookies.clear(response)
        return response

    def _wanted(self, name: str | None) -> Issuer:
        issuers = self._flow.issuers()
        found = self._flow.issuer(name) if name is not None else issuers[0] if len(issuers) == 1 else None
        if found is None:
            names = ", ".join(issuer.settings.name for issuer in issuers) or "none is configured"
            raise NotFound(f"name an identity provider, as /auth/login/<name>: {names}")
        return found

    def _attempt(self, request: web.Request, issuer: Issuer) -> Attempt:
        """Return the sign-in that the provider answers.

        Raises:
            InvalidCredentials: this browser has begun none, or it is another provider's answer (RFC 9207).
        """
        value = request.cookies.get(ATTEMPT_COOKIE, "")
        attempt = self._attempts.unseal(value, now=self._flow.clock())
        state = request.query.get("state", "")
        told = request.query.get("iss", issuer.settings.issuer)
        if (
            attempt is None
            or attempt.issuer != issuer.settings.name
            or told != issuer.settings.issuer
            or not hmac.compare_digest(state.encode(), attempt.state.encode())
        ):
            raise InvalidCredentials("this is not the answer to a sign-in of this browser; begin again at /auth/login")
        return attempt


def _code(request: web.Request) -> str:
    refused = request.query.get("error")
    if refused is not None:
        raise InvalidCredentials(f"the identity provider has refused the sign-in: {refused[:100]!r}")
    code = request.query.get("code", "")
    if not code or len(code) > MAX_CODE:
        raise InvalidCredentials("the identity provider has sent no code; begin again at /auth/login")
    return code


def _redirect(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
