"""Clients that are careless or hostile: each is refused by itself, at once, and the next one is served."""

import asyncio
import base64
import gzip
import io
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from federated_lake import Client, gateway_over, hub, item, site_of

from gateway.settings import LimitSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

GOOD = [item(f"good-{n}", "good", day=n, title="a" * 200) for n in range(1, 6)]
LIMITS = LimitSettings(deadline_seconds=8.0, probe_seconds=3600.0, body_seconds=0.5)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    folder = tmp_path_factory.mktemp("clients")
    async with (
        site_of(GOOD, folder / "good.db") as url,
        gateway_over([hub("good", url)], folder / "state", limits=LIMITS) as client,
    ):
        yield client


def address(client: Client) -> tuple[str, int]:
    host, _, port = client.url.removeprefix("http://").partition(":")
    return host, int(port)


async def talk(client: Client, sent: bytes, *, most: int = -1) -> bytes:
    """Send raw bytes and return what comes (the first ``most`` of it) until the gateway closes."""
    reader, writer = await asyncio.open_connection(*address(client))
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            return await reader.read(most)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def head(method: str = "GET", path: str = "/search", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


async def still_serves(client: Client) -> None:
    status, found = await client.post({"limit": 1})
    assert (status, len(found["features"])) == (200, 1)


async def post_raw(client: Client, body: bytes, **headers: str) -> tuple[int, Any]:
    kind = {"Content-Type": "application/json", **headers}
    async with client.session.post(f"{client.url}/search", data=io.BytesIO(body), headers=kind) as response:
        text = await response.read()
        return response.status, msgspec.json.decode(text) if text else None


def nested(operator: str, deep: int) -> dict[str, Any]:
    test: dict[str, Any] = {"op": "=", "args": [{"property": "id"}, "x"]}
    for _ in range(deep):
        test = {"op": operator, "args": [test]}
    return test


RING = [[n / 1000, 1.0] for n in range(10_001)]
COLLECTIONS: Any = {"type": "Point", "coordinates": [0, 0]}
for _ in range(40):
    COLLECTIONS = {"type": "GeometryCollection", "geometries": [COLLECTIONS]}
TOO_MUCH: dict[str, tuple[Any, str]] = {
    "ids": ({"ids": [str(n) for n in range(1_001)]}, "ids"),
    "collections": ({"collections": [str(n) for n in range(1_001)]}, "collections"),
    "sort fields": ({"sortby": [{"field": f"f{n}", "direction": "asc"} for n in range(11)]}, "sortby"),
    "a sort field's name": ({"sortby": [{"field": "f" * 257, "direction": "asc"}]}, "sortby"),
    "fields": ({"fields": {"include": [f"f{n}" for n in range(1_001)]}}, "fields.include"),
    "filter depth": ({"filter": nested("not", 33), "filter-lang": "cql2-json"}, "filter"),
    "filter depth beyond all measure": ({"filter": nested("not", 400), "filter-lang": "cql2-json"}, "filter"),
    "filter nodes": (
        {"filter": {"op": "or", "args": [nested("not", 1)] * 400}, "filter-lang": "cql2-json"},
        "filter",
    ),
    "filter text depth": ({"filter": "(" * 2_000 + "id='x'" + ")" * 2_000, "filter-lang": "cql2-text"}, "filter"),
    "vertices": ({"intersects": {"type": "LineString", "coordinates": RING}}, "intersects"),
    "nested collections": ({"intersects": COLLECTIONS}, "intersects"),
    "a token": ({"token": "x" * 10_000}, "token"),
    "a datetime": ({"datetime": "2" * 10_000}, "datetime"),
    "a limit that is none": ({"limit": -1}, "limit"),
    "a huge limit of text": ({"limit": "9" * 5_000}, "limit"),
    "required sites": ({"require": ["x"] * 101}, "require"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
async def test_too_much_of_one_thing_is_refused_by_its_name(client: Client, what: str) -> None:
    body, field = TOO_MUCH[what]
    status, problem = await client.post(body)
    assert status == 400, problem
    assert problem["field"] == field
    assert len(msgspec.json.encode(problem)) < 2_000
    await still_serves(client)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"filter":{"op":"not","args":['])
async def test_a_body_nested_beyond_all_measure_is_a_bad_request(client: Client, opening: str) -> None:
    status, problem = await post_raw(client, (opening * (500_000 // len(opening))).encode())
    assert (status, problem["title"]) == (400, "Invalid request")
    await still_serves(client)


NO_JSON = [
    b"{",
    b"[]",
    b"5",
    b"null",
    b'{"limit": NaN}',
    b'{"bbox": [Infinity, 0, 1, 1]}',
    b"\xff\xfe",
    b'{"a":"\xff"}',
]


@pytest.mark.parametrize("body", NO_JSON)
async def test_a_body_that_is_no_json_object_is_a_bad_request(client: Client, body: bytes) -> None:
    status, _ = await post_raw(client, body)
    assert status == 400


async def test_numbers_beyond_all_measure_are_refused(client: Client) -> None:
    for body in (b'{"bbox": [1e999, 0, 1, 1]}', b'{"limit": 1e999}', b'{"limit": ' + b"9" * 5_000 + b"}"):
        status, _ = await post_raw(client, body)
        assert status == 400, body[:30]


async def test_of_members_sent_twice_the_last_one_counts_everywhere(client: Client) -> None:
    status, found = await post_raw(client, b'{"limit": 5, "limit": 1}')
    assert (status, len(found["features"])) == (200, 1)
    (following,) = [link for link in found["links"] if link["rel"] == "next"]
    assert following["body"]["limit"] == 1


async def test_a_body_larger_than_allowed_is_refused_before_it_is_read_whole(client: Client) -> None:
    status, problem = await post_raw(client, b" " * ((1 << 20) + 1))
    assert (status, problem["status"]) == (413, 413)
    announced = head("POST", Content_Type="application/json", Content_Length=str(1 << 40))
    answer = await talk(client, announced + b"{" * 1_500_000, most=100)
    assert b" 413 " in answer.split(b"\r\n")[0] or answer == b""
    await still_serves(client)


BOMBS = {
    "gzip": gzip.compress(b" " * 200_000_000, compresslevel=1),
    "deflate": zlib.compress(b" " * 200_000_000, level=1),
}


@pytest.mark.parametrize("coding", BOMBS)
async def test_a_packed_body_is_bounded_by_what_it_unpacks_to(client: Client, coding: str) -> None:
    try:
        status, _ = await post_raw(client, BOMBS[coding], **{"Content-Encoding": coding})
        assert status in (400, 413)
    except aiohttp.ClientError:
        pass  # refused while it was still being sent
    await still_serves(client)


async def test_a_packed_body_of_a_sane_size_is_understood(client: Client) -> None:
    status, found = await post_raw(client, gzip.compress(b'{"limit": 1}'), **{"Content-Encoding": "gzip"})
    assert (status, len(found["features"])) == (200, 1)


async def test_a_body_that_drips_is_given_up(client: Client) -> None:
    reader, writer = await asyncio.open_connection(*address(client))
    writer.write(head("POST", Content_Type="application/json", Content_Length="1000"))
    answer = b""
    async with asyncio.timeout(20):
        while not answer:
            writer.write(b" ")
            await asyncio.wait([asyncio.ensure_future(writer.drain())])
            try:
                async with asyncio.timeout(0.05):
                    answer = await reader.read(1_000)
            except TimeoutError:
                continue
    writer.close()
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"problem+json" in answer
    await still_serves(client)


async def test_many_clients_that_never_finish_a_header_keep_nobody_out(client: Client) -> None:
    openings = [await asyncio.open_connection(*address(client)) for _ in range(100)]
    for _, writer in openings:
        writer.write(b"GET /search HTTP/1.1\r\nX: ")
    await still_serves(client)
    for _, writer in openings:
        writer.close()


async def test_a_flood_of_headers_is_cut_off(client: Client) -> None:
    flood = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(50_000))
    answer = await talk(client, flood)
    assert answer[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400", b"")
    await still_serves(client)


SMUGGLED = {
    "length and chunks": b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a bare line feed in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
    "a length with a sign": b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    "an odd coding": b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"-1\r\n{}\r\n0\r\n\r\n",
    "no HTTP at all": b"\x00\x01\x02\r\n\r\n",
}


@pytest.mark.parametrize("what", SMUGGLED)
async def test_what_two_servers_could_read_in_two_ways_is_refused(client: Client, what: str) -> None:
    answer = await talk(client, SMUGGLED[what])
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer[:200]
    assert answer.count(b"HTTP/1.") <= 1
    await still_serves(client)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "DELETE", "PUT", "PATCH", "SEARCH", "X" * 30])
async def test_other_methods_change_nothing_and_are_refused(client: Client, method: str) -> None:
    answer = await talk(client, head(method, Connection="close"))
    assert answer.split(b" ")[1] in (b"400", b"404", b"405"), answer[:100]
    await still_serves(client)


async def test_a_request_for_no_path_is_answered(client: Client) -> None:
    answer = await talk(client, b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 500 " not in answer.split(b"\r\n")[0]


async def test_methods_and_paths_of_users_are_no_labels_of_metrics(client: Client) -> None:
    for n in range(30):
        await talk(client, head("GET", f"/nothing/{n}", Connection="close"))
    await talk(client, head("PROPFIND", "/x", Connection="close"))
    for n in range(30):
        await client.get(f"/collections/none-{n}")
        await client.get("/search", collections=f"none-{n}")
    async with client.session.get(f"{client.url}/metrics") as response:
        text = await response.text()
    assert "none-1" not in text
    assert "/nothing" not in text
    assert "PROPFIND" not in text
    assert len(text.splitlines()) < 3_000


async def test_a_forged_host_changes_no_link(client: Client) -> None:
    async with client.session.get(
        f"{client.url}/search?limit=1", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    ) as response:
        assert "evil.example" not in await response.text()


@pytest.mark.parametrize("value", ["a%0d%0aSet-Cookie:%20x=1", "a%00b", "%0a%0d", "%e2%98%83"])
async def test_line_breaks_in_parameters_split_no_answer(client: Client, value: str) -> None:
    for path in (
        f"/search?limit=1&extra={value}",
        f"/collections/{value}",
        f"/collections/good/items/{value}",
        f"/sites/{value}",
    ):
        answer = await talk(client, head("GET", path, Connection="close"))
        header, _, _ = answer.partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 "), path
        assert b"\nset-cookie" not in header.lower(), path
        assert b" 500 " not in header.split(b"\r\n")[0], path


async def test_forged_cursors_are_all_refused(client: Client) -> None:
    _, first = await client.post({"limit": 1})
    (link,) = [each for each in first["links"] if each["rel"] == "next"]
    token: str = link["body"]["token"]
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    forged = {token[:-1], token[1:], token + "A", token.swapcase(), "A" * len(token), token[::-1], "", " ", "=", "\x00"}
    for place in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[place] ^= 1
        forged.add(base64.urlsafe_b64encode(changed).rstrip(b"=").decode())
    for each in forged - {"", " "}:
        status, problem = await client.post({"limit": 1, "token": each})
        assert (status, problem["field"]) == (400, "token"), each
    status, problem = await client.post({"limit": 1, "token": token, "ids": ["other"]})
    assert (status, problem["field"]) == (400, "token")
    assert (await client.post({"limit": 1, "token": token}))[0] == 200


async def test_patterns_made_to_be_slow_are_not(client: Client) -> None:
    for pattern in ("%a" * 100 + "b", "%" * 1_000 + "b", "_%" * 100 + "b", "%a%" * 80 + "\\"):
        body = {"filter": {"op": "like", "args": [{"property": "title"}, pattern]}, "filter-lang": "cql2-json"}
        async with asyncio.timeout(5):
            status, _ = await client.post(body)
        assert status in (200, 400)


async def test_a_client_that_goes_away_ends_its_search(client: Client) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection(*address(client))
        writer.write(head("GET", "/search?limit=1000"))
        await writer.drain()
        writer.transport.abort()
    await still_serves(client)
