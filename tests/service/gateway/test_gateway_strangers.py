"""What strangers send to the gateway's own port, and what of sites' secrets gets into its records: nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from federated_lake import Client, gateway_over, hub, item, site_of
from hostile_sites import hostile, page

from gateway.settings import LimitSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

SIGNED = "https://data.example/a.tif?X-Amz-Signature=SENTINEL-OF-A-SIGNATURE"
LIMITS = LimitSettings(deadline_seconds=8.0, probe_seconds=3600.0)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    folder = tmp_path_factory.mktemp("strangers")
    scenes = [item(f"i-{day}", "good", day=day) for day in range(1, 4)]
    async with site_of(scenes, folder / "good.db") as url, gateway_over([hub("good", url)], folder) as client:
        yield client


async def sent(client: Client, request: bytes) -> bytes:
    """Return all that comes back for raw bytes, until the gateway closes or has nothing more to say."""
    parts = urlsplit(client.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
SEARCH = b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
ODD = {
    "two ways to tell its length": SEARCH
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "two lengths": SEARCH + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + SMUGGLED,
    "a length that is no number": SEARCH + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
    "a folded header": SEARCH + b"X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "a space before a colon": SEARCH + b"Content-Length : 2\r\n\r\n{}" + SMUGGLED,
    "a line break in a header": SEARCH + b"X-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\n{}",
    "a null in a header": SEARCH + b"X-A: b\0c\r\nContent-Length: 2\r\n\r\n{}",
    "an unknown coding": SEARCH + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("request_", ODD.values(), ids=list(ODD))
async def test_a_request_that_can_be_read_in_two_ways_is_refused_and_smuggles_nothing(
    client: Client, request_: bytes
) -> None:
    answer = await sent(client, request_)
    assert answer.split(b" ", 2)[1] == b"400", answer[:200]
    assert answer.count(b"HTTP/1.") == 1
    assert b"lakegate_requests" not in answer
    status, found = await client.post({"limit": 1})
    assert (status, len(found["features"])) == (200, 1)


@pytest.mark.parametrize("name", ["%0d%0aSet-Cookie:%20a=b", "%0aX-Evil:%201", "a%00b"])
async def test_line_breaks_in_names_become_no_header(client: Client, name: str) -> None:
    for path in (f"/collections/good/items/{name}", f"/collections/{name}", f"/search?token={name}&collections={name}"):
        answer = await sent(client, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, _ = answer.partition(b"\r\n\r\n")
        assert head.split(b" ")[1] in (b"200", b"400", b"404"), head
        assert b"set-cookie" not in head.lower()
        assert b"x-evil" not in head.lower()


async def test_names_that_strangers_choose_make_no_series_of_metrics(client: Client) -> None:
    async def series() -> set[str]:
        async with client.session.get(f"{client.url}/metrics") as response:
            return {line.rpartition(" ")[0] for line in (await response.text()).splitlines() if line[:1] != "#"}

    async def asked(number: int) -> None:
        name = f"made-up-{number}"
        await client.get("/search", collections=name, limit=1)
        for path in (
            f"/collections/{name}",
            f"/collections/{name}/items/{name}",
            f"/{name}/{name}",
            f"/catalogs/{name}",
        ):
            await client.get(path)
        async with client.session.request(f"X{number}", f"{client.url}/search"):
            pass

    await asked(0)
    before = await series()
    for start in range(1, 100, 20):
        await asyncio.gather(*(asked(number) for number in range(start, start + 20)))
    after = await series()
    assert not any("made-up" in each for each in after)
    assert len(after) <= len(before) + 40  # outcomes and buckets, but nothing for each name


async def test_a_signature_of_a_site_gets_into_no_log_metric_or_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("sig"):
            return web.Response(status=500, text=f"cannot read {SIGNED}")
        bad = item("x", "bad") | {"assets": {"data": {"href": SIGNED}, "bad": {"href": f"javascript:{SIGNED}"}}}
        following = {"rel": "next", "href": f"{site.url}/search?sig=SENTINEL-OF-A-SIGNATURE"}
        return page([bad, {"no": SIGNED}], following)

    good = [item("g", "good")]
    with caplog.at_level(logging.DEBUG):
        async with hostile(answer) as site, site_of(good, tmp_path / "good.db") as url:
            sites = [hub("good", url), hub("bad", site.url)]
            async with gateway_over(sites, tmp_path, limits=LIMITS) as client:
                status, found = await client.post({"limit": 5})
                assert status == 200
                assert "answered 500" in found["federation"]["bad"]["reason"]
                told = [msgspec.json.encode(found["federation"])]
                _, explained = await client.post({"limit": 5}, "/search/explain")
                told.append(msgspec.json.encode(explained))
                for path in ("/metrics", "/sites/bad", "/sites"):
                    async with client.session.get(client.url + path) as response:
                        told.append(await response.read())
    assert any(request.query.get("sig") for request in site.requests)
    for each in told:
        assert b"SENTINEL" not in each
    ours = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio"))]
    assert "SENTINEL" not in "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
