"""Orders of data on tape: a store that restores archived objects, over real HTTP, as Amazon describes it."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hda_lake import S2, Client, gateway_over, item, site_of
from hda_ordering import link_of
from served_app import served
from waiting import until

from edges.settings import CatalogueSettings, OrderSettings, Secret, SiteSettings, StorageSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

KEY = "LAKEGATE0KEY"
ORDER = f"/stac/v2/collections/{S2}/order"
ON_TAPE = {"storage:tier": "offline"}


class TapeStore:
    """A store of objects, some of them archived; ``restores`` counts what was asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.archived: dict[str, str] = {}
        """What ``x-amz-restore`` says of archived objects."""
        self.restores: Counter[str] = Counter()
        self.wishes: list[bytes] = []
        self.refusal: tuple[int, str] | None = None
        self.url = ""

    def done(self) -> None:
        """End all restores that were asked for."""
        for name, state in self.archived.items():
            if "true" in state:
                self.archived[name] = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"'

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["TapeStore"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with served(app) as url:
            self.url = url
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["path"]
        signed = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\w+)/.*", request.headers.get("Authorization", ""))
        if signed is None or signed.group(1) != KEY:
            return _error(403, "AccessDenied")
        if name not in self.objects:
            return _error(404, "NoSuchKey")
        headers = {"x-amz-storage-class": "GLACIER"} if name in self.archived else {}
        state = self.archived.get(name, "")
        if state:
            headers["x-amz-restore"] = state
        if request.method == "POST" and "restore" in request.query:
            return self._restored(name, await request.read())
        if request.method == "GET" and name in self.archived and "false" not in state:
            return _error(403, "InvalidObjectState")
        return web.Response(body=self.objects[name], headers=headers)

    def _restored(self, name: str, wish: bytes) -> web.Response:
        if self.refusal is not None:
            return _error(*self.refusal)
        self.wishes.append(wish)
        self.restores[name] += 1
        if "true" in self.archived[name]:
            return _error(409, "RestoreAlreadyInProgress")
        self.archived[name] = 'ongoing-request="true"'
        return web.Response(status=202)


