"""The gateway as a notebook sees it: search, the edges that compute, and Dask Gateway clients of them."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth

from gateway.client.parts import Item

PAGE_ITEMS = 500
MAX_ITEMS = 10_000
_SECONDS = 120.0


class LakeRefused(Exception):
    """The gateway refused; the message is its own."""


class Lake:
    """One gateway, used with a user's token; an async context manager.

    ``dask`` are further arguments of :class:`dask_gateway.Gateway`. Within a kernel that the gateway started, all of
    it is in the environment already.
    """

    def __init__(self, url: str, *, user: str, token: str, dask: Mapping[str, Any] | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._auth = BasicAuth(user, token)
        self._dask = dict(dask or {})
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def edges(self) -> list[str]:
        """Return the edges that compute."""
        return sorted(await self._call("GET", "/bridges.json"))

    async def search(self, search: Mapping[str, Any], *, limit: int = MAX_ITEMS, strict: bool = True) -> list[Item]:
        """Return all items that match a STAC search, ``limit`` at most.

        With ``strict=False``, those of the sites that answer: a sum over them may lack what the others hold.

        Raises:
            LakeRefused: the search is wrong, or not allowed; or a site that may hold matches does not answer.
        """
        body: dict[str, Any] | None = {"strict": strict, **search, "limit": min(PAGE_ITEMS, limit)}
        items: list[Item] = []
        while body is not None and len(items) < limit:
            page = await self._call("POST", "/search", body)
            items += page["features"]
            following = next((link for link in page.get("links", ()) if link.get("rel") == "next"), None)
            body = None if following is None else {**body, **(following.get("body") or {})}
        return items[:limit]

    def gateway(self) -> Gateway:
        """Return a Dask Gateway client; whoever asked closes it."""
        return Gateway(self._url, auth=self._auth, asynchronous=True, **self._dask)

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("use `async with Lake(...)`")
        async with self._session.request(method, self._url + path, json=body) as response:
            answer = _object(await response.read())
            if response.status >= 400:
                told = answer or {}
                said = told.get("detail") or told.get("error") or told.get("title") or response.reason
                raise LakeRefused(f"{method} {path}: {response.status}: {said}")
            if answer is None:
                raise LakeRefused(f"{method} {path}: {self._url} answers no JSON: is it the address of a gateway?")
            return answer


def _object(content: bytes) -> dict[str, Any] | None:
    """Return a JSON object, or None where an answer is something else."""
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
