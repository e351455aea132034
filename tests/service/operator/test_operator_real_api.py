"""What only a real API server can tell: schemas, defaults, rights, and its own restart."""

import asyncio
import uuid

import pytest
from kubernetes.aio.config import incluster_config

from gateway.operator.api import KubernetesApi, connected
from gateway.operator.errors import Forbidden, KubernetesError
from gateway.operator.resources import EDGE_SITES, GROUP_QUOTAS, HARVEST_REQUESTS

pytestmark = pytest.mark.service

DAY = {"name": "day", "resource": "requests", "kind": "window", "amount": 5, "windowSeconds": 86_400}
STAC = {"url": "http://127.0.0.1:9/stac"}
TOKEN = {"name": "token"}
WISH = {"target": "edge-a", "collections": ["s2"]}
REFUSED = [
    (GROUP_QUOTAS, {"group": "eo", "policies": [DAY | {"reset": "month"}]}, "reset month"),
    (GROUP_QUOTAS, {"group": "eo", "policies": [DAY | {"kind": "stock"}]}, "windowSeconds belongs"),
    (GROUP_QUOTAS, {"group": "eo", "policies": [DAY | {"lend": 6}]}, "lend is at most"),
    (GROUP_QUOTAS, {"group": "eo", "policies": [DAY | {"amount": -1}]}, "amount"),
    (GROUP_QUOTAS, {"group": "eo//team", "policies": [DAY]}, "group"),
    (EDGE_SITES, {"catalogue": {}}, "exactly one"),
    (EDGE_SITES, {"kind": "hub", "catalogue": STAC, "kernels": {"url": "http://a", "token": {}}}, "token"),
    (EDGE_SITES, {"kind": "mill", "catalogue": STAC}, "kind"),
    (HARVEST_REQUESTS, {"tokenSecretRef": TOKEN, "order": {"target": "edge-a"}}, "what is wanted"),
    (HARVEST_REQUESTS, {"tokenSecretRef": TOKEN, "order": WISH | {"bbox": [1, 2, 3, 4, 5]}}, "4 or 6"),
]


@pytest.mark.parametrize(("resource", "spec", "words"), REFUSED)
async def test_the_schema_refuses_what_cannot_be(real, resource, spec, words):
    namespace = real.namespace if resource.namespaced else ""
    with pytest.raises(KubernetesError, match=words):
        await real.put(resource, "wrong", spec, namespace=namespace)


async def test_defaults_are_filled_in_and_an_order_cannot_be_changed(real):
    await real.put(HARVEST_REQUESTS, "order", {"tokenSecretRef": TOKEN, "order": WISH}, namespace=real.namespace)
    found = await real.get(HARVEST_REQUESTS, "order", namespace=real.namespace)
    assert (found["spec"]["deletionPolicy"], found["spec"]["tokenSecretRef"]["key"]) == ("Cancel", "token")
    changed = {"tokenSecretRef": TOKEN, "order": WISH | {"target": "edge-b"}}
    with pytest.raises(KubernetesError, match="cannot be changed"):
        await real.put(HARVEST_REQUESTS, "order", changed, namespace=real.namespace)


async def test_the_operator_goes_on_after_the_api_server_was_restarted(real, gateway, operator):
    name = f"eo-{uuid.uuid4().hex[:6]}"
    async with operator(real):
        await real.put(GROUP_QUOTAS, name, {"group": "eo", "policies": [DAY]})
        await real.until(GROUP_QUOTAS, name, "Applied")
        await asyncio.to_thread(real.real.stop)
        await asyncio.to_thread(real.real.start)
        await real.put(GROUP_QUOTAS, name, {"group": "eo", "policies": [DAY | {"amount": 9}]})

        async def changed():
            return (await gateway.policies())[f"{name}.day"]["amount"] == 9

        await real.settled(changed, seconds=60)


async def test_who_has_no_rights_is_refused(real, tmp_path):
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "nobody", "namespace": real.namespace},
    }
    await asyncio.to_thread(real.real.apply, account)
    token = await asyncio.to_thread(real.real.token_of, real.namespace, "nobody")
    file = tmp_path / "kubeconfig-nobody"
    file.write_text(real.real.config_for(token))
    async with connected(file) as client:
        with pytest.raises(Forbidden):
            await KubernetesApi(api=client).list(GROUP_QUOTAS.path())


async def test_a_pod_comes_in_by_its_service_account(real, tmp_path, monkeypatch):
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pod", "namespace": real.namespace}}
    await asyncio.to_thread(real.real.apply, account)
    token = tmp_path / "token"
    token.write_text(await asyncio.to_thread(real.real.token_of, real.namespace, "pod"))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(real.real.certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(real.real.port))
    async with connected(None) as client:
        api = KubernetesApi(api=client)
        with pytest.raises(Forbidden, match=f"system:serviceaccount:{real.namespace}:pod"):
            await api.list(GROUP_QUOTAS.path())


async def test_without_a_cluster_around_it_an_operator_says_so(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubernetesError, match="no way to the Kubernetes API"):
        async with connected(None):
            pass
