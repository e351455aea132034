"""A site of users' collections that fails in the middle of a batch: told, counted as it is, done by sending again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from contributed_lake import Lake, a_collection, an_item, hub, lake, site_of
from served_app import served
from waiting import until

from edges.settings import Secret
from gateway.settings import QuotaSettings
from quotas.model import Policy

pytestmark = pytest.mark.service


class Front:
    """Stands before a site, takes single items only, and fails at the one that a test names."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.fails_at = ""

    async def pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.method in ("POST", "PUT") and "/items" in request.path:
            told = msgspec.json.decode(body)
            if told["type"] == "FeatureCollection":
                return web.Response(status=405)
            if told["id"] == self.fails_at:
                return web.Response(status=500, text="out of order")
        kept = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self.behind + request.path_qs, data=body or None, headers=kept) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


@asynccontextmanager
async def failing(folder: Path) -> AsyncIterator[tuple[Front, str]]:
    async with site_of([], folder / "users.db", write_token="write-token") as behind:
        front = Front(behind)
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", front.pass_on)])
        async with served(app) as url:
            yield front, url


@asynccontextmanager
async def gate(folder: Path, url: str) -> AsyncIterator[Lake]:
    (folder / "write").write_text("write-token")
    users = hub("users", url, catalogue={"write_token": Secret(file=str(folder / "write"))})
    policy = Policy(name="disk", group="root", resource="storage_bytes", kind="stock", amount=1e9)
    async with lake(folder / "state", sites=[users], quotas=QuotaSettings(policies=(policy,))) as gateway:
        yield gateway


async def test_what_a_failing_site_has_written_of_a_batch_is_told_counted_and_completed(tmp_path: Path) -> None:
    async with failing(tmp_path) as (front, url), gate(tmp_path, url) as lake:
        assert await lake.ada.status("POST", "/collections", a_collection("mine")) == 201
        front.fails_at = "i2"
        batch = b"\n".join(msgspec.json.encode(an_item(f"i{n}", "mine")) for n in range(4))
        kind = {"Content-Type": "application/x-ndjson"}
        status, told, _ = await lake.ada.call("POST", "/collections/mine/bulk", batch, kind)
        assert status == 502, told
        assert "2 of 4 items were written before" in told["detail"]

        async def counted() -> bool:
            record = await lake.ada.get("/collections/mine/sharing")
            (disk,) = (await lake.ada.get("/quotas/me"))["quotas"]
            return (record["items"], disk["used"] == record["bytes"] > 0) == (2, True)

        await until(counted)
        front.fails_at = ""
        status, told, _ = await lake.ada.call("POST", "/collections/mine/bulk", batch, kind)
        assert (status, told["added"], told["replaced"]) == (200, 2, 2), told
        assert (await lake.ada.get("/collections/mine/sharing"))["items"] == 4
