"""Looks at an edge from outside, as the gateway will meet it: each look ends as a finding, never as an exception."""

import asyncio
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import aiohttp
import msgspec
from yarl import URL

from edges.compute.claims import LEEWAY_SECONDS
from edges.compute.dask_gateway import DaskGateway
from edges.compute.jupyter import JupyterGateway
from edges.errors import EdgeError
from edges.http import Outbound, read_bounded
from edges.http_dates import http_date
from edges.lines.lines import Lines
from edges.model import EdgeUser, Frozen, Json
from edges.settings import CatalogueSettings, DaskSettings, KernelSettings, SiteSettings, StorageSettings
from edges.storage.s3 import S3Store

Verdict = Literal["good", "poor", "bad"]
DAYS_LEFT = 14
"""A certificate that ends sooner is told of."""
_LOOK_SECONDS = 30.0
_MAX_BYTES = 4 << 20
_FILTER = "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2"


class Finding(Frozen):
    """What one look gave: ``poor`` works, and should be mended; ``bad`` does not work."""

    part: str
    what: str
    verdict: Verdict
    detail: str


Look = Callable[[], Awaitable[list[Finding]]]


async def look_at(site: SiteSettings) -> list[Finding]:
    """Return all findings about a site: catalogue, clock, TLS, Dask Gateway, kernels, storage, versions."""
    urls = _urls(site)
    endpoints = [*urls.values(), *([site.storage.endpoint] if site.storage is not None else [])]
    async with Outbound(allowed=endpoints) as outbound:
        session = outbound.session
        looks: list[tuple[str, Look]] = []
        if site.catalogue.url:
            looks.append(("catalogue", lambda: _catalogue(site.catalogue, session)))
        looks += [(part, lambda url=url, part=part: _tls(part, url)) for part, url in urls.items()]  # type: ignore[misc]
        dask, kernels, storage = site.dask, site.kernels, site.storage
        if dask is not None:
            looks.append(("dask", lambda: _dask(site.id, dask, session)))
        if kernels is not None:
            looks.append(("kernels", lambda: _kernels(site.id, kernels, session)))
        if storage is not None:
            looks.append(("storage", lambda: _storage(site.id, storage, outbound.lines)))
        found = await asyncio.gather(*(_looked(part, look) for part, look in looks))
    return [finding for findings in found for finding in findings]


def _urls(site: SiteSettings) -> dict[str, str]:
    parts = {"catalogue": site.catalogue.url}
    parts |= {"dask": site.dask.url} if site.dask is not None else {}
    parts |= {"kernels": site.kernels.url} if site.kernels is not None else {}
    parts |= {"storage": site.storage.endpoint} if site.storage is not None else {}
    return {part: url for part, url in parts.items() if url}


async def _looked(part: str, look: Look) -> list[Finding]:
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await look()
    except TimeoutError:
        return [Finding(part=part, what="answers", verdict="bad", detail=f"nothing within {_LOOK_SECONDS:g} s")]
    except (EdgeError, LookupError, aiohttp.ClientError, OSError, ValueError) as error:
        return [Finding(part=part, what="answers", verdict="bad", detail=str(error) or type(error).__name__)]


async def _catalogue(settings: CatalogueSettings, session: aiohttp.ClientSession) -> list[Finding]:
    headers = {"Authorization": f"Bearer {settings.token.reveal()}"} if settings.token is not None else {}
    landing, date = await _json(session, settings.url, headers)
    conforms = frozenset(landing.get("conformsTo") or ())
    version = str(landing.get("stac_version", "none"))
    page, _ = await _json(session, f"{settings.url.rstrip('/')}/search?limit=1", headers)
    found = page.get("features")
    searched = page.get("type") == "FeatureCollection" and isinstance(found, list)
    writes = any("transaction" in each for each in conforms)
    return [
        _finding("catalogue", "version", f"STAC {version}", bad=not version.startswith("1.")),
        _finding(
            "catalogue", "searches", "a page of one item" if searched else "no FeatureCollection", bad=not searched
        ),
        _finding(
            "catalogue",
            "filters",
            "CQL2" if _FILTER in conforms else "no CQL2: done here",
            poor=_FILTER not in conforms,
        ),
        *(
            [
                _finding(
                    "catalogue",
                    "writes",
                    "Transaction" if writes else "a write_token, but no Transaction",
                    bad=not writes,
                )
            ]
            if settings.write_token is not None
            else []
        ),
        clock_of(date, now=time.time()),
    ]


