"""``/auth/tokens``: users make, list and revoke API tokens of their own, once they have signed in."""

from typing import ClassVar

import msgspec
from aiohttp import web

from edges.errors import InvalidInput, NotFound
from edges.model import Frozen, Json
from gateway.auth.authenticator import TokenAuthenticator
from gateway.auth.face import json_answer, told_token
from gateway.auth.identity import Forbidden, Identity, Scope
from gateway.auth.middleware import IDENTITY
from gateway.auth.tokens import IssuedToken, TokenGrant
from gateway.bodies import read_object
from gateway.principal import user_of

MOST_TOKENS = 50
"""So many tokens that are not over may one user have made."""
MAX_NOTE = 200
_DAY = 86_400.0


class TooManyTokens(Exception):
    """The user has too many tokens already."""

    status: ClassVar[int] = 409
    title: ClassVar[str] = "Too many tokens"


class _OwnToken(Frozen):
    """The body of ``POST /auth/tokens``. ``expires_in`` in seconds; ``groups`` and ``scopes`` by default all."""

    expires_in: float
    scopes: tuple[Scope, ...] = ()
    groups: tuple[str, ...] = ()
    charging_group: str = ""
    note: str = ""


class OwnTokensFace:
    """A token is never good for more than what its maker has signed in with, and never for administration.

    It keeps the groups that its maker had; so it lives for ``most_days`` at most (0: users make none). An issued token
    makes no further ones: whoever found it could stay beyond its end.
    """

    def __init__(self, *, authenticator: TokenAuthenticator, most_days: float) -> None:
        self._authenticator = authenticator
        self._most_seconds = most_days * _DAY

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/auth/tokens", self._list),
            web.post("/auth/tokens", self._create),
            web.delete("/auth/tokens/{id}", self._revoke),
        ]

    async def _own(self, request: web.Request) -> list[IssuedToken]:
        user = user_of(request).user
        issued = await self._authenticator.issued()
        return [token for token in issued if token.grant.user == user and token.grant.kind == "token"]

    async def _list(self, request: web.Request) -> web.Response:
        return json_answer({"tokens": [told_token(token) for token in await self._own(request)]})

    async def _create(self, request: web.Request) -> web.Response:
        user_of(request)
        identity: Identity = request[IDENTITY]
        if not self._most_seconds:
            raise Forbidden("users make no tokens of their own here; ask an administrator for one")
        if self._authenticator.is_token(identity.via):
            raise Forbidden("a token that was issued makes no further ones; sign in instead")
        wanted = self._parsed(await read_object(request, right="an object with `expires_in`", limit=16_384))
        grant = granted(identity, wanted)
        if sum(self._authenticator.holds(token) for token in await self._own(request)) >= MOST_TOKENS:
            raise TooManyTokens(f"{identity.user} has {MOST_TOKENS} tokens already; revoke one")
        secret, token = await self._authenticator.create(grant, seconds=wanted.expires_in)
        return json_answer({**told_token(token), "token": secret}, status=201)

    def _parsed(self, body: Json) -> _OwnToken:
        try:
            wanted = msgspec.convert(body, _OwnToken)
        except msgspec.ValidationError as error:
            raise InvalidInput("body", str(error), "expires_in, scopes, groups, charging_group, note") from error
        if not 0 < wanted.expires_in <= self._most_seconds:
            right = f"seconds, more than 0 and at most {self._most_seconds:g}"
            raise InvalidInput("expires_in", f"got {wanted.expires_in:g}", right)
        if len(wanted.note) > MAX_NOTE or not (wanted.note.isprintable() or not wanted.note):
            raise InvalidInput("note", "too long, or not printable", f"at most {MAX_NOTE} characters")
        return wanted

    async def _revoke(self, request: web.Request) -> web.Response:
        token_id = request.match_info["id"]
        identity = request.get(IDENTITY)
        if identity is None or (self._authenticator.is_token(identity.via) and identity.via != f"issued:{token_id}"):
            raise Forbidden("a token that was issued ends no other one; sign in instead")
        if token_id not in {token.id for token in await self._own(request)}:
            raise NotFound(f"you have no token {token_id[:64]!r}")
        if not await self._authenticator.revoke(token_id):
            raise NotFound(f"token {token_id!r} is revoked already")
        return web.Response(status=204)


def granted(identity: Identity, wanted: _OwnToken) -> TokenGrant:
    """Return what a user's own token is good for: a part of what its maker may.

    Raises:
        Forbidden: it would be good for more.
        InvalidInput: the charging group is none of its groups.
    """
    for scope in wanted.scopes:
        if scope == "admin" or (identity.scopes and scope not in identity.scopes):
            raise Forbidden(f"your own token cannot have the scope {scope!r}")
    groups = wanted.groups or identity.groups
    for group in groups:
        if group not in identity.groups:
            raise Forbidden(f"{identity.user} is not in group {group[:200]!r}")
    charging = wanted.charging_group or (identity.charging_group if identity.charging_group in groups else "")
    if charging and charging not in groups:
        raise InvalidInput("charging_group", f"got {charging[:200]!r}", "one of the token's groups")
    return TokenGrant(
        user=identity.user,
        groups=groups,
        charging_group=charging,
        scopes=wanted.scopes or identity.scopes,
        note=wanted.note,
        roles=identity.roles,
    )
