"""Workers far from the gateway, as processes of their own: `lakegate harvest-worker`, as an executor starts it."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from free_ports import free_port
from harvest_origin import Origin
from harvest_scene import EDGE, PART, Live, Scene, publish_item
from s3_bucket import ACCESS, SECRET
from served_app import served
from waiting import until

from gateway.harvests.workers_face import WorkersFace
from gateway.middleware import problems_middleware
from harvest.bucket_keys import Bucket
from harvest.executors.choice import Choice
from harvest.executors.seams import Errand, Look
from harvest.runs import Elsewhere, RunTokens
from harvest.settings_executors import ExecutorSettings, KubernetesJobs

LARGE = 3 * PART + 4321
"""Bytes of the large object that workers elsewhere carry."""

LAKEGATE = str(Path(sys.executable).parent / "lakegate")


@dataclass
class Processes:
    """An executor of this machine. ``plain`` starts nothing: the test does."""

    plain: bool = False
    workers: dict[str, list["subprocess.Popen[bytes]"]] = field(default_factory=dict)
    started: list[Errand] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    async def start(self, errand: Errand) -> str:
        if errand.run not in self.workers:
            self.started.append(errand)
            self.workers[errand.run] = [] if self.plain else [begin(errand) for _ in range(errand.workers)]
        return errand.run

    async def look(self, errand: Errand, handle: str) -> Look:
        ends = [each.poll() for each in self.workers.get(handle, [])]
        if self.plain or None in ends:
            return Look(health="working")
        return Look(health="failed" if any(ends) else "done", reason=f"ended with {ends}")

    async def stop(self, errand: Errand, handle: str) -> None:
        self.stopped.append(errand.run)
        self.end(errand.run)

    def end(self, run: str) -> None:
        for each in self.workers.get(run, []):
            each.kill()
            each.wait(10)

    def close(self) -> None:
        for run in self.workers:
            self.end(run)


def begin(errand: Errand) -> "subprocess.Popen[bytes]":
    environment = {"LAKEGATE_RUN_URL": errand.url, "LAKEGATE_RUN": errand.run, "LAKEGATE_RUN_TOKEN": errand.token}
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.Popen([LAKEGATE, "harvest-worker"], env=kept | environment)


@dataclass
class Far:
    """A harvester whose orders are carried by processes elsewhere."""

    live: Live
    executor: Processes
    url: str
    tokens: RunTokens

    async def run(self, seconds: float = 10.0) -> Errand:
        """Wait until a run has begun, and return it."""
        await self.runs(1, seconds)
        return self.executor.started[-1]

    async def runs(self, count: int, seconds: float = 20.0) -> None:
        """Wait until so many runs have begun."""
        await until(lambda: len(self.executor.started) >= count, seconds=seconds, pause=0.02, what=f"{count} runs")

    async def stopped(self, run: str, seconds: float = 20.0) -> None:
        await until(lambda: run in self.executor.stopped, seconds=seconds, pause=0.02, what="the end of the run")


def publish(scene: Scene, origin: Origin, small: int = 0) -> dict[str, bytes]:
    """Let the search find a large object and so many small ones, and let workers elsewhere read them."""
    scene.allowed.append(origin.url)
    bodies = {"large": os.urandom(LARGE)} | {f"small-{number}": os.urandom(5_000) for number in range(small)}
    return publish_item(scene, origin, bodies)


def usual(name, workers):
    jobs = KubernetesJobs(namespace="default", image="lakegate")
    return ExecutorSettings(usual=name, workers=workers, kubernetes=jobs if name == "kubernetes" else None)


@asynccontextmanager
async def far(scene: Scene, *, executor=None, name="dask", plain=False, workers=1, **running):
    """Run a harvester that carries nothing itself, with the counter that far workers come to."""
    processes, port = Processes(plain=plain), free_port()
    executor = executor or processes
    tokens = RunTokens(b"the key of all replicas")
    url = f"http://127.0.0.1:{port}"
    elsewhere = Elsewhere(
        executors={name: executor},
        choice=Choice(settings=usual(name, workers), available={name: (EDGE,)}),
        tokens=tokens,
        url=url,
    )
    async with scene.running(elsewhere=elsewhere, **running) as live:
        keys = Bucket(
            bucket=scene.bucket, endpoint=scene.endpoint, region="us-east-1", access_key=ACCESS, secret_key=SECRET
        )
        buckets = {EDGE: keys}
        counter = live.harvester.counter(buckets=buckets.get, allowed=[scene.endpoint, *scene.allowed])
        app = web.Application(middlewares=[problems_middleware])
        app.add_routes(WorkersFace(counter).routes())
        async with served(app, port=port):
            try:
                yield Far(live, executor, url, tokens)
            finally:
                await asyncio.to_thread(processes.close)
