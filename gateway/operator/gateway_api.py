"""The gateway's own HTTP API, as the operator uses it: the same doors that administrators and users come through."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp

from edges.model import Json
from gateway.operator.api import unguarded
from gateway.operator.errors import GatewayRefused, GatewayUnavailable

_MAX_ANSWER = 32 << 20
_AGAIN = frozenset({408, 425, 429})
"""Refusals that pass by themselves."""


class GatewayApi:
    """Calls the gateway. ``token`` gives the operator's own token anew each time, so that it can be exchanged.

    ``guard`` is called before each write, and raises where none must be made. ``seconds`` bounds one request.

    Raises:
        GatewayUnavailable: it did not answer, or is not well.
        GatewayRefused: it understood and refused.
    """

    def __init__(
        self,
        *,
        url: str,
        token: Callable[[], str],
        session: aiohttp.ClientSession,
        guard: Callable[[], None] = unguarded,
        seconds: float = 30.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session = session
        self._guard = guard
        self._timeout = aiohttp.ClientTimeout(total=seconds)

    async def policies(self) -> list[Json]:
        """Return all quota policies that hold."""
        found: list[Json] = (await self._call("GET", "/quotas/policies"))["policies"]
        return found

    async def put_policy(self, policy: Json, *, why: str) -> None:
        """Add or replace a policy."""
        await self._call("PUT", f"/quotas/policies/{quote(policy['name'], safe='')}", policy | {"why": why})

    async def delete_policy(self, name: str, *, why: str) -> None:
        """Delete a policy; one that is not there is gone already."""
        await self._gone(f"/quotas/policies/{quote(name, safe='')}?why={quote(why)}")

    async def grants(self) -> list[Json]:
        """Return all grants that are not over."""
        found: list[Json] = (await self._call("GET", "/quotas/grants"))["grants"]
        return found

    async def grant(self, wanted: Json, *, key: str) -> None:
        """Raise a limit for a time, once however often it is asked for."""
        await self._call("POST", "/quotas/grants", wanted, headers={"Idempotency-Key": key})

    async def revoke(self, grant_id: str, *, why: str) -> None:
        """End a grant; one that is over is gone already."""
        await self._gone(f"/quotas/grants/{quote(grant_id, safe='')}?why={quote(why)}")

    async def usage(self, group: str) -> list[Json]:
        """Return where the quotas that bind a group stand."""
        found: list[Json] = (await self._call("GET", f"/quotas/{quote(group)}"))["quotas"]
        return found

    async def sites(self) -> dict[str, Json]:
        """Return how the sites are, by id."""
        return {str(each["id"]): each for each in (await self._call("GET", "/sites"))["sites"]}

    async def harvest(self, inputs: Json, *, key: str, token: str) -> Json:
        """Order a harvest, once however often it is asked for; return its job."""
        body = {"inputs": inputs}
        headers = {"Idempotency-Key": key}
        found: Json = await self._call("POST", "/processes/harvest/execution", body, headers=headers, token=token)
        return found

    async def job(self, job_id: str, *, token: str) -> Json:
        """Return how a job stands."""
        found: Json = await self._call("GET", f"/jobs/{quote(job_id, safe='')}", token=token)
        return found

    async def cancel(self, job_id: str, *, token: str) -> None:
        """Cancel a job; one that is over stays as it is."""
        try:
            await self._call("DELETE", f"/jobs/{quote(job_id, safe='')}", token=token)
        except GatewayRefused as error:
            if error.code not in (404, 409, 410):
                raise

    async def _gone(self, path: str) -> None:
        try:
            await self._call("DELETE", path)
        except GatewayRefused as error:
            if error.code != 404:
                raise

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        headers: dict[str, str] | None = None,
        token: str | None = None,
    ) -> Any:
        if method != "GET":
            self._guard()
        given = {"Authorization": f"Bearer {token or self._token()}", **(headers or {})}
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=given, timeout=self._timeout, allow_redirects=False
            ) as response:
                content = await response.content.read(_MAX_ANSWER)
                while chunk := await response.content.read(_MAX_ANSWER - len(content)):
                    content += chunk
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayUnavailable(f"the gateway did not answer: {type(error).__name__}") from error
        return _answer(status, content)


def _answer(status: int, content: bytes) -> Any:
    if status >= 500 or status in _AGAIN or 300 <= status < 400:
        raise GatewayUnavailable(f"the gateway is not well: {_detail(status, content)}")
    if status >= 400:
        raise GatewayRefused(_detail(status, content), status)
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise GatewayUnavailable("the gateway's answer could not be read") from error


def _detail(status: int, content: bytes) -> str:
    try:
        problem = json.loads(content)
        return str(problem.get("detail") or problem["title"])[:500]
    except (ValueError, AttributeError, KeyError):
        return f"status {status}"
