"""HarvestRequest objects become orders in the name of the user whose token their namespace holds."""

import uuid

import pytest
from conftest import ADMIN

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


async def gone(cluster, name):
    async def absent():
        try:
            await cluster.get(HARVEST_REQUESTS, name, namespace=cluster.namespace)
        except NotThere:
            return True
        return False

    await cluster.settled(absent)
