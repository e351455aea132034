"""An edge that is cut off spends its slice of the quota, and no more; gateway and edge are processes of their own."""

import json
import signal
from asyncio.subprocess import DEVNULL
from contextlib import asynccontextmanager

import aiohttp
import pytest
import yaml
from free_ports import free_port
from lakegate_process import lakegate_beside
from waiting import until

pytestmark = pytest.mark.service

SECRET, LOCAL, ROOT = "edge-secret-of-these-tests-32-bytes", "local-secret-of-these-tests", "token-of-root"
SECONDS = 120


def process(*arguments):
    return lakegate_beside(*arguments, out=DEVNULL, err=DEVNULL)


class Place:
    """A server, as one who has its secret asks it."""

    def __init__(self, session, url, **headers):
        self.session, self.url, self.headers = session, url, headers

    async def ask(self, method, path, body=None):
        async with self.session.request(method, self.url + path, json=body, headers=self.headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def up(self, path):
        try:
            return (await self.ask("GET", path))[0] == 200
        except aiohttp.ClientError:
            return False


class Lake:
    """A gateway whose group may take 10 cores, and an edge that may set 4 of them aside."""

    def __init__(self, folder, session):
        self.folder, self.session = folder, session
        self.ports = free_port(), free_port()
        gateway, edge = (f"http://127.0.0.1:{port}" for port in self.ports)
        self.admin = Place(session, gateway, Authorization=f"Bearer {ROOT}")
        self.proved = Place(session, gateway, **{"X-Lakegate-Edge-Secret": SECRET})
        self.local = Place(session, edge, Authorization=f"Bearer {LOCAL}")
        for name, secret in (("edge", SECRET), ("local", LOCAL), ("root", ROOT)):
            (folder / name).write_text(secret)
        self._write("gateway.yaml", self._of_gateway())
        wants = {"eo": {"cores": 4, "harvest_bytes": 300}}
        self._write(
            "edge.yaml",
            {
                "gateway": gateway,
                "edge": "edge-a",
                "edge_secret": {"file": str(folder / "edge")},
                "local_secret": {"file": str(folder / "local")},
                "wants": wants,
                "state": str(folder / "purse.sqlite"),
                "slice_seconds": 30,
                "timeout_seconds": 2,
            },
        )

    def _write(self, name, content):
        (self.folder / name).write_text(yaml.safe_dump(content))

    def _of_gateway(self):
        policies = [
            {"name": "cores", "group": "eo", "resource": "cores", "kind": "concurrent", "amount": 10},
            {"name": "bytes", "group": "eo", "resource": "harvest_bytes", "kind": "stock", "amount": 1_000},
        ]
        escrow = {
            "secret": {"file": str(self.folder / "edge")},
            "groups": ["eo"],
            "most": {"cores": 4, "harvest_bytes": 600},
        }
        catalogue = {"url": f"http://127.0.0.1:{self.ports[1]}"}
        token = {"user": "root", "token": {"file": str(self.folder / "root")}, "groups": ["eo"], "admin": True}
        return {
            "server": {"port": self.ports[0], "state": str(self.folder / "state"), "shutdown_seconds": 1},
            "auth": {"tokens": [token]},
            "quotas": {"policies": policies},
            "sites": [{"id": "edge-a", "kind": "edge", "catalogue": catalogue, "escrow": escrow}],
        }

    @asynccontextmanager
    async def gateway(self):
        async with process("serve", "--config", str(self.folder / "gateway.yaml")) as started:
            await until(lambda: self.admin.up("/quotas/eo"))
            yield started

    @asynccontextmanager
    async def edge(self):
        options = ("--db", str(self.folder / "c.db"), "--port", str(self.ports[1]))
        async with process("site", "serve", *options, "--escrow", str(self.folder / "edge.yaml")) as started:
            await until(lambda: self.local.up("/quota/slices"))
            yield started

    async def slices(self):
        return (await self.local.ask("GET", "/quota/slices"))[1]

    async def reserve(self, key, **amounts):
        body = {"group": "eo", "user": "alice", "amounts": amounts, "ttl": 20}
        return await self.local.ask("PUT", f"/quota/reservations/{key}", body)

    async def taken(self):
        _, told = await self.admin.ask("GET", "/quotas/eo")
        assert all(0 <= each["used"] + each["reserved"] <= each["limit"] for each in told["quotas"])
        return {each["policy"]: (each["used"], each["reserved"]) for each in told["quotas"]}


@pytest.fixture
async def lake(tmp_path):
    async with aiohttp.ClientSession() as session:
        yield Lake(tmp_path, session)


async def test_an_edge_that_is_cut_off_admits_from_its_slice_and_what_it_spent_is_settled_later(lake):
    async with lake.edge():
        async with lake.gateway() as gateway:
            await until(lambda: _has_slice(lake))
            assert await lake.taken() == {"cores": (0, 4), "bytes": (0, 300)}
            gateway.send_signal(signal.SIGSTOP)
            assert (await lake.reserve("a", cores=3))[0] == 200
            status, told = await lake.reserve("b", cores=2)
            assert (status, told["violated-policies"][0]["admissible"]) == (429, 1)
            assert (await lake.reserve("c", harvest_bytes=120))[0] == 200
            assert (await lake.local.ask("POST", "/quota/reservations/c/commit", {}))[0] == 204
            assert (await lake.local.ask("DELETE", "/quota/reservations/a"))[0] == 204
            await until(lambda: _cut_off(lake))
            gateway.send_signal(signal.SIGKILL)
            await gateway.wait()
            assert (await lake.reserve("d", cores=4))[0] == 200
            assert (await lake.local.ask("DELETE", "/quota/reservations/d"))[0] == 204
        async with lake.gateway():
            # the slice has run out, and what it could have spent counts as spent until the edge has told
            told = await until(lambda: _settled(lake))
            assert told["bytes"][0] == 120
            _, page = await lake.admin.ask("GET", "/quotas/eo/history?user=alice")
            assert [(each["event"], each["amount"]) for each in page["entries"]] == [("reserve", 120), ("commit", 120)]


async def _has_slice(lake):
    return (await lake.slices())["slices"]


async def _cut_off(lake):
    return not (await lake.slices())["gateway_reached"]


async def _settled(lake):
    told = await lake.taken()
    return told if told["bytes"][0] == 120 else None


async def test_an_edge_sets_aside_only_what_it_may_and_only_by_its_secret(lake):
    async with lake.gateway():
        path = "/edges/edge-a/slices/x"
        wanted = {"group": "eo", "amounts": {"cores": 4}, "ttl": 60}
        assert (await lake.admin.ask("PUT", path, wanted))[0] == 403
        assert (await lake.proved.ask("PUT", "/edges/edge-b/slices/x", wanted))[0] == 403
        assert (await lake.proved.ask("PUT", path, wanted | {"group": "ops"}))[0] == 403
        assert (await lake.proved.ask("PUT", path, wanted | {"amounts": {"cores": 5}}))[0] == 400
        assert (await lake.proved.ask("PUT", path, wanted | {"amounts": {"gpus": 1}}))[0] == 400
        assert (await lake.proved.ask("PUT", path, wanted | {"ttl": -1}))[0] == 400
        status, part = await lake.proved.ask("PUT", path, wanted)
        assert (status, part["id"], part["lines"][0]["edge"]) == (200, "edge-a/x", "edge-a")
        assert (await lake.proved.ask("PUT", path, wanted)) == (200, part)
        assert (await lake.proved.ask("PUT", "/edges/edge-a/slices/y", wanted))[0] == 400  # it has its most already
        status, longer = await lake.proved.ask("POST", f"{path}/renew", {"ttl": 600})
        assert status == 200
        assert longer["expires_at"] > part["expires_at"] + 400
        assert (await lake.taken())["cores"] == (0, 4)
        assert (await lake.proved.ask("POST", f"{path}/settle", {"spent": []}))[0] == 204
        assert (await lake.proved.ask("POST", f"{path}/settle", {"spent": []}))[0] == 204
        assert (await lake.taken())["cores"] == (0, 0)
        assert (await lake.proved.ask("GET", "/edges/edge-a/slices")) == (200, {"slices": []})


async def test_an_edges_own_services_need_its_local_secret(lake):
    async with lake.edge():
        stranger = Place(lake.session, lake.local.url, Authorization="Bearer another")
        assert (await stranger.ask("GET", "/quota/slices"))[0] == 401
        status, told = await lake.reserve("a", cores=1)  # there is no gateway, and so no slice
        assert (status, told["status"]) == (503, 503)
