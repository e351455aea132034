"""The operator as the chart starts it, with the token of its own service account: what it may do, and what it does."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import waiting
from kubernetes_node import Node
from operate_scene import Cluster

pytestmark = pytest.mark.service

ACCOUNT = {"existingSecret": "op", "key": "token"}
TOKEN = {"user": "op", "token": ACCOUNT, "groups": ["eo"], "charging_group": "eo", "admin": True}
CONFIG = {"auth": {"tokens": [TOKEN]}, "limits": {"probe_seconds": 0.5}}
POLICY = {"name": "day", "resource": "requests", "kind": "concurrent", "amount": 5}
ORDER = {"target": "nowhere", "collections": ["s2"]}
LAKE = "/apis/lakegate.io/v1alpha1"
AFTER_A_CONFLICT = {("get", "lakegate.io", each, "") for each in ("groupquotas", "harvestrequests")}
"""Rights that are used only where somebody else wrote an object at the same moment."""


@asynccontextmanager
async def installed(cluster: Cluster, folder: Path, **operator: Any) -> AsyncIterator[Node]:
    """Install the chart and run its pods."""
    cluster.api.secret(cluster.namespace, "op", token=secrets.token_hex(16))
    values = folder / "values.json"
    told = {"enabled": True, "tokenSecret": {"name": "op", "key": "token"}, **operator}
    values.write_text(json.dumps({"config": CONFIG, "operator": told}))
    node = Node(cluster.api, cluster.namespace, folder)
    async with node.running():
        await asyncio.to_thread(cluster.helm, "install", "lakegate", "helm/lakegate", "--values", str(values))
        try:
            yield node
        except BaseException:
            print(node.logs())
            raise


async def put(cluster: Cluster, kind: str, name: str, spec: Any, namespace: str = "") -> None:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    body = {"apiVersion": "lakegate.io/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    async with asyncio.timeout(30):
        while True:
            try:
                await asyncio.to_thread(cluster.api.apply, body)
            except HTTPError as error:
                if error.code not in (404, 429):  # the definition is too new
                    raise
                await asyncio.sleep(0.1)
            else:
                return


async def until(cluster: Cluster, path: str, *reasons: str) -> None:
    """Wait until the object's condition Ready has one of the reasons."""
    async with asyncio.timeout(60):
        while True:
            status = (await asyncio.to_thread(cluster.get, path)).get("status") or {}
            ready = [each["reason"] for each in status.get("conditions", ()) if each["type"] == "Ready"]
            if ready and ready[0] in reasons:
                return
            await asyncio.sleep(0.1)


async def gone(cluster: Cluster, path: str) -> None:
    await asyncio.to_thread(cluster.api.request, "DELETE", path)
    async with asyncio.timeout(60):
        while True:
            try:
                await asyncio.to_thread(cluster.get, path)
            except HTTPError:
                return
            await asyncio.sleep(0.1)


def rules_of(cluster: Cluster, namespaces: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield what the roles give the operator: verb, API group, resource, and the name that it is bounded to."""
    rbac = "apis/rbac.authorization.k8s.io/v1"
    roles = [each for name in namespaces for each in cluster.get(f"/{rbac}/namespaces/{name}/roles")["items"]]
    roles += [
        each
        for each in cluster.get(f"/{rbac}/clusterroles")["items"]
        if each["metadata"]["name"] == f"{cluster.namespace}-lakegate-operator"
    ]
    for role in roles:
        for rule in role["rules"]:
            for verb in rule["verbs"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        for name in rule.get("resourceNames", [""]):
                            yield verb, group, resource, name


def used_by(cluster: Cluster) -> tuple[set[tuple[str, str, str, str]], list[Any]]:
    """Return what the operator did, as rules are written, and what it was refused."""
    events = cluster.api.audited(f"{cluster.namespace}:lakegate-operator")
    used, refused = set(), []
    for each in events:
        what = each["objectRef"]
        resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
        made = {"create"} if each["responseStatus"].get("code") == 201 else set()  # also by server-side apply
        for verb in {each["verb"], *made}:
            used |= {(verb, what.get("apiGroup", ""), resource, name) for name in ("", what.get("name", ""))}
        if each["responseStatus"].get("code") == 403:
            refused.append((each["verb"], resource, what.get("namespace"), what.get("name")))
    return used, refused


async def all_used(cluster: Cluster, namespaces: list[str]) -> None:
    """Wait until all rights were used, where that takes its time: a lease is renewed after two seconds."""

    def unused() -> set[tuple[str, str, str, str]]:
        return set(rules_of(cluster, namespaces)) - used_by(cluster)[0] - AFTER_A_CONFLICT

    with suppress(TimeoutError):  # what is left is told by who asked
        await waiting.until(lambda: asyncio.to_thread(lambda: not unused()), seconds=30)


async def test_the_operator_uses_all_of_its_rights_and_needs_no_other(cluster: Cluster, tmp_path: Path):
    cluster.api.secret(cluster.namespace, "edge", key="s3cret")
    keys = {"secretKeyRef": {"name": "edge", "key": "key"}}
    async with installed(cluster, tmp_path):
        site = {"catalogue": {"url": "http://127.0.0.1:9"}, "kernels": {"url": "http://127.0.0.1:9", "token": keys}}
        await put(cluster, "EdgeSite", "edge-a", site)
        await put(cluster, "GroupQuota", "eo", {"group": "eo", "policies": [POLICY]})
        await put(
            cluster, "HarvestRequest", "first", {"tokenSecretRef": {"name": "op"}, "order": ORDER}, cluster.namespace
        )
        await until(cluster, f"{LAKE}/edgesites/edge-a", "Down", "NotAsked")
        written = cluster.get(cluster.namespaced("secrets", name="lakegate-sites"))["data"]
        assert base64.b64decode(written["edge-a.kernels.token"]) == b"s3cret"
        await until(cluster, f"{LAKE}/groupquotas/eo", "Applied")
        harvest = f"{LAKE}/namespaces/{cluster.namespace}/harvestrequests/first"
        await until(cluster, harvest, "Refused")
        for path in (f"{LAKE}/edgesites/edge-a", f"{LAKE}/groupquotas/eo", harvest):
            await gone(cluster, path)
        await all_used(cluster, [cluster.namespace])
    used, refused = used_by(cluster)
    assert refused == []
    assert set(rules_of(cluster, [cluster.namespace])) - used <= AFTER_A_CONFLICT


async def test_an_operator_of_two_namespaces_does_its_work_with_rights_there_alone(cluster: Cluster, tmp_path: Path):
    teams = [f"{cluster.namespace}-{each}" for each in "ab"]
    for each in teams:
        cluster.make_namespace(each)
        cluster.api.secret(each, "token", token="nobody-knows-this")
    async with installed(cluster, tmp_path, clusterWide=False, watchNamespaces=teams):
        for each in teams:
            spec = {"tokenSecretRef": {"name": "token"}, "order": ORDER}
            await put(cluster, "HarvestRequest", "first", spec, each)
            path = f"{LAKE}/namespaces/{each}/harvestrequests/first"
            await until(cluster, path, "Refused")
            await gone(cluster, path)
        await all_used(cluster, [cluster.namespace, *teams])
    used, refused = used_by(cluster)
    assert refused == []
    assert set(rules_of(cluster, [cluster.namespace, *teams])) - used <= AFTER_A_CONFLICT
    assert {
        each["objectRef"]["namespace"] for each in cluster.api.audited(f"{cluster.namespace}:lakegate-operator")
    } == {
        cluster.namespace,
        *teams,
    }
