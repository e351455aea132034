"""One edge's Dask Gateway (dask-gateway-server 2026.3, REST API v1).

The server offers clusters per user only, so each call is made in the name of its user, by a claim that lives a minute.
Its cookie outranks the ``Authorization`` header: the session must keep none.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from edges.compute.calls import Answer, Rest
from edges.compute.claims import ClaimSigner
from edges.compute.errors import ComputeRefused, NotRunning
from edges.compute.model import STATUSES, Adjustment, ClusterReport, Upstream
from edges.errors import NotFound, SiteMisbehaved
from edges.model import ClusterCap, EdgeUser, Json

LONG_POLL_SECONDS = 20.0
"""How long the server holds ``?wait``."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,50}(\.[a-z0-9][a-z0-9-]{0,62})*")
"""A name becomes the host name ``daskgateway-<name>``: its first label has 51 characters at most."""


class DaskGateway:
    """Adapter of :class:`edges.seams.DaskBackend` to one dask-gateway-server.

    ``proxy_address`` (``host:port``) is where the TLS comms of its clusters are reached, by default the URL's own.

    Raises:
        ValueError: the URL has no host, or ``secret`` is too short.
    """

    def __init__(
        self,
        *,
        edge: str,
        url: str,
        secret: str,
        session: aiohttp.ClientSession,
        proxy_address: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._rest = Rest(site=edge, base=url, session=session, timeout_seconds=timeout_seconds)
        self._signer = ClaimSigner(secret=secret, audience=edge)
        self._comm = comm_address(url, proxy_address)

    @property
    def comm_address(self) -> tuple[str, int]:
        """Return host and port of the edge's TLS proxy."""
        return self._comm

    def dashboard(self, name: str) -> Upstream:
        """Return where a cluster's dashboard is (the path below it is the caller's)."""
        return Upstream(url=f"{self._rest.base}/clusters/{quote(name, safe='.-')}")

    async def version(self) -> str:
        """Return the server's version; the cheapest sign of life."""
        answer = await self._rest.call("GET", "/api/version", headers={})
        return str(self._object(answer).get("version", ""))

    async def options(self, user: EdgeUser) -> list[Json]:
        """Return the option fields that the edge offers this user."""
        answer = await self._call("GET", "/api/v1/options", user)
        fields = self._object(answer).get("cluster_options")
        if not isinstance(fields, list):
            raise SiteMisbehaved(self._rest.site, "options are not a list")
        return [field for field in fields if isinstance(field, dict)]

    async def create(self, user: EdgeUser, options: Mapping[str, Any], cap: ClusterCap) -> str:
        """Start a cluster within ``cap``; return its name."""
        answer = await self._rest.call(
            "POST",
            "/api/v1/clusters/",
            headers=self._signer.header(user, cap),
            body={"cluster_options": dict(options)},
        )
        return self._name(self._object(self._accepted(answer)).get("name"))

    async def report(self, user: EdgeUser, name: str, *, wait: bool = False) -> ClusterReport | None:
        """Return the full report, or None where the edge knows no such cluster of this user."""
        path = f"/api/v1/clusters/{quote(name, safe='.-')}" + ("?wait" if wait else "")
        extra = LONG_POLL_SECONDS if wait else 0.0
        answer = await self._rest.call("GET", path, headers=self._signer.header(user), extra_seconds=extra)
        if answer.status in (403, 404):
            return None
        return self._report(self._object(self._accepted(answer)))

    async def reports(self, user: EdgeUser, statuses: Iterable[str] = ()) -> dict[str, ClusterReport]:
        """Return the user's clusters at the edge by name, by default those pending or running."""
        chosen = ",".join(statuses)
        path = "/api/v1/clusters/" + (f"?status={chosen}" if chosen else "")
        found = self._object(await self._call("GET", path, user))
        reports = [self._report(report) for report in found.values()]
        return {report.name: report for report in reports}

    async def stop(self, user: EdgeUser, name: str) -> None:
        """Stop a cluster. Idempotent; the edge may take many seconds to end it."""
        await self._call("DELETE", f"/api/v1/clusters/{quote(name, safe='.-')}", user)

    async def scale(self, user: EdgeUser, name: str, count: int) -> Adjustment:
        """Ask for ``count`` workers; the edge trims to the cluster's cap."""
        return await self._adjust(user, name, "scale", {"count": count})

    async def adapt(
        self, user: EdgeUser, name: str, *, minimum: int | None, maximum: int | None, active: bool
    ) -> Adjustment:
        """Let the cluster scale by itself between the bounds; the edge trims to the cluster's cap."""
        return await self._adjust(user, name, "adapt", {"minimum": minimum, "maximum": maximum, "active": active})

    async def _adjust(self, user: EdgeUser, name: str, verb: str, body: Json) -> Adjustment:
        answer = await self._call("POST", f"/api/v1/clusters/{quote(name, safe='.-')}/{verb}", user, body)
        said = self._object(answer)
        message = said.get("msg")
        return Adjustment(ok=said.get("ok") is True, message=None if message is None else str(message))

    async def _call(self, method: str, path: str, user: EdgeUser, body: Json | None = None) -> Answer:
        return self._accepted(await self._rest.call(method, path, headers=self._signer.header(user), body=body))

    def _accepted(self, answer: Answer) -> Answer:
        """Return an answer that is no error; raise its error otherwise, in the edge's words."""
        if answer.status < 400:
            return answer
        said = _words(answer)
        if answer.status in (400, 422):
            raise ComputeRefused(said)
        if answer.status == 404:
            raise NotFound(said)
        if answer.status == 409:
            raise NotRunning(said)
        # 401 and 403 are between the edge and us: a wrong secret or audience, nothing that the user can mend
        raise SiteMisbehaved(self._rest.site, f"answered {answer.status}: {said}")

    def _object(self, answer: Answer) -> Json:
        value = self._accepted(answer).json(self._rest.site)
        if not isinstance(value, dict):
            raise SiteMisbehaved(self._rest.site, "answered something else than a JSON object")
        return value

    def _report(self, value: Any) -> ClusterReport:
        known = {key: value[key] for key in ClusterReport.__struct_fields__ if key in value} if value else {}
        try:
            report = msgspec.convert(known, ClusterReport)
        except msgspec.ValidationError as error:
            raise SiteMisbehaved(self._rest.site, f"cluster report: {error}") from error
        self._name(report.name)
        if report.status not in STATUSES:
            raise SiteMisbehaved(self._rest.site, f"cluster status {report.status[:40]!r}")
        return report

    def _name(self, name: Any) -> str:
        if not isinstance(name, str) or len(name) > 200 or not _NAME.fullmatch(name):
            raise SiteMisbehaved(self._rest.site, "cluster name is not one that a host name can carry")
        return name


def comm_address(url: str, proxy_address: str | None) -> tuple[str, int]:
    """Return host and port of the TLS proxy: as configured, else the URL's own.

    >>> comm_address("http://edge:8000/dask", None), comm_address("https://edge", "[::1]:8786")
    (('edge', 8000), ('::1', 8786))

    Raises:
        ValueError: there is no host, or no port.
    """
    parsed = urlsplit(url if proxy_address is None else f"//{proxy_address}")
    port = parsed.port or {"http": 80, "https": 443}.get(parsed.scheme)
    if not parsed.hostname or not port:
        raise ValueError(f"no host and port for Dask comms in {proxy_address or url!r}")
    return parsed.hostname, port


def _words(answer: Answer) -> str:
    try:
        said = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"HTTP {answer.status}"
    return str(said.get("error") or said.get("message") or f"HTTP {answer.status}")[:2000]
