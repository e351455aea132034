"""A gateway that is killed between any two steps of a creation leaves neither lease nor cluster that nobody has."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from compute_edges import POLICIES
from waiting import until

from edges.compute.dask_gateway import DaskGateway
from edges.http import Outbound
from edges.model import EdgeUser
from quotas.sqlite import SqliteLedger

pytestmark = pytest.mark.service

ALICE = EdgeUser(name="alice", groups=("eo/team",))
HEADERS = {"Authorization": "Bearer t-alice"}


async def killed_while_creating(edge, state: Path, moment: str) -> None:
    here = Path(__file__).parent
    doomed = await asyncio.create_subprocess_exec(
        *(sys.executable, str(here / "doomed_gateway.py")),
        *(str(edge.folder), str(edge.port), edge.secret, str(state), moment),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{here.parents[2]}{os.pathsep}{here.parents[1]}{os.pathsep}{here}"},
    )
    try:
        line = await asyncio.wait_for(doomed.stdout.readline(), 30)
        url = json.loads(line)["url"]
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(url + "/api/v1/clusters/", json={})
        assert await asyncio.wait_for(doomed.wait(), 10) == -signal.SIGKILL
    finally:
        if doomed.returncode is None:
            doomed.kill()
            await doomed.wait()


@pytest.mark.parametrize("moment", ["before the lease", "after the lease", "before the edge", "after the edge"])
async def test_nothing_is_held_that_nobody_has(dask_edges, serve_dask, tmp_path, moment) -> None:
    edge = dask_edges["edge-a"]
    await killed_while_creating(edge, tmp_path, moment)
    async with (
        Outbound(allowed=[edge.url]) as outbound,
        SqliteLedger(tmp_path / "quotas.sqlite", POLICIES) as ledger,
        serve_dask({"edge-a": edge}, state=tmp_path, ledger=ledger) as running,
    ):
        at_the_edge = DaskGateway(edge="edge-a", url=edge.url, secret=edge.secret, session=outbound.session)

        async def agreed() -> bool:
            """Tell whether routes, leases and the edge say the same."""
            live = {route.name for route in running.routes if route.open}
            listed = set(await at_the_edge.reports(ALICE, ("PENDING", "RUNNING")))
            return live == listed and len(await ledger.leases()) == len(live)

        await until(agreed)
        adopted = [route.name for route in running.routes if route.state == "live"]
        assert len(adopted) == (1 if moment == "after the edge" else 0)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            for name in adopted:
                await session.delete(f"{running.url}/api/v1/clusters/{name}")

        async def all_gone() -> bool:
            return not any(route.open for route in running.routes) and await ledger.leases() == []

        await until(all_gone)
        assert await at_the_edge.reports(ALICE, ("PENDING", "RUNNING")) == {}
