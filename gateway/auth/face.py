"""Signing in and out of browsers, who one is, and the admin's tokens."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from edges.errors import InvalidInput, NotFound
from edges.model import Frozen, Json
from gateway.auth.authenticator import TokenAuthenticator
from gateway.auth.cookies import SESSION_COOKIE, SESSION_SECONDS, SessionCookies
from gateway.auth.identity import Authenticator, Forbidden, Identity, InvalidCredentials, Scope, principal_for
from gateway.auth.tokens import IssuedToken, TokenGrant
from gateway.bodies import read_object
from gateway.principal import principal_of, user_of

LONGEST_SECONDS = 10 * 366 * 86_400.0
"""A token that shall live longer than this has no expiry."""


class _NewToken(Frozen):
    """The body of ``POST /admin/tokens``. ``expires_in`` in seconds; without it the token has no expiry."""

    user: str
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    admin: bool = False
    scopes: tuple[Scope, ...] = ()
    note: str = ""
    expires_in: float | None = None
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.expires_in is not None and not 0 < self.expires_in <= LONGEST_SECONDS:
            raise ValueError(f"expires_in must be more than 0 and at most {LONGEST_SECONDS:g} seconds")


class AuthFace:
    """``/auth/me``, ``/auth/session`` and ``/admin/tokens``.

    ``others`` are authenticators beside that of our own tokens, whose credentials can begin a browser's session.
    """

    def __init__(
        self,
        *,
        authenticator: TokenAuthenticator,
        cookies: SessionCookies,
        others: Sequence[Authenticator] = (),
    ) -> None:
        self._authenticator = authenticator
        self._cookies = cookies
        self._others = others

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/auth/me", self._me),
            web.post("/auth/session", self._sign_in),
            web.delete("/auth/session", self._sign_out),
            web.get("/admin/tokens", self._list),
            web.post("/admin/tokens", self._create),
            web.delete("/admin/tokens/{id}", self._revoke),
        ]

    async def _me(self, request: web.Request) -> web.Response:
        return json_answer(msgspec.to_builtins(principal_of(request)))

    async def _sign_in(self, request: web.Request) -> web.Response:
        """Take a token once, and set a cookie in its place: pages need not keep the token."""
        body = await read_object(request, right='an object {"token": ...}', limit=16_384)
        secret = body.get("token")
        if not isinstance(secret, str):
            raise InvalidInput("token", "missing or no text", "an API token")
        identity, via = await self._known(secret)
        principal = principal_for(identity, None)
        response = json_answer(msgspec.to_builtins(principal))
        self._cookies.set(response, principal, via=via)
        return response

    async def _known(self, secret: str) -> tuple[Identity, str]:
        """Return whose token it is, and what the session is kept by: our own token, else a session of its own."""
        identity = await self._authenticator.identify(secret)
        if identity is not None:
            return identity, identity.via
        for other in self._others:
            identity = await other.identify(secret)
            if identity is not None:
                return identity, await self._authenticator.begin_session(identity, seconds=SESSION_SECONDS)
        raise InvalidCredentials("the token is not known here")

    async def _sign_out(self, request: web.Request) -> web.Response:
        session = self._cookies.session(request.cookies.get(SESSION_COOKIE, ""))
        if session is not None:
            await self._authenticator.end_session(session.via)
        response = web.Response(status=204)
        self._cookies.clear(response)
        return response

    async def _list(self, request: web.Request) -> web.Response:
        _check_admin(request)
        return json_answer({"tokens": [told_token(token) for token in await self._authenticator.issued()]})

    async def _create(self, request: web.Request) -> web.Response:
        _check_admin(request)
        grant, seconds = _parse(await read_object(request, right="an object with `user`", limit=65_536))
        secret, token = await self._authenticator.create(grant, seconds=seconds)
        return json_answer({**told_token(token), "token": secret}, status=201)

    async def _revoke(self, request: web.Request) -> web.Response:
        _check_admin(request)
        if not await self._authenticator.revoke(request.match_info["id"]):
            raise NotFound(f"there is no token {request.match_info['id'][:64]!r} that is not revoked yet")
        return web.Response(status=204)


def _check_admin(request: web.Request) -> None:
    if not user_of(request).admin:
        raise Forbidden("only administrators of the gateway may do this")


def _parse(body: Json) -> tuple[TokenGrant, float | None]:
    """Return what a token shall be good for, and for how many seconds."""
    try:
        wanted = msgspec.convert(body, _NewToken)
        granted = {name: value for name, value in msgspec.structs.asdict(wanted).items() if name != "expires_in"}
        grant = TokenGrant(**granted)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidInput("body", str(error), ", ".join(_NewToken.__struct_fields__)) from error
    return grant, wanted.expires_in


def told_token(token: IssuedToken) -> Json:
    """Tell a token, without its secret."""
    told: Json = msgspec.to_builtins(token)
    return {**told.pop("grant"), **told}


def json_answer(value: Json, status: int = 200) -> web.Response:
    """Answer with JSON that no cache keeps."""
    body = msgspec.json.encode(value)
    response = web.Response(status=status, body=body, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