def _error(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


def scene(name: str, *keys: str, **properties: Any) -> dict[str, Any]:
    assets = {key: {"href": f"s3://lake/{name}/{key}", "roles": ["data"], "type": "image/tiff"} for key in keys}
    thumbnail = {"href": f"https://pictures.example/{name}.jpg", "roles": ["thumbnail"]}
    return item(name, S2, assets=assets | {"thumbnail": thumbnail}, **properties)


@asynccontextmanager
async def tape_lake(folder: Path, *scenes: Any) -> AsyncIterator[tuple[TapeStore, Client]]:
    secret = folder / "secret"
    secret.write_text("a secret")
    key = folder / "key"
    key.write_text(KEY)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(TapeStore().serving())
        for each in scenes:
            for asset in each["assets"].values():
                name = asset["href"].removeprefix("s3://")
                store.objects[name] = name.encode() * 100
                if each["properties"].get("storage:tier") == "offline":
                    store.archived[name] = ""
        site = SiteSettings(
            id="edge",
            kind="hub",
            catalogue=CatalogueSettings(url=await stack.enter_async_context(site_of(scenes, folder / "edge.db"))),
            storage=StorageSettings(
                endpoint=store.url,
                bucket="lake",
                access_key=Secret(file=str(key)),
                secret_key=Secret(file=str(secret)),
            ),
            orders=OrderSettings(restore="bulk", keep_days=2.5),
        )
        yield store, await stack.enter_async_context(gateway_over([site], folder / "state"))


async def one(client: Client, name: str) -> Any:
    status, found = await client.get(f"/stac/v2/collections/{S2}/items/{name}")
    assert status == 200, found
    return found


async def ended(client: Client, name: str) -> Any:
    async def there() -> Any:
        found = await one(client, name)
        return found if found["properties"]["order:status"] in ("succeeded", "failed") else None

    return await until(there)


async def test_an_item_on_tape_is_ordered_restored_and_downloaded(tmp_path: Path) -> None:
    async with tape_lake(tmp_path, scene("A", "B01.tif", "B 02.tif", **ON_TAPE), scene("B", "B01.tif")) as lake:
        store, client = lake
        found = await one(client, "A")
        assert (found["properties"]["order:status"], found["properties"]["storage:tier"]) == ("orderable", "offline")
        retrieve = link_of(found, "retrieve")
        status, order = await client.post(retrieve["body"], ORDER)
        assert (status, order["properties"]["storage:tier"]) == (200, "offline")
        assert store.restores == {"lake/A/B01.tif": 1, "lake/A/B 02.tif": 1}
        assert b"<Days>3</Days>" in store.wishes[0]
        assert b"<Tier>Bulk</Tier>" in store.wishes[0]
        store.done()
        done = await ended(client, order["id"])
        assert done["properties"]["storage:tier"] == "online"
        async with client.session.get(done["assets"]["B 02.tif"]["href"]) as response:
            assert (response.status, await response.read()) == (200, store.objects["lake/A/B 02.tif"])
        assert store.restores.total() == 2, "no object is asked for twice"
        assert all(link["rel"] != "retrieve" for link in (await one(client, "B"))["links"])


async def test_a_restore_that_goes_on_already_is_waited_for(tmp_path: Path) -> None:
    async with tape_lake(tmp_path, scene("A", "B01.tif", "B02.tif", **ON_TAPE)) as (store, client):
        store.archived["lake/A/B01.tif"] = 'ongoing-request="true"'
        store.archived["lake/A/B02.tif"] = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"'
        status, order = await client.post({"id": "A"}, ORDER)
        assert (status, store.restores) == (200, {})
        store.done()
        assert (await ended(client, order["id"]))["properties"]["order:status"] == "succeeded"


async def test_what_the_store_does_not_restore_is_refused_and_what_is_gone_fails(tmp_path: Path) -> None:
    async with tape_lake(tmp_path, scene("A", "B01.tif", **ON_TAPE), scene("N", **ON_TAPE)) as (store, client):
        store.refusal = (403, "AccessDenied")
        status, error = await client.post({"id": "A"}, ORDER)
        assert (status, "AccessDenied" in error["errors"][0]["message"]) == (400, True)
        assert (await client.post({"id": "N"}, ORDER))[0] == 400
        assert (await client.post({"id": "none"}, ORDER))[0] == 400
        assert (await client.post({"variable": ["t2m"]}, ORDER))[0] == 400
        store.refusal = None
        status, order = await client.post({"id": "A"}, ORDER)
        assert status == 200
        del store.objects["lake/A/B01.tif"]
        assert (await ended(client, order["id"]))["properties"]["order:status"] == "failed"


async def test_a_store_that_is_busy_is_asked_again(tmp_path: Path) -> None:
    async with tape_lake(tmp_path, scene("A", "B01.tif", **ON_TAPE)) as (store, client):
        store.refusal = (503, "GlacierExpeditedRetrievalNotAvailable")
        status, order = await client.post({"id": "A"}, ORDER)
        assert (status, order["properties"]["order:status"]) == (200, "ordered")
        store.refusal = None

        async def asked() -> bool:
            return store.restores.total() == 1

        await until(asked)
        store.done()
        assert (await ended(client, order["id"]))["properties"]["order:status"] == "succeeded"


async def test_addresses_beyond_the_sites_own_buckets_are_not_touched(tmp_path: Path) -> None:
    strange = scene("A", "B01.tif", **ON_TAPE)
    strange["assets"]["other"] = {"href": "s3://private/B01.tif", "roles": ["data"]}
    async with tape_lake(tmp_path, strange) as (store, client):
        assert (await client.post({"id": "A"}, ORDER))[0] == 200
        assert set(store.restores) == {"lake/A/B01.tif"}
