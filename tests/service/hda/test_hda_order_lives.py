"""Orders over the lives of gateways: killed in the middle, and several at once on one database."""

import asyncio
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from free_ports import free_port
from hda_lake import BOBS_TOKEN, TOKEN, Client, gateway_over, settings_over
from hda_ordering import ORDER, item, link_of, orderable, ordering_site
from order_provider import ERA5, OrderProvider, order_provider
from waiting import until

from edges.settings import CatalogueSettings, OrderSettings, Secret, SiteSettings
from gateway.app import running_gateway
from gateway.settings import AuthSettings, QuotaSettings, Settings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

BOB = {"Authorization": f"Bearer {BOBS_TOKEN}"}
LAKEGATE = str(Path(sys.executable).parent / "lakegate")


class Killable:
    """A gateway as a process of its own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{settings.server.port}"
        self._file = folder / "gateway.yaml"
        self._file.write_bytes(msgspec.json.encode(_without_defaults(settings)))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = (LAKEGATE, "serve", "--config", str(self._file))
        nowhere = asyncio.subprocess.DEVNULL
        self._process = process = await asyncio.create_subprocess_exec(*command, stdout=nowhere, stderr=nowhere)
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while not await _ready(session, self.url):
                assert process.returncode is None
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _without_defaults(settings: Settings) -> Any:
    """Return what a configuration file says: only the groups that a test sets."""
    told = msgspec.to_builtins(settings)
    site = told["sites"][0]
    return {
        "sites": [{"id": site["id"], "kind": site["kind"], "orders": {}, "catalogue": _kept(site["catalogue"])}],
        "server": {"port": settings.server.port, "state": settings.server.state},
        "auth": {"anonymous": "none", "tokens": [_kept(each) for each in told["auth"]["tokens"]]},
    }


def _kept(told: Any) -> Any:
    names = ("url", "token", "user", "groups", "file")
    return {
        name: _kept(value) if isinstance(value, dict) else value
        for name, value in told.items()
        if name in names and value
    }


async def test_a_gateway_that_is_killed_goes_on_with_its_orders(tmp_path: Path) -> None:
    async with order_provider(free_port()) as provider, _client(tmp_path) as session:
        gateway = Killable(settings_over([ordering_site(provider, tmp_path)], tmp_path / "state"), tmp_path)
        client = Client(gateway.url, session)
        try:
            await gateway.start()
            status, order = await client.post({"variable": ["t2m"]}, ORDER)
            assert status == 200
            await gateway.kill()
            provider.move("succeeded")
            await gateway.start()

            async def there() -> bool:
                return bool((await item(client, order["id"]))["properties"]["order:status"] == "succeeded")

            await until(there)
            assert len(provider.placed) == 1
        finally:
            await gateway.kill()


async def test_what_was_ordered_is_downloaded_over_a_killed_gateway_with_the_right_bytes(tmp_path: Path) -> None:
    async with order_provider(free_port()) as provider, _client(tmp_path) as session:
        provider.content = random.Random(8).randbytes(48 << 20)
        provider.at_once = True
        gateway = Killable(settings_over([ordering_site(provider, tmp_path)], tmp_path / "state"), tmp_path)
        client = Client(gateway.url, session)
        try:
            await gateway.start()
            _, order = await client.post({"variable": ["t2m"]}, ORDER)

            async def there() -> Any:
                found = await item(client, order["id"])
                return found if found["properties"]["storage:tier"] == "online" else None

            whole = (await until(there))["assets"]["downloadLink"]["href"]
            got = bytearray()
            async with session.get(whole) as response:
                etag = response.headers["ETag"]
                got += await response.content.readexactly(5 << 20)
                await gateway.kill()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await _rest(response, got)
            assert len(got) < len(provider.content)
            await gateway.start()
            headers = {"Range": f"bytes={len(got)}-", "If-Range": etag, "Accept-Encoding": "identity"}
            async with session.get(whole, headers=headers) as response:
                assert response.status == 206
                await _rest(response, got)
            assert bytes(got) == provider.content
            assert len(provider.placed) == 1
        finally:
            await gateway.kill()


async def _rest(response: aiohttp.ClientResponse, got: bytearray) -> None:
    async for piece in response.content.iter_any():
        got += piece


@asynccontextmanager
async def _client(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield session


@asynccontextmanager
async def two_gateways(provider: OrderProvider, folder: Path, dsn: str) -> AsyncIterator[tuple[Client, Client]]:
    (folder / "dsn").write_text(dsn)
    (folder / "key").write_text("a key of thirty-two bytes or more")
    quotas = QuotaSettings(database=Secret(file=str(folder / "dsn")), database_schema=f"quotas_{uuid.uuid4().hex[:8]}")
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(_client(folder))
        clients = []
        for name in ("one", "two"):
            site = ordering_site(provider, folder)
            plain = settings_over([site], folder / name, quotas=quotas)
            auth: AuthSettings = msgspec.structs.replace(plain.auth, signing_key=Secret(file=str(folder / "key")))
            settings = msgspec.structs.replace(plain, auth=auth)
            clients.append(Client(await stack.enter_async_context(running_gateway(settings)), session))
        yield clients[0], clients[1]


async def test_gateways_of_one_database_share_orders_and_ask_the_provider_once(tmp_path: Path, postgresql: str) -> None:
    # records of several runs share a schema, so that each run orders something else
    asked = {"variable": [uuid.uuid4().hex]}
    async with (
        order_provider(free_port()) as provider,
        two_gateways(provider, tmp_path, postgresql) as (one, two),
    ):
        (_, mine), (_, theirs) = await asyncio.gather(one.post(asked, ORDER), two.post(asked, ORDER, headers=BOB))
        assert len(provider.placed) == 1
        assert (await item(two, mine["id"]))["id"] == mine["id"]
        async with one.session.delete(f"{one.url}/stac/v2/orders/{mine['id']}") as response:
            assert response.status == 200
        assert [each["status"] for each in provider.orders.values()] == ["ordered"], "somebody else waits for it"
        provider.move("succeeded")

        async def there() -> bool:
            found = await item(one, theirs["id"], headers=BOB), await item(two, theirs["id"], headers=BOB)
            return all(each["properties"]["order:status"] == "succeeded" for each in found)

        await until(there)
        assert len(provider.placed) == 1
        assert ERA5 == mine["collection"] == theirs["collection"]


async def test_an_order_goes_through_a_gateway_behind_the_gateway(tmp_path: Path) -> None:
    async with (
        order_provider(free_port()) as provider,
        gateway_over([ordering_site(provider, tmp_path)], tmp_path / "inner") as inner,
    ):
        (tmp_path / "bobs").write_text(BOBS_TOKEN)
        behind = SiteSettings(
            id="lake",
            kind="hub",
            catalogue=CatalogueSettings(url=f"{inner.url}/stac/v2", token=Secret(file=str(tmp_path / "bobs"))),
            orders=OrderSettings(),
        )
        async with gateway_over([behind], tmp_path / "outer") as outer:
            found = await orderable(outer)
            assert found["properties"]["federation:backends"] == ["lake"]
            retrieve = link_of(found, "retrieve")
            assert retrieve["body"]["federation:via"] == ["cds"]
            _, told = await outer.get(f"/stac/v2/collections/{ERA5}/queryables", **{"ecmwf:year": "2020"})
            assert told["properties"]["ecmwf:month"]["items"]["enum"] == ["01", "02"]
            status, order = await outer.post(retrieve["body"], ORDER)
            assert status == 200, order
            assert provider.placed == [{"variable": ["t2m", "sst"], "year": ["2020"], "data_format": "grib"}]
            provider.move("succeeded")

            async def there() -> bool:
                return bool((await item(outer, order["id"]))["properties"]["order:status"] == "succeeded")

            await until(there)