def clock_of(date: str, *, now: float) -> Finding:
    """Judge a ``Date`` header (RFC 9110 section 6.6.1): claims live 60 s, and the edge grants them a little more."""
    told = http_date(date)
    if told is None:
        return Finding(part="clock", what="agrees", verdict="poor", detail="the answers have no Date")
    off = told.timestamp() - now
    detail = f"{abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    return _finding("clock", "agrees", detail, bad=abs(off) > LEEWAY_SECONDS, poor=abs(off) > LEEWAY_SECONDS / 3)


async def _tls(part: str, address: str) -> list[Finding]:
    url = URL(address)
    if url.scheme != "https":
        return [Finding(part=part, what="TLS", verdict="poor", detail="not encrypted: for a private network only")]
    try:
        _, writer = await asyncio.open_connection(url.host, url.port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        return [Finding(part=part, what="TLS", verdict="bad", detail=error.verify_message)]
    try:
        certificate = writer.get_extra_info("peercert") or {}
        version = writer.get_extra_info("ssl_object").version()
    finally:
        writer.close()
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400
    return [_finding(part, "TLS", f"{version}, {days:.0f} days left", bad=days < 0, poor=days < DAYS_LEFT)]


async def _dask(edge: str, settings: DaskSettings, session: aiohttp.ClientSession) -> list[Finding]:
    gateway = DaskGateway(
        edge=edge,
        url=settings.url,
        secret=settings.secret.reveal(),
        session=session,
        proxy_address=settings.proxy_address,
        timeout_seconds=settings.timeout_seconds,
    )
    version = await gateway.version()
    fields = await gateway.options(EdgeUser(name="lakegate-join", groups=()))
    names = ", ".join(str(field.get("field")) for field in fields)
    return [
        Finding(part="dask", what="version", verdict="good", detail=version),
        Finding(part="dask", what="believes our claims", verdict="good", detail=f"options: {names or 'none'}"),
        await _comms(settings),
    ]


async def _comms(settings: DaskSettings) -> Finding:
    url = URL(settings.url)
    host, _, port = (settings.proxy_address or f"{url.host}:{url.port}").rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError as error:
        return Finding(part="dask", what="comms", verdict="bad", detail=f"{host}:{port}: {error.strerror or error}")
    writer.close()
    return Finding(part="dask", what="comms", verdict="good", detail=f"{host}:{port} is open")


async def _kernels(edge: str, settings: KernelSettings, session: aiohttp.ClientSession) -> list[Finding]:
    gateway = JupyterGateway(
        edge=edge,
        url=settings.url,
        token=settings.token.reveal(),
        session=session,
        timeout_seconds=settings.timeout_seconds,
    )
    specs = (await gateway.specs()).get("kernelspecs") or {}
    async with session.get(f"{settings.url.rstrip('/')}/api/kernels", allow_redirects=False) as response:
        closed = response.status in (401, 403)
    return [
        _finding("kernels", "offers", ", ".join(sorted(specs)) or "no kernel", bad=not specs),
        _finding("kernels", "refuses strangers", "401" if closed else "anybody may run code", bad=not closed),
    ]


async def _storage(edge: str, settings: StorageSettings, lines: Lines) -> list[Finding]:
    key = f".lakegate-join/{secrets.token_hex(8)}"
    async with S3Store(site=edge, settings=settings, lines=lines) as store:
        await store.put(key, b"lakegate")
        try:
            there = await store.head(key)
        finally:
            await store.delete(key)
    whole = there is not None and there.size == len(b"lakegate")
    detail = f"an object written, seen and deleted in {settings.bucket}" if whole else "an object written is not there"
    return [_finding("storage", "writes", detail, bad=not whole)]


async def _json(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> tuple[Json, str]:
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        body = await read_bounded(response, site=URL(url).host or "", limit=_MAX_BYTES)
        if response.status != 200:
            raise ValueError(f"{url} answered {response.status}")
        content: object = msgspec.json.decode(body)
        if not isinstance(content, dict):
            raise ValueError(f"{url} answered no JSON object")  # noqa: TRY004 - what it sent is a bad value
        return content, response.headers.get("Date", "")


def _finding(part: str, what: str, detail: str, *, bad: bool = False, poor: bool = False) -> Finding:
    return Finding(part=part, what=what, verdict="bad" if bad else "poor" if poor else "good", detail=detail)
