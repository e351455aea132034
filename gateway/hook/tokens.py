"""Tokens for catalogues outside, by the credentials that an order brought (RFC 6749 sections 4.3 and 4.4)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

import aiohttp
import msgspec

from edges.errors import EdgeError, SiteUnavailable
from edges.http import Outbound, read_bounded
from gateway.hook.model import Catalogue

_SECONDS = 20.0
_MAX_ANSWER = 64 * 1024
_MAX_TOKEN = 16 * 1024
_LONGEST = 3600.0
_MARGIN = 0.8
"""Part of its life for which a token is used: a transfer that begins late in it should still be let in."""
_UNKNOWN_LIFE = 60.0
_REFUSED_SECONDS = 30.0
"""How long refused credentials are not tried again: many products would lock the user's account."""


class CredentialsRefused(EdgeError):
    """The identity provider of a catalogue outside does not take the credentials that an order brought."""

    status: ClassVar[int] = 502
    title: ClassVar[str] = "The credentials for the catalogue were refused"


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float | None = None


class Tokens:
    """Asks for tokens and keeps them while they last, one for each order."""

    def __init__(self, *, outbound: Outbound, clock: Callable[[], float] = time.monotonic) -> None:
        self._outbound = outbound
        self._clock = clock
        self._kept: dict[str, tuple[str | EdgeError, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def token(self, name: str, catalogue: Catalogue, secrets: Mapping[str, str]) -> str:
        """Return a token for a catalogue; ``name`` is whose.

        Raises:
            CredentialsRefused: the provider does not give one.
            SiteUnavailable: it does not answer.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            kept, until = self._kept.get(name, ("", 0.0))
            if until > self._clock():
                if isinstance(kept, EdgeError):
                    raise kept
                return kept
            try:
                answer = await self._ask(catalogue, secrets)
            except CredentialsRefused as error:
                self._kept[name] = (error, self._clock() + _REFUSED_SECONDS)
                raise
            life = _UNKNOWN_LIFE if answer.expires_in is None else min(max(0.0, answer.expires_in), _LONGEST)
            self._kept[name] = (answer.access_token, self._clock() + _MARGIN * life)
            return answer.access_token

    def forget(self, name: str) -> None:
        """Forget the token of an order."""
        self._kept.pop(name, None)
        self._locks.pop(name, None)

    async def _ask(self, catalogue: Catalogue, secrets: Mapping[str, str]) -> _Answer:
        form = _form(catalogue, secrets)
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with self._outbound.session.post(
                catalogue.token_url, data=form, timeout=timeout, allow_redirects=False
            ) as response:
                body = await read_bounded(response, site="the identity provider", limit=_MAX_ANSWER)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SiteUnavailable("the identity provider", f"no token: {type(error).__name__}") from error
        if status in (429, 500, 502, 503, 504):
            raise SiteUnavailable("the identity provider", f"no token: HTTP {status}")
        if status != 200:
            raise CredentialsRefused(
                f"the identity provider gives no token (HTTP {status}): are the credentials right?"
            )
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError as error:
            raise CredentialsRefused("the identity provider's answer holds no access_token") from error
        if not answer.access_token.isascii() or not answer.access_token.isprintable():
            raise CredentialsRefused("the identity provider's token cannot stand in a header")
        if len(answer.access_token) > _MAX_TOKEN:
            raise CredentialsRefused(f"the identity provider's token is longer than {_MAX_TOKEN} characters")
        return answer


def _form(catalogue: Catalogue, secrets: Mapping[str, str]) -> dict[str, str]:
    form = {"grant_type": catalogue.grant.lower()}
    if catalogue.client_id:
        form["client_id"] = catalogue.client_id
    if "source_client_secret" in secrets:
        form["client_secret"] = secrets["source_client_secret"]
    if catalogue.grant == "PASSWORD":
        form |= {"username": catalogue.username, "password": secrets.get("source_password", "")}
    return form
