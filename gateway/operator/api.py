"""The Kubernetes API: plain JSON over the official client, its errors translated. The only module that knows it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio import client, config

from edges.model import Frozen, Json
from gateway.operator.errors import Conflicted, Expired, Forbidden, KubernetesError, NotThere

MANAGER = "lakegate-operator"
"""The field manager: what we apply is ours, what others apply is theirs (server-side apply)."""

_PAGE = 500
_MAX_EVENT = 16 << 20
"""Longest line of a watch: etcd keeps objects of 1.5 MiB, whose JSON with all managed fields is a few times that."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_ERRORS: dict[int, type[KubernetesError]] = {403: Forbidden, 404: NotThere, 409: Conflicted, 410: Expired}
_LOST = (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError)


def unguarded() -> None:
    """Let everything be written."""


class Event(Frozen):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object (of a bookmark: its version only)."""

    type: str
    object: Json


class Listing(Frozen):
    """All objects of a kind, and the version from which a watch goes on."""

    items: tuple[Json, ...]
    version: str


class KubernetesApi:
    """Reads and writes objects. ``guard`` is called before each write, and raises where none must be made.

    ``seconds`` bounds one request. Raises :class:`KubernetesError` and what is derived from it.
    """

    def __init__(self, *, api: client.ApiClient, guard: Callable[[], None] = unguarded, seconds: float = 10.0) -> None:
        self._api = api
        self._guard = guard
        self._seconds = seconds

    async def get(self, path: str) -> Json:
        """Return an object."""
        return await self._read("GET", path)

    async def list(self, path: str) -> Listing:
        """Return all objects below a path, by pages."""
        items: list[Json] = []
        following = ""
        while True:
            query = {"limit": str(_PAGE)} | ({"continue": following} if following else {})
            page = await self._read("GET", f"{path}?{urlencode(query)}")
            items += page.get("items") or ()
            following = page["metadata"].get("continue") or ""
            if not following:
                return Listing(items=tuple(items), version=str(page["metadata"]["resourceVersion"]))

    async def create(self, path: str, body: Json) -> Json:
        """Create an object in a collection."""
        return await self._write("POST", path, body)

    async def delete(self, path: str) -> Json:
        """Delete an object, and in the background what it owns."""
        return await self._write("DELETE", f"{path}?propagationPolicy=Background")

    async def replace(self, path: str, body: Json) -> Json:
        """Replace an object, if it is still at the version that the body names."""
        return await self._write("PUT", path, body)

    async def merge(self, path: str, body: Json) -> Json:
        """Change fields of an object (RFC 7386), if it is still at the version that the body names, if any."""
        return await self._write("PATCH", path, body, kind=_MERGE)

    async def apply(self, path: str, body: Json) -> Json:
        """Say what our fields of an object are (server-side apply); make it where it is not there."""
        query = urlencode({"fieldManager": MANAGER, "force": "true"})
        return await self._write("PATCH", f"{path}?{query}", body, kind=_APPLY)

    async def watch(self, path: str, version: str, *, seconds: int, silence: float) -> AsyncIterator[Event]:
        """Yield what changes after a version, for so many seconds at most; nothing for ``silence`` is a failure.

        Raises:
            Expired: the version is no longer known.
            KubernetesError: the connection was lost.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=seconds + silence, sock_connect=self._seconds, sock_read=silence)
        try:
            response = await self._send("GET", f"{path}?{urlencode(query)}", times=timeout)
            try:
                async for line in _lines(response.content):
                    yield _event(line)
            finally:
                response.close()
        except _LOST as error:
            raise KubernetesError(f"the watch was lost: {type(error).__name__}") from error

    async def _write(self, method: str, path: str, body: Json | None = None, *, kind: str = "application/json") -> Json:
        self._guard()
        return await self._read(method, path, body, kind=kind)

    async def _read(self, method: str, path: str, body: Json | None = None, *, kind: str = "application/json") -> Json:
        timeout = aiohttp.ClientTimeout(total=self._seconds)
        try:
            response = await self._send(method, path, body, kind=kind, times=timeout)
            content = await response.read()
            found: Json = json.loads(content)
        except _LOST as error:
            raise KubernetesError(f"the API server did not answer: {type(error).__name__}") from error
        return found

    async def _send(
        self, method: str, path: str, body: Json | None = None, *, times: aiohttp.ClientTimeout, kind: str = ""
    ) -> aiohttp.ClientResponse:
        # The client turns a body into its own models' shape; ours is JSON already, and stays as it is.
        headers: dict[str, str] = {"Accept": "application/json"} | ({"Content-Type": kind} if kind else {})
        asked: Any = await self._api.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        call: Any = self._api.call_api
        answer = await call(*asked, _request_timeout=times)
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 400:
            raise _refusal(response.status, await response.read())
        return response


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield whole lines: the reader's own are bounded at 128 KiB, and one object above that would end every watch."""
    held = bytearray()
    async for chunk in content.iter_any():
        held += chunk
        *lines, rest = held.split(b"\n") if b"\n" in chunk else [held]
        for line in lines:
            if line:
                yield bytes(line)
        held = rest
        if len(held) > _MAX_EVENT:
            raise ValueError("an event is longer than any object")


def _event(line: bytes) -> Event:
    event = msgspec.convert(json.loads(line), Event)
    if event.type == "ERROR":
        code = int(event.object.get("code") or 0)
        raise _ERRORS.get(code, KubernetesError)(str(event.object.get("message"))[:300], code)
    return event


def _refusal(status: int, content: bytes) -> KubernetesError:
    try:
        message = str(json.loads(content).get("message"))
    except (ValueError, AttributeError):
        message = f"status {status}"
    return _ERRORS.get(status, KubernetesError)(message[:500], status)


@asynccontextmanager
async def connected(kubeconfig: Path | None) -> AsyncIterator[client.ApiClient]:
    """Connect as a kubeconfig says, or, without one, as the pod's service account.

    Raises:
        KubernetesError: neither is there, or it cannot be used.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(  # type: ignore[no-untyped-call]  # the library tells no types
                client_configuration=configuration
            )
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # the library tells no types
                config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
            )
    except (config.ConfigException, OSError) as error:
        raise KubernetesError(f"no way to the Kubernetes API: {error}") from error
    configuration.retries = False
    async with client.ApiClient(configuration) as api:
        yield api
