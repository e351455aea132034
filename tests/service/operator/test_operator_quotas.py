"""GroupQuota objects become policies of a gateway; the operator meets conflicts, lost watches and rivals."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from gateway.operator.controller import FINALIZER, FORCE, ControllerTimes
from gateway.operator.errors import KubernetesError, NotThere
from gateway.operator.leader import LeaseTimes
from gateway.operator.resources import EVENTS, GROUP_QUOTAS
from gateway.operator.running import OperatorTimes

pytestmark = pytest.mark.service

SHORT = OperatorTimes(lease=LeaseTimes(lease=1.5, deadline=1.0, retry=0.1))


def quota(amount=5, name="day", **more):
    policy = {"name": name, "resource": "requests", "kind": "window", "amount": amount, "windowSeconds": 86_400}
    return {"group": "eo", "policies": [policy | {"contact": "ops@lake"}], **more}


def named():
    return f"eo-{uuid.uuid4().hex[:6]}"


async def amount_of(gateway, policy):
    found = (await gateway.policies()).get(policy)
    return None if found is None else found["amount"]


async def test_a_quota_becomes_policies_and_tells_its_usage(cluster, gateway, operator):
    name = named()
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota(7))
        ready = await cluster.until(GROUP_QUOTAS, name, "Applied")
        assert ready["status"] == "True"
        assert ready["lastTransitionTime"]
        status = (await cluster.get(GROUP_QUOTAS, name))["status"]
        assert status["policies"] == 1
        assert status["usage"][0]["limit"] == 7
        assert status["observedGeneration"] == 1
    held = (await gateway.policies())[f"{name}.day"]
    assert (held["group"], held["amount"], held["window_seconds"], held["why"]) == (
        "eo",
        7,
        86_400,
        f"GroupQuota {name}",
    )


async def test_a_changed_quota_changes_the_policy_and_a_dropped_policy_goes(cluster, gateway, operator):
    name = named()
    async with operator(cluster):
        spec = quota(7)
        spec["policies"].append({"name": "disk", "resource": "storage_bytes", "kind": "stock", "amount": 1e9})
        await cluster.put(GROUP_QUOTAS, name, spec)
        await cluster.until(GROUP_QUOTAS, name, "Applied")
        assert await amount_of(gateway, f"{name}.disk") == 1e9
        await cluster.put(GROUP_QUOTAS, name, quota(9))

        async def changed():
            return await amount_of(gateway, f"{name}.day") == 9 and await amount_of(gateway, f"{name}.disk") is None

        await cluster.settled(changed)


async def test_a_deleted_quota_takes_its_policies_along(cluster, gateway, operator):
    name = named()
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota())
        await cluster.until(GROUP_QUOTAS, name, "Applied")
        await cluster.delete(GROUP_QUOTAS, name)
        await gone(cluster, name)
    assert await amount_of(gateway, f"{name}.day") is None


async def test_an_orphaned_quota_leaves_its_policies(cluster, gateway, operator):
    name = named()
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota(deletionPolicy="Orphan"))
        await cluster.until(GROUP_QUOTAS, name, "Applied")
        await cluster.delete(GROUP_QUOTAS, name)
        await gone(cluster, name)
    assert await amount_of(gateway, f"{name}.day") == 5


async def test_a_policy_that_somebody_else_put_is_left_alone(cluster, gateway, operator):
    name = named()
    body = {"group": "eo", "resource": "requests", "kind": "concurrent", "amount": 3, "why": "by hand"}
    await gateway.ask(f"/quotas/policies/{name}.day", "PUT", json=body)
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota())
        told = await cluster.until(GROUP_QUOTAS, name, "Misconfigured")
    assert "not ours" in told["message"]
    assert await amount_of(gateway, f"{name}.day") == 3


async def test_a_grant_raises_the_limit_and_goes_when_it_is_no_longer_said(cluster, gateway, operator):
    name = named()
    grant = {"name": "party", "policy": "day", "amount": 4, "expiresAt": "2090-01-01T00:00:00Z", "why": "a campaign"}
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota(grants=[grant | {"expiresAt": soon()}]))
        await cluster.until(GROUP_QUOTAS, name, "Applied")
        assert [each["amount"] for each in (await gateway.ask("/quotas/grants"))["grants"]] == [4]
        await cluster.put(GROUP_QUOTAS, name, quota(grants=[]))

        async def revoked():
            return not (await gateway.ask("/quotas/grants"))["grants"]

        await cluster.settled(revoked)


async def test_what_was_changed_while_no_operator_ran_is_brought_about_by_the_next(cluster, gateway, operator):
    first, second = named(), named()
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, first, quota())
        await cluster.until(GROUP_QUOTAS, first, "Applied")
    await cluster.delete(GROUP_QUOTAS, first)
    await cluster.put(GROUP_QUOTAS, second, quota(2))
    async with operator(cluster):
        await cluster.until(GROUP_QUOTAS, second, "Applied")
        await gone(cluster, first)
    assert await amount_of(gateway, f"{first}.day") is None
    assert await amount_of(gateway, f"{second}.day") == 2


async def test_of_two_operators_one_works_and_the_other_takes_over(cluster, gateway, operator):
    name = named()
    async with AsyncExitStack() as leaving, AsyncExitStack() as staying:
        first = await leaving.enter_async_context(operator(cluster))
        await asyncio.wait_for(first.leadership.led.wait(), 10)
        second = await staying.enter_async_context(operator(cluster))
        await cluster.put(GROUP_QUOTAS, name, quota(1))
        await cluster.until(GROUP_QUOTAS, name, "Applied")
        assert first.leadership.leading
        assert not second.leadership.leading
        fence = first.leadership.fence
        await leaving.aclose()
        await asyncio.wait_for(second.leadership.led.wait(), 10)
        assert second.leadership.fence > fence
        await cluster.put(GROUP_QUOTAS, name, quota(2))

        async def changed():
            return await amount_of(gateway, f"{name}.day") == 2

        await cluster.settled(changed)


async def test_a_version_that_is_forgotten_is_listed_again(failing, gateway, operator):
    name = named()
    async with operator(failing) as running:
        await failing.put(GROUP_QUOTAS, name, quota(1))
        await failing.until(GROUP_QUOTAS, name, "Applied")
        await failing.put(GROUP_QUOTAS, "other", quota(1))
        before = listings(running)
        failing.fake.version += 10
        failing.fake.forget()
        failing.fake.cut()
        await failing.put(GROUP_QUOTAS, name, quota(2))

        async def changed():
            return await amount_of(gateway, f"{name}.day") == 2

        async def all_listed():  # each kind has a watch of its own, and each of these is cut and refused
            return all(now > once for now, once in zip(listings(running), before, strict=True))

        await failing.settled(changed)
        await failing.settled(all_listed)
        assert listings(running) == [each + 1 for each in before]


async def test_a_lost_watch_goes_on_from_where_it_was(failing, gateway, operator):
    name = named()
    async with operator(failing) as running:
        await failing.put(GROUP_QUOTAS, name, quota(1))
        await failing.until(GROUP_QUOTAS, name, "Applied")
        before = listings(running)
        for amount in (2, 3, 4):
            failing.fake.cut()
            await failing.put(GROUP_QUOTAS, name, quota(amount))

            async def changed(amount=amount):
                return await amount_of(gateway, f"{name}.day") == amount

            await failing.settled(changed)
        assert listings(running) == before


async def test_conflicts_are_met_by_reading_again(failing, gateway, operator):
    name = named()
    async with operator(failing):
        await failing.put(GROUP_QUOTAS, "warm", quota(1, name="warm"))
        await failing.until(GROUP_QUOTAS, "warm", "Applied")
        await failing.put(GROUP_QUOTAS, name, quota(1))
        failing.fake.conflicts = 3
        await failing.until(GROUP_QUOTAS, name, "Applied")
        assert FINALIZER in (await failing.get(GROUP_QUOTAS, name))["metadata"]["finalizers"]


async def test_a_leader_that_cannot_renew_its_lease_stops_writing(failing, gateway, operator):
    async with operator(failing, times=SHORT) as running:
        await asyncio.wait_for(running.leadership.led.wait(), 10)
        failing.fake.silent = True

        async def lost():
            return not running.leadership.leading

        await failing.settled(lost)
        with pytest.raises(Exception, match="does not hold the lease"):
            running.leadership.check()
        failing.fake.silent = False
        await asyncio.wait_for(running.leadership.led.wait(), 10)


async def test_an_object_goes_by_force_though_the_gateway_is_not_there(cluster, gateway, operator):
    name = named()
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota())
        await cluster.until(GROUP_QUOTAS, name, "Applied")
    async with operator(cluster, url="http://127.0.0.1:9"):
        await cluster.delete(GROUP_QUOTAS, name)
        assert (await cluster.get(GROUP_QUOTAS, name))["metadata"]["finalizers"] == [FINALIZER]
        await cluster.api.merge(GROUP_QUOTAS.path("", name), {"metadata": {"annotations": {FORCE: "true"}}})
        await gone(cluster, name)


async def test_an_object_goes_after_its_time_though_the_gateway_is_not_there(cluster, gateway, operator):
    name = named()
    async with operator(cluster):
        await cluster.put(GROUP_QUOTAS, name, quota())
        await cluster.until(GROUP_QUOTAS, name, "Applied")
    impatient = ControllerTimes(release=0.0, first_pause=0.05)
    async with operator(cluster, url="http://127.0.0.1:9", controller=impatient):
        await cluster.delete(GROUP_QUOTAS, name)
        await gone(cluster, name)


async def test_a_gateway_that_is_away_is_told_and_tried_again(cluster, gateway, operator):
    name = named()
    async with operator(cluster, url="http://127.0.0.1:9"):
        await cluster.put(GROUP_QUOTAS, name, quota())
        told = await cluster.until(GROUP_QUOTAS, name, "Unavailable")
        assert told["status"] == "Unknown"
    async with operator(cluster):
        await cluster.until(GROUP_QUOTAS, name, "Applied")

        async def recorded():
            path = EVENTS.path("default")
            found = (await cluster.api.list(path)).items
            return [each for each in found if each["regarding"]["name"] == name and each["reason"] == "Applied"]

        await cluster.settled(recorded)


def listings(running):
    return [each.informer.listings for each in running.controllers]


async def gone(cluster, name):
    async def absent():
        try:
            await cluster.get(GROUP_QUOTAS, name)
        except NotThere:
            return True
        except KubernetesError:
            return False
        return False

    await cluster.settled(absent)


def soon():
    return (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
