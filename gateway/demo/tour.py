"""The tour: what a user does, by unmodified clients, each step with its result and its time.

A program of its own (``python -m gateway.demo.tour WORLD``). It knows the gateway's address and the user's token;
the edges' keys are used only to check from outside what the gateway promised.
"""

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pystac
import pystac_client
import rasterio
from dask_gateway import Gateway, GatewayCluster
from dask_gateway.auth import JupyterHubAuth
from odc import stac as odc_stac
from rich.console import Console

from edges.model import Json
from gateway.demo.kernel_client import run_cell
from gateway.demo.scenes import BANDS, SCENES
from gateway.demo.stock import bucket_client
from gateway.demo.world import COLLECTION, World, load_world
from gateway.placement.rank import size

_JOB_SECONDS = 120.0
_NDVI_TOLERANCE = 1e-6


class StepFailed(Exception):
    """A step did not hold; the message says what was expected."""


def hold(condition: object, expected: str) -> None:
    """Stop the tour unless the condition holds."""
    if not condition:
        raise StepFailed(expected)


class Tour:
    """The steps, in order. Each returns nothing and raises :class:`StepFailed` if it does not hold."""

    def __init__(self, world: World, console: Console) -> None:
        self._world = world
        self._console = console
        self._headers = {"Authorization": f"Bearer {world.token}"}
        self._field_items: list[pystac.Item] = []

    def steps(self) -> list[tuple[str, Callable[[], object]]]:
        """Return title and coroutine function of each step."""
        return [
            ("Search all sites at once (pystac_client)", self.search),
            ("Ask where to compute", self.place),
            ("Compute a mean NDVI where the data is (dask_gateway, odc.stac)", self.compute),
            ("Run a notebook cell at the edge (Jupyter protocol)", self.kernel),
            ("Harvest to edge-a what only others hold", self.harvest),
        ]

    def say(self, text: str) -> None:
        """Print one line of the account."""
        self._console.print(f"    {text}", highlight=False, markup=False, soft_wrap=True)

    # -- search ---------------------------------------------------------------------------------------------------

    async def search(self) -> None:
        """Search with collections, bbox, datetime, CQL2, sort, and paging across sites."""
        await asyncio.to_thread(self._search)

    def _client(self) -> pystac_client.Client:
        return pystac_client.Client.open(self._world.url, headers=self._headers)

    def _search(self) -> None:
        client = self._client()
        names = [collection.id for collection in client.get_collections()]
        hold(names == [COLLECTION], f"one harmonised collection, got {names}")
        self.say(f"collections: {COLLECTION} (edge-a, edge-b, and the hub, which calls it otherwise)")
        pages = list(client.search(collections=[COLLECTION], limit=4).pages())
        ids = [item.id for page in pages for item in page.items]
        hold(
            sorted(ids) == sorted(scene.id for scene in SCENES),
            f"each of {len(SCENES)} scenes once, got {ids}",
        )
        moments = [str(item.properties["datetime"]) for page in pages for item in page.items]
        hold(moments == sorted(moments, reverse=True), "newest first over all pages")
        self.say(f"{len(ids)} items of 3 sites in {len(pages)} pages of 4, newest first, each once")
        found = list(
            client.search(
                collections=[COLLECTION],
                bbox=[12.0, 48.0, 13.0, 49.0],
                datetime="2026-04-01/2026-05-31",
                filter={"op": "<", "args": [{"property": "eo:cloud_cover"}, 40]},
                sortby=["+eo:cloud_cover", "-datetime"],
            ).items()
        )
        covers = [item.properties["eo:cloud_cover"] for item in found]
        hold(found and covers == sorted(covers), f"least cloudy first, got {covers}")
        self.say(f"bbox + datetime + cloud cover < 40 by CQL2, least cloudy first: {covers} %")
        self._field_items = found

    # -- placement ------------------------------------------------------------------------------------------------

    async def place(self) -> None:
        """Ask for a placement and show the reasons."""
        placement = await self._placement({"collections": [COLLECTION], "ids": [item.id for item in self._field_items]})
        hold(placement["edge"] == "edge-a", f"edge-a, which holds all, got {placement['edge']}")

    async def _placement(self, body: Json) -> Json:
        answer = await self._call("POST", "/placement", body)
        self.say(f"chosen: {answer['edge']}, for {answer['items']} items of {size(answer['bytes'])}")
        for candidate in answer["candidates"]:
            self.say(f"  {candidate['edge']}: {'; '.join(candidate['reasons'])}")
        return answer

    # -- Dask -----------------------------------------------------------------------------------------------------

    async def compute(self) -> None:
        """Compute on a cluster that lands at the data; compare with the same figure made here; hit the quota."""
        items = [item.id for item in self._field_items]
        async with self._gateway() as gateway:
            cluster = await gateway.new_cluster(items={COLLECTION: items}, worker_cores=1, shutdown_on_close=True)
            async with cluster:
                edge = await self._edge_of(gateway, cluster)
                self.say(f"cluster {cluster.name[:12]}… runs at {edge}; dashboard {cluster.dashboard_link}")
                hold(edge == "edge-a", f"a cluster at edge-a, got {edge}")
                await cluster.scale(1)
                there = await self._ndvi_on(cluster)
                here = await asyncio.to_thread(self._ndvi_here)
                self.say(f"mean NDVI on the cluster {there:.6f}, the same computed locally {here:.6f}")
                hold(abs(there - here) < _NDVI_TOLERANCE, "the same figure")
                await self._refusal(gateway)

    @asynccontextmanager
    async def _gateway(self) -> AsyncIterator[Gateway]:
        auth = JupyterHubAuth(api_token=self._world.token)
        async with Gateway(self._world.url, auth=auth, asynchronous=True) as gateway:
            yield gateway

    async def _edge_of(self, gateway: Gateway, cluster: GatewayCluster) -> str:
        reports = await gateway.list_clusters()
        return str(next(report.options["edge"] for report in reports if report.name == cluster.name))

    async def _ndvi_on(self, cluster: GatewayCluster) -> float:
        client = await cluster.get_client(set_as_default=False)
        try:
            data = odc_stac.load(
                self._field_items, bands=["red", "nir"], chunks={"x": 128, "y": 128}, groupby="id",
                stac_cfg={"*": {"assets": {"*": {"data_type": "uint16", "nodata": 0}}}},
            )  # fmt: skip
            red, nir = data.red.astype("float64"), data.nir.astype("float64")
            mean = ((nir - red) / (nir + red)).where(data.red > 0).mean()
            return float((await client.compute(mean.data)).item())
        finally:
            await client.close()

    def _ndvi_here(self) -> float:
        """Compute the same here from the same objects, pixel by pixel, without Dask or odc."""
        bucket = bucket_client(self._world, "edge-a")
        values = []
        for item in self._field_items:
            bands = {}
            for name in ("red", "nir"):
                key = item.assets[name].href.removeprefix("s3://edge-a/")
                content = bucket.get_object(Bucket="edge-a", Key=key)["Body"].read()
                with rasterio.MemoryFile(content) as memory, memory.open() as file:
                    bands[name] = file.read(1).astype("float64")
            values.append((bands["nir"] - bands["red"]) / (bands["nir"] + bands["red"]))
        return float(np.mean(values))

    async def _refusal(self, gateway: Gateway) -> None:
        try:
            second = await gateway.new_cluster()
        except ValueError as refusal:
            self.say(f"a second cluster is refused: {refusal}")
            hold("demo-clusters" in str(refusal), "a refusal that names its policy")
        else:
            await second.shutdown()
            raise StepFailed("the quota of one cluster to refuse a second one")
        usage = await self._call("GET", "/quotas/me")
        hold(usage, "the usage of the group")

    # -- kernel ---------------------------------------------------------------------------------------------------

    async def kernel(self) -> None:
        """Start a kernel by the Jupyter protocol and run a cell."""
        specs = await self._call("GET", "/api/kernelspecs")
        self.say(f"kernels: {', '.join(sorted(specs['kernelspecs']))}; default {specs['default']}")
        code = (
            "import os, platform; print(os.environ['DASK_GATEWAY__CLUSTER__OPTIONS__EDGE'], platform.python_version())"
        )
        output = await run_cell(self._world.url, self._world.token, "python3.edge-b", code)
        self.say(f"a cell at edge-b printed: {output.strip()}")
        hold(output.startswith("edge-b "), "a cell that runs at edge-b")

    # -- harvest --------------------------------------------------------------------------------------------------

    async def harvest(self) -> None:
        """Order copies to edge-a, follow the job, verify the objects, and see the search and the placement change."""
        wanted = [scene.id for scene in SCENES if "edge-a" not in scene.holders]
        need = {"collections": [COLLECTION], "ids": wanted}
        before = await self._placement(need)
        hold(before["edge"] == "edge-b", f"edge-b before the harvest, got {before['edge']}")
        job = await self._finished(await self._order(wanted))
        hold(job["status"] == "successful", f"a successful job, got {job['status']}: {job.get('message')}")
        await asyncio.to_thread(self._verify, wanted)
        after = await self._placement(need)
        hold(after["edge"] == "edge-a", f"edge-a after the harvest, got {after['edge']}")

    async def _order(self, ids: list[str]) -> str:
        inputs = {"collections": [COLLECTION], "ids": ids, "target": "edge-a"}
        answer = await self._call(
            "POST", "/processes/harvest/execution", {"inputs": inputs}, headers={"Prefer": "respond-async"}
        )
        self.say(f"job {answer['jobID']} accepted for {len(ids)} items")
        return str(answer["jobID"])

    async def _finished(self, job_id: str) -> Json:
        end, shown = time.monotonic() + _JOB_SECONDS, -1
        while time.monotonic() < end:
            job = await self._call("GET", f"/jobs/{job_id}")
            if job.get("progress", 0) != shown:
                shown = job.get("progress", 0)
                self.say(f"{job['status']} {shown:3d} %  {job.get('message', '')}")
            if job["status"] in ("successful", "failed", "dismissed"):
                return job
            await asyncio.sleep(0.1)
        raise StepFailed(f"job {job_id} to end within {_JOB_SECONDS:g} s")

    def _verify(self, ids: list[str]) -> None:
        bucket = bucket_client(self._world, "edge-a")
        items = list(self._client().search(collections=[COLLECTION], ids=ids).items())
        hold(len(items) == len(ids), f"{len(ids)} items, got {len(items)}")
        checked = 0
        for item in items:
            backends = item.properties["federation:backends"]
            hold(
                "edge-a" in backends and len(backends) > 1,
                f"{item.id} at edge-a and where it came from: {backends}",
            )
            for name in BANDS:
                asset = item.assets[name]
                content = bucket.get_object(Bucket="edge-a", Key=asset.href.removeprefix("s3://edge-a/"))["Body"].read()
                hold(
                    asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest(),
                    "true checksums",
                )
                hold(asset.extra_fields["alternate"], f"alternates of {item.id}/{name}")
                checked += 1
        example = items[0].assets["red"]
        self.say(f"{checked} objects read back from edge-a's bucket: every SHA-256 as catalogued")
        self.say(f"search now tells: {example.href}, alternate at {', '.join(example.extra_fields['alternate'])}")

    async def _call(self, method: str, path: str, body: Json | None = None, headers: Json | None = None) -> Json:
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
            session.request(method, f"{self._world.url}{path}", json=body, headers=headers) as response,
        ):
            answer: Json = await response.json(content_type=None)
            hold(response.status < 400, f"{method} {path} to succeed, got {response.status}: {answer}")
            return answer


async def walk(world: World, console: Console) -> bool:
    """Make the tour; return whether every step held."""
    tour = Tour(world, console)
    steps = tour.steps()
    for number, (title, step) in enumerate(steps, 1):
        console.print(f"\n[bold]{number}/{len(steps)} {title}[/bold]", highlight=False)
        started = time.perf_counter()
        try:
            await step()  # type: ignore[misc]
        except StepFailed as failure:
            console.print(f"    [red]did not hold[/red]: expected {failure}", highlight=False, soft_wrap=True)
            return False
        except Exception as error:  # noqa: BLE001 - the boundary of the tour: any error is a step that did not hold
            console.print(f"    [red]broke off[/red]: {type(error).__name__}: {error}", highlight=False, soft_wrap=True)
            console.print_exception(max_frames=4)
            return False
        console.print(f"    [green]held[/green] in {time.perf_counter() - started:.1f} s", highlight=False)
    return True


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(walk(load_world(Path(sys.argv[1])), Console())) else 1)
