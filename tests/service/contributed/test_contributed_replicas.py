"""Several gateways that share a database and one site of users' collections, each over the site's own Transactions."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from contributed_lake import Lake, a_collection, an_item, gateway_settings, hub, site_of
from waiting import until

from edges.settings import Secret
from gateway.app import running_gateway
from gateway.settings import QuotaSettings

pytestmark = pytest.mark.service


@pytest_asyncio.fixture
async def users_site(tmp_path: Path) -> AsyncIterator[str]:
    async with site_of([], tmp_path / "users.db", write_token="write-token") as url:
        yield url


@pytest_asyncio.fixture
async def gates(postgresql: str, users_site: str, tmp_path: Path) -> AsyncIterator[tuple[Lake, Lake]]:
    """Return two gateways over one site that keeps users' collections."""
    for name, secret in (("database", postgresql), ("write", "write-token"), ("key", "k" * 40)):
        (tmp_path / name).write_text(secret)
    quotas = QuotaSettings(
        database=Secret(file=str(tmp_path / "database")), database_schema=f"quotas_{uuid.uuid4().hex[:8]}"
    )
    async with AsyncExitStack() as stack:
        users = hub("users", users_site, catalogue={"write_token": Secret(file=str(tmp_path / "write"))})
        session = await stack.enter_async_context(aiohttp.ClientSession())
        found = []
        for name in ("first", "second"):
            settings = gateway_settings(
                tmp_path / name, sites=[users], quotas=quotas, auth={"signing_key": Secret(file=str(tmp_path / "key"))}
            )
            settings = msgspec.structs.replace(
                settings, server=msgspec.structs.replace(settings.server, public_url="http://lake.example")
            )
            await stack.enter_async_context(running_gateway(settings))
            found.append(Lake(f"http://127.0.0.1:{settings.server.port}", session))
        yield found[0], found[1]


def named(prefix: str) -> str:
    """Return an id of one test's own: the database is all tests'."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


async def test_what_one_gateway_writes_the_other_shows_to_the_same_people(gates: tuple[Lake, Lake]) -> None:
    one, other = gates
    name = named("shared")
    assert await one.ada.status("POST", "/collections", a_collection(name, title="T")) == 201
    assert await one.ada.status("POST", f"/collections/{name}/items", an_item("i1", name)) == 201

    async def known() -> bool:
        return await other.ada.status("GET", f"/collections/{name}") == 200

    await until(known)
    assert await other.ada.ids(collections=[name]) == ["i1"]
    assert await other.bob.ids(collections=[name]) == []
    assert await other.bob.status("GET", f"/collections/{name}/items/i1") == 404
    tag = (await other.ada.call("GET", f"/collections/{name}/items/i1"))[2]["ETag"]
    changed = await other.ada.call("PUT", f"/collections/{name}/items/i1", an_item("i1", name, x=1), {"If-Match": tag})
    assert changed[0] == 200, changed[1]
    stale = await one.ada.call("PUT", f"/collections/{name}/items/i1", an_item("i1", name, x=2), {"If-Match": tag})
    assert stale[0] == 412
    assert await other.ada.status("DELETE", f"/collections/{name}") == 204

    async def gone() -> bool:
        return await one.ada.status("GET", f"/collections/{name}") == 404

    await until(gone)
    assert await one.ada.ids(collections=[name]) == []


async def test_an_id_is_given_once_and_an_item_written_once_by_whoever_comes_first(gates: tuple[Lake, Lake]) -> None:
    one, other = gates
    name = named("raced")
    made = [user.status("POST", "/collections", a_collection(name)) for user in (one.ada, other.bob)]
    answers = await asyncio.gather(*made)
    assert sorted(answers) == [201, 409]
    owner = (one.ada, other.ada) if answers[0] == 201 else (one.bob, other.bob)
    for _ in range(5):
        item = an_item(named("i"), name)
        both = [user.status("POST", f"/collections/{name}/items", item) for user in owner]
        assert sorted(await asyncio.gather(*both)) == [201, 409]
    assert (await owner[0].get(f"/collections/{name}/sharing"))["items"] == 5


async def test_what_the_site_holds_without_a_record_is_seen_by_nobody(
    gates: tuple[Lake, Lake], users_site: str
) -> None:
    one, _ = gates
    name, mine = named("orphan"), named("mine")
    writer = {"Authorization": "Bearer write-token"}
    async with aiohttp.ClientSession(headers=writer) as session:
        for path, body in (("", a_collection(name)), (f"/{name}/items", an_item("o1", name))):
            async with session.post(f"{users_site}/collections{path}", json=body) as response:
                assert response.status == 201
    assert await one.ada.status("POST", "/collections", a_collection(mine)) == 201  # the site is asked anew
    for user in (one.ada, one.root, one.nobody):
        assert await user.ids(ids=["o1"]) == []
        assert await user.status("GET", f"/collections/{name}") == 404
        assert await user.status("GET", f"/collections/{name}/items/o1") == 404
        told = await user.get("/sites")
        assert name not in str(told)


async def test_no_download_reads_to_a_user_what_others_keep_at_the_site(
    gates: tuple[Lake, Lake], users_site: str
) -> None:
    one, _ = gates
    secret, mine = named("secret"), named("mine")
    await one.bob.call("POST", "/collections", a_collection(secret))
    await one.bob.call("POST", f"/collections/{secret}/items", an_item("s1", secret, hush="hush"))
    await one.ada.call("POST", "/collections", a_collection(mine))
    sly = an_item("i1", mine) | {"assets": {"data": {"href": f"{users_site}/collections/{secret}/items/s1"}}}
    assert await one.ada.status("POST", f"/collections/{mine}/items", sly) == 201
    status, told, _ = await one.ada.call("GET", f"/data/users/{mine}/i1/data")
    assert status == 403, told
    assert "hush" not in str(told)
