"""Any of several gateways answers anything, and they can be restarted one after the other under load."""

import asyncio
import os
import subprocess

import aiohttp
import pytest
from conftest import LAKEGATE, ROOT, Balancer
from waiting import until

pytestmark = pytest.mark.service

HEADERS = {"Authorization": f"Bearer {ROOT}"}


async def test_any_replica_reads_any_page_token(replicas):
    seen, turn, path = [], 0, "/search?limit=7"
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        while path:
            async with session.get(replicas[turn % 2].url + path) as response:
                assert response.status == 200, await response.text()
                page = await response.json(content_type=None)
            seen += [each["id"] for each in page["features"]]
            following = [each["href"] for each in page["links"] if each["rel"] == "next"]
            path = following[0].removeprefix("http://lake.example") if following else ""
            turn += 1
    assert seen == [f"i{number:03}" for number in reversed(range(60))]
    assert turn > 8


async def test_a_policy_put_at_one_replica_holds_at_the_other(replicas):
    first, second = replicas
    policy = {"group": "ops", "resource": "requests", "kind": "window", "amount": 5, "window_seconds": 86_400}
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        async with session.put(f"{first.url}/quotas/policies/day", json=policy | {"why": "a test"}) as response:
            assert response.status == 200, await response.text()
        # Another gateway learns of a policy when it next looks at the ledger: when it is asked, else in seconds.
        async with session.get(f"{second.url}/quotas/policies") as response:
            assert [each["name"] for each in (await response.json())["policies"]] == ["day"]
        statuses = []
        for turn in range(8):
            async with session.get(f"{replicas[turn % 2].url}/search?limit=1") as response:
                statuses.append(response.status)
    assert statuses == [200] * 5 + [429] * 3


async def test_a_rolling_restart_under_load_fails_no_request(replicas):
    statuses: dict[object, int] = {}
    stop = asyncio.Event()

    async def load(url):
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            while not stop.is_set():
                try:
                    async with session.get(f"{url}/search?limit=3") as response:
                        await response.read()
                        told = response.status
                except aiohttp.ClientError as error:
                    told = repr(error)
                statuses[told] = statuses.get(told, 0) + 1
                await asyncio.sleep(0.05)  # more would keep the replica that starts from starting

    async with Balancer(replicas).serving() as balancer:
        await until(lambda: len(balancer._ready) == 2)
        tasks = [asyncio.create_task(load(balancer.url)) for _ in range(4)]
        for replica in replicas:
            before = sum(statuses.values())
            await replica.stop()
            await replica.start()
            await until(
                lambda replica=replica, before=before: (
                    replica in balancer._ready and sum(statuses.values()) >= before + 20
                )
            )
        stop.set()
        await asyncio.gather(*tasks)
    assert set(statuses) == {200}, statuses
    assert statuses[200] > 40


async def test_the_database_is_checked_and_migrated_by_command(replicas, tmp_path):
    def run(*arguments):
        command = [LAKEGATE, "db", *arguments, "--config", str(replicas[0].file)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    checked = await asyncio.to_thread(run, "check", "--json")
    assert checked.returncode == 0, checked.stderr
    assert '"current": true' in checked.stdout
    migrated = await asyncio.to_thread(run, "migrate")
    assert (migrated.returncode, migrated.stderr) == (0, "")
    text = replicas[0].file.read_text().replace('"database_schema": "', '"database_schema": "empty_')
    replicas[0].file.write_text(text)
    assert (await asyncio.to_thread(run, "check")).returncode == 3
    assert (await asyncio.to_thread(run, "migrate")).returncode == 0
    assert (await asyncio.to_thread(run, "check")).returncode == 0
