"""An API server (the real one where it is there, and one that fails on demand), a gateway, and operators."""

import asyncio
import base64
import json
import uuid
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest
import yaml
from fake_kubernetes import FakeKubernetes
from free_ports import free_port
from kubernetes_api import kubernetes_api
from operator_scene import ADMIN, NAMESPACES
from served_app import served

from edges.settings import Secret
from gateway.app import running_gateway
from gateway.operator.api import KubernetesApi, connected
from gateway.operator.controller import ControllerTimes
from gateway.operator.edge_sites import Placing
from gateway.operator.errors import NotThere
from gateway.operator.informer import WatchTimes
from gateway.operator.leader import LeaseTimes
from gateway.operator.resources import Resource
from gateway.operator.running import OperatorSettings, OperatorTimes, running_operator
from gateway.settings import ApiTokenSettings, AuthSettings, ServerSettings, Settings

__all__ = ["kubernetes_api"]

CRDS = Path(__file__).resolve().parents[3] / "helm" / "lakegate" / "files" / "crds"
DEFINITIONS = Resource(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    version="v1",
    namespaced=False,
)
QUICK = OperatorTimes(
    lease=LeaseTimes(retry=0.1),
    watch=WatchTimes(watch=60, silence=30.0, longest_pause=0.2),
    controller=ControllerTimes(first_pause=0.05),
    harvest_seconds=0.1,
)


class Cluster:
    """What tests do with an API server. ``fake`` is None where it is the real one."""

    def __init__(self, api, kubeconfig, fake=None, real=None):
        self.api, self.kubeconfig, self.fake, self.real = api, kubeconfig, fake, real
        self.namespace = f"lake-{uuid.uuid4().hex[:6]}"

    async def put(self, resource, name, spec=None, *, namespace="", **more):
        meta = {"name": name} | ({"namespace": namespace} if namespace else {})
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **more}
        if spec is not None:
            body["spec"] = spec
        path = resource.path(namespace, name)
        # Another field manager than the operator's, as of a user.
        return await self.api._read("PATCH", f"{path}?fieldManager=kubectl&force=true", body, kind=_APPLY)

    async def secret(self, resource, name, namespace, **values):
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await self.put(resource, name, namespace=namespace, data=data)

    async def delete(self, resource, name, *, namespace=""):
        await self.api._read("DELETE", resource.path(namespace, name))

    async def get(self, resource, name, *, namespace=""):
        return await self.api.get(resource.path(namespace, name))

    async def settled(self, condition, seconds=60.0):
        """Wait until an asynchronous condition gives a value that is true; return it."""
        async with asyncio.timeout(seconds):
            while not (found := await condition()):  # noqa: ASYNC110 - what is waited for is behind a socket
                await asyncio.sleep(0.02)
            return found

    async def condition(self, resource, name, kind, *, namespace=""):
        found = await self.get(resource, name, namespace=namespace)
        told = (found.get("status") or {}).get("conditions") or []
        return next((each for each in told if each["type"] == kind), None)

    async def until(self, resource, name, reason, *, kind="Ready", namespace=""):
        """Wait until a condition of an object has a reason; return the condition."""

        async def right():
            told = await self.condition(resource, name, kind, namespace=namespace)
            return told if told is not None and told["reason"] == reason else None

        return await self.settled(right)


_APPLY = "application/apply-patch+yaml"


@asynccontextmanager
async def _fake(folder):
    fake = FakeKubernetes()
    file = folder / "kubeconfig"
    async with served(fake.application()) as url:
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "t", "cluster": {"server": url}}],
                    "users": [{"name": "t", "user": {"token": "t"}}],
                    "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
                    "current-context": "t",
                }
            )
        )
        try:
            async with connected(file) as client:
                yield Cluster(KubernetesApi(api=client), file, fake=fake)
        finally:
            fake.cut()


@asynccontextmanager
async def _real(server):
    async with connected(server.kubeconfig) as client:
        cluster = Cluster(KubernetesApi(api=client), server.kubeconfig, real=server)
        for file in sorted(CRDS.glob("*.yaml")):
            definition = yaml.safe_load(file.read_text())
            name = definition["metadata"]["name"]
            await cluster.put(DEFINITIONS, name, definition["spec"])

            async def established(name=name):
                told = (await cluster.get(DEFINITIONS, name)).get("status") or {}
                return any(
                    each["type"] == "Established" and each["status"] == "True" for each in told.get("conditions") or ()
                )

            await cluster.settled(established)
        await cluster.put(NAMESPACES, cluster.namespace)
        try:
            yield cluster
        finally:
            await _emptied(cluster)


async def _emptied(cluster):
    """Leave nothing of one test to the next."""
    for plural in ("edgesites", "groupquotas", "harvestrequests"):
        resource = Resource(kind="", plural=plural, namespaced=plural == "harvestrequests")
        for each in (await cluster.api.list(resource.path())).items:
            meta = each["metadata"]
            path = resource.path(meta.get("namespace", ""), meta["name"])
            if meta.get("finalizers"):
                await cluster.api.merge(path, {"metadata": {"finalizers": []}})
            with suppress(NotThere):
                await cluster.api._read("DELETE", path)


@pytest.fixture(params=["fake", "real"])
async def cluster(request, tmp_path):
    if request.param == "fake":
        async with _fake(tmp_path) as found:
            yield found
    else:
        async with _real(request.getfixturevalue("kubernetes_api")) as found:
            yield found


@pytest.fixture
async def failing(tmp_path):
    """The API server that fails on demand."""
    async with _fake(tmp_path) as found:
        yield found


@pytest.fixture
async def real(kubernetes_api):
    async with _real(kubernetes_api) as found:
        yield found


class Gateway:
    def __init__(self, url, session):
        self.url, self.session = url, session

    async def ask(self, path, method="GET", **options):
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            return await response.json(content_type=None)

    async def policies(self):
        return {each["name"]: each for each in (await self.ask("/quotas/policies"))["policies"]}


@pytest.fixture
async def gateway(tmp_path):
    (tmp_path / "token").write_text(ADMIN)
    port = free_port()
    settings = Settings(
        server=ServerSettings(port=port, state=str(tmp_path / "state")),
        auth=AuthSettings(
            tokens=(
                ApiTokenSettings(
                    user="operator",
                    token=Secret(file=str(tmp_path / "token")),
                    groups=("eo",),
                    charging_group="eo",
                    admin=True,
                ),
            )
        ),
    )
    async with running_gateway(settings) as url, aiohttp.ClientSession() as session:
        yield Gateway(url, session)


@pytest.fixture
def operator(gateway, tmp_path):
    """Start an operator of a cluster, as a context."""

    def start(
        cluster, *, kubeconfig=None, url=None, controller=QUICK.controller, namespaces=(), times=QUICK, **placing
    ):
        settings = OperatorSettings(
            gateway=url or gateway.url,
            token_file=str(tmp_path / "token"),
            placing=Placing(namespace=cluster.namespace, **placing),
            kubeconfig=str(kubeconfig or cluster.kubeconfig),
            namespaces=namespaces,
            times=msgspec.structs.replace(times, controller=controller),
        )
        return running_operator(settings)

    return start
