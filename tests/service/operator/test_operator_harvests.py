"""HarvestRequest objects become orders in the name of the user whose token their namespace holds."""

import uuid

import pytest
from operator_scene import ADMIN, NAMESPACES

from gateway.operator.errors import NotThere
from gateway.operator.resources import HARVEST_REQUESTS, SECRETS

pytestmark = pytest.mark.service


def wish(secret="token", **order):  # noqa: S107 - the name of a Secret
    return {"tokenSecretRef": {"name": secret}, "order": {"target": "edge-a", "collections": ["s2"], **order}}


def named():
    return f"harvest-{uuid.uuid4().hex[:6]}"


async def test_what_the_gateway_refuses_is_told_and_the_object_can_go(cluster, operator):
    name, namespace = named(), cluster.namespace
    await cluster.secret(SECRETS, "token", namespace, token=ADMIN)
    async with operator(cluster):
        await cluster.put(HARVEST_REQUESTS, name, wish(), namespace=namespace)
        told = await cluster.until(HARVEST_REQUESTS, name, "Refused", namespace=namespace)
        assert "edge-a" in told["message"]
        await cluster.delete(HARVEST_REQUESTS, name, namespace=namespace)
        await gone(cluster, name)


async def test_a_token_that_is_not_there_or_not_known_is_told(cluster, operator):
    name, other, namespace = named(), named(), cluster.namespace
    await cluster.secret(SECRETS, "stolen", namespace, token="nobody-knows-this")
    async with operator(cluster):
        await cluster.put(HARVEST_REQUESTS, name, wish("missing"), namespace=namespace)
        await cluster.put(HARVEST_REQUESTS, other, wish("stolen"), namespace=namespace)
        told = await cluster.until(HARVEST_REQUESTS, name, "SecretMissing", namespace=namespace)
        assert "missing" in told["message"]
        await cluster.until(HARVEST_REQUESTS, other, "Refused", namespace=namespace)
        for each in (name, other):
            await cluster.delete(HARVEST_REQUESTS, each, namespace=namespace)
            await gone(cluster, each)


async def test_an_object_as_large_as_they_come_keeps_nobody_else_waiting(cluster, operator):
    large, name, namespace = named(), named(), cluster.namespace
    ring = [[number / 1_000, 40 + number / 10_000] for number in range(30_000)]
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    await cluster.secret(SECRETS, "token", namespace, token=ADMIN)
    async with operator(cluster) as running:
        await cluster.settled(lambda: synced(running))
        await cluster.put(HARVEST_REQUESTS, large, wish(intersects=geometry), namespace=namespace)
        await cluster.put(HARVEST_REQUESTS, name, wish(), namespace=namespace)
        for each in (name, large):
            await cluster.until(HARVEST_REQUESTS, each, "Refused", namespace=namespace)
        for each in (name, large):
            await cluster.delete(HARVEST_REQUESTS, each, namespace=namespace)
            await gone(cluster, each)


async def test_an_operator_of_some_namespaces_looks_at_no_other(cluster, operator):
    name, namespace, other = named(), cluster.namespace, f"{cluster.namespace}-b"
    await cluster.put(NAMESPACES, other)
    for each in (namespace, other):
        await cluster.secret(SECRETS, "token", each, token=ADMIN)
        await cluster.put(HARVEST_REQUESTS, name, wish(), namespace=each)
    async with operator(cluster, namespaces=(other,)) as running:
        await cluster.until(HARVEST_REQUESTS, name, "Refused", namespace=other)
        assert [each.informer.resource.kind for each in running.controllers] == ["HarvestRequest"]
        assert set(running.controllers[0].informer.objects) == {f"{other}/{name}"}
    assert "status" not in await cluster.get(HARVEST_REQUESTS, name, namespace=namespace)


async def synced(running):
    return bool(running.controllers) and all(each.informer.synced.is_set() for each in running.controllers)


async def gone(cluster, name):
    async def absent():
        try:
            await cluster.get(HARVEST_REQUESTS, name, namespace=cluster.namespace)
        except NotThere:
            return True
        return False

    await cluster.settled(absent)
