"""EdgeSite objects become a file of sites that a gateway reads."""

import base64
import uuid

import msgspec
import pytest
import yaml

from edges.settings import SiteSettings
from gateway.operator.edge_sites import ANNOTATION
from gateway.operator.resources import DEPLOYMENTS, EDGE_SITES, SECRETS

pytestmark = pytest.mark.service

POD = {"containers": [{"name": "gateway", "image": "lakegate:0"}]}
LABELS = {"app": "lakegate"}
DEPLOYMENT = {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": POD}}


def site(url="http://127.0.0.1:9/stac", **more):
    return {"kind": "edge", "catalogue": {"url": url, "timeoutSeconds": 3}, **more}


def named():
    return f"edge-{uuid.uuid4().hex[:6]}"


async def written(cluster):
    """Return the files that the gateway's pods would have mounted."""
    found = await cluster.get(SECRETS, "lakegate-sites", namespace=cluster.namespace)
    return {name: base64.b64decode(value).decode() for name, value in found["data"].items()}


async def sites_in(cluster):
    return {each["id"]: each for each in yaml.safe_load((await written(cluster))["sites.yaml"])}


async def test_a_site_and_its_secrets_become_files_that_the_gateway_reads(cluster, operator):
    name = named()
    await cluster.secret(SECRETS, "keys", cluster.namespace, dask="a-secret")
    dask = {"url": "http://127.0.0.1:9", "secret": {"secretKeyRef": {"name": "keys", "key": "dask"}}}
    async with operator(cluster):
        await cluster.put(EDGE_SITES, name, site(title="A", dask=dask))
        told = await cluster.until(EDGE_SITES, name, "Pending")
        assert told["status"] == "False"
        content = (await sites_in(cluster))[name]
        assert (await written(cluster))[f"{name}.dask.secret"] == "a-secret"
    found = msgspec.convert(content, SiteSettings)
    assert (found.title, found.catalogue.timeout_seconds) == ("A", 3)
    assert found.dask is not None
    assert found.dask.secret.file == f"/etc/lakegate/sites/{name}.dask.secret"


async def test_a_site_whose_secret_is_missing_says_so_and_keeps_nobody_else_out(cluster, operator):
    good, bad = named(), named()
    kernels = {"url": "http://127.0.0.1:9", "token": {"secretKeyRef": {"name": "nowhere", "key": "k"}}}
    async with operator(cluster):
        await cluster.put(EDGE_SITES, bad, site(kernels=kernels))
        await cluster.put(EDGE_SITES, good, site())
        told = await cluster.until(EDGE_SITES, bad, "SecretMissing")
        assert "nowhere" in told["message"]
        await cluster.until(EDGE_SITES, good, "Pending")
        assert set(await sites_in(cluster)) == {good}


async def test_a_deleted_and_a_suspended_site_leave_the_file(cluster, operator):
    first, second, third = named(), named(), named()
    async with operator(cluster):
        for name in (first, second, third):
            await cluster.put(EDGE_SITES, name, site())
            await cluster.until(EDGE_SITES, name, "Pending")
        await cluster.delete(EDGE_SITES, first)
        await cluster.put(EDGE_SITES, second, site(suspend=True))
        await cluster.until(EDGE_SITES, second, "Suspended")

        async def one_left():
            return set(await sites_in(cluster)) == {third}

        await cluster.settled(one_left)


async def test_pods_are_restarted_when_sites_change_and_only_then(cluster, operator):
    name = named()
    await cluster.put(DEPLOYMENTS, "lakegate", DEPLOYMENT, namespace=cluster.namespace)

    async def version():
        found = await cluster.get(DEPLOYMENTS, "lakegate", namespace=cluster.namespace)
        return (found["spec"]["template"]["metadata"].get("annotations") or {}).get(ANNOTATION)

    async with operator(cluster, deployment="lakegate"):
        await cluster.put(EDGE_SITES, name, site())
        first = await cluster.settled(version)
    async with operator(cluster, deployment="lakegate"):
        other = named()
        await cluster.put(EDGE_SITES, other, site(suspend=True))
        await cluster.until(EDGE_SITES, other, "Suspended")
        assert await version() == first
        await cluster.put(EDGE_SITES, other, site(suspend=False))

        async def changed():
            return await version() != first

        await cluster.settled(changed)
