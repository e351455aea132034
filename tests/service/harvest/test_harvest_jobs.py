"""Orders carried by Jobs on a real Kubernetes API server; the test plays controller and kubelet."""

import asyncio
import base64
import json
import os
import subprocess
import uuid

import aiohttp
import pytest
from harvest_elsewhere import LAKEGATE, far, publish
from harvest_outcome import all_right
from helm_program import of_kind, render
from kubernetes_api import kubernetes_api
from waiting import until

from gateway.house.kubernetes_jobs import Jobs
from gateway.operator.api import KubernetesApi, connected
from gateway.operator.errors import KubernetesError
from harvest.executors.kubernetes import QUEUE_LABEL, RUN_LABEL, KubernetesExecutor
from harvest.executors.seams import Errand, ExecutorFailed
from harvest.settings_executors import KubernetesJobs

__all__ = ["kubernetes_api"]

pytestmark = pytest.mark.service

IMAGE = "registry.example/lakegate:1"


class Place:
    """A namespace that takes restricted pods only, and an account with the rights that the chart gives."""

    def __init__(self, server, admin):
        self.server, self.admin = server, admin
        self.namespace = f"jobs-{uuid.uuid4().hex[:6]}"
        self.processes = []

    async def prepare(self):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await self.admin.create("/api/v1/namespaces", {"metadata": {"name": self.namespace, "labels": labels}})
        jobs = {"namespace": self.namespace, "image": IMAGE}
        values = {"config": {"harvest": {"executors": {"kubernetes": jobs}}}}
        rendered = await asyncio.to_thread(render, values)
        await self.admin.create(self._core("serviceaccounts"), {"metadata": {"name": "gateway"}})
        role = next(each for each in of_kind(rendered, "Role") if each["metadata"].get("namespace") == self.namespace)
        binding = next(
            each for each in of_kind(rendered, "RoleBinding") if each["metadata"].get("namespace") == self.namespace
        )
        binding["subjects"] = [{"kind": "ServiceAccount", "name": "gateway", "namespace": self.namespace}]
        rules = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        await self.admin.create(f"{rules}/roles", role)
        await self.admin.create(f"{rules}/rolebindings", binding)

    async def kubeconfig(self, folder):
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        told = await self.admin.create(f"{self._core('serviceaccounts')}/gateway/token", asked)
        file = folder / "kubeconfig"
        file.write_text(self.server.config_for(told["status"]["token"]))
        return file

    def _core(self, plural):
        return f"/api/v1/namespaces/{self.namespace}/{plural}"

    @property
    def jobs(self):
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    async def found(self):
        """Wait until there is one Job, and return it."""

        async def there():
            jobs = (await self.admin.list(self.jobs)).items
            return jobs[0] if len(jobs) == 1 else None

        return await until(there, seconds=30, what="one Job")

    async def play(self, job):
        """Make the Job's pods, as its controller would, and run their command, as a kubelet would."""
        template = job["spec"]["template"]
        for number in range(job["spec"]["parallelism"]):
            name = f"{job['metadata']['name']}-{number}"
            meta = {"name": name, "labels": template["metadata"]["labels"]}
            await self.admin.create(
                self._core("pods"), {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
            )
            container = template["spec"]["containers"][0]
            environment = {each["name"]: await self._value(each) for each in container["env"]}
            self.processes.append(started(container["command"], environment))
        return self.processes[-job["spec"]["parallelism"] :]

    async def _value(self, variable):
        if "value" in variable:
            return variable["value"]
        reference = variable["valueFrom"]["secretKeyRef"]
        secret = await self.admin.get(f"{self._core('secrets')}/{reference['name']}")
        return base64.b64decode(secret["data"][reference["key"]]).decode()

    async def tell(self, job, kind):
        """Say that a Job is complete, or has failed."""
        now = "2026-01-01T00:00:00Z"
        before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        conditions = [
            {"type": each, "status": "True", "lastTransitionTime": now, "message": "told by the test"}
            for each in (before, kind)
        ]
        status = {"conditions": conditions, "startTime": now} | ({"completionTime": now} if kind == "Complete" else {})
        await self.admin.merge(f"{self.jobs}/{job['metadata']['name']}/status", {"status": status})

    async def empty(self):
        """Tell whether no Job and no Secret of a run is left."""
        jobs = (await self.admin.list(self.jobs)).items
        secrets = (await self.admin.list(self._core("secrets"))).items
        return not jobs and not [each for each in secrets if RUN_LABEL in each["metadata"].get("labels", {})]

    async def emptied(self, seconds=20.0):
        await until(self.empty, seconds=seconds, what="the end of all that a run had")

    def close(self):
        for each in self.processes:
            each.kill()
            each.wait(10)


def started(command, environment):
    assert command[0] == "lakegate"
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.Popen([LAKEGATE, *command[1:]], env=kept | environment)


@pytest.fixture
async def place(kubernetes_api):
    async with connected(kubernetes_api.kubeconfig) as client:
        found = Place(kubernetes_api, KubernetesApi(api=client))
        await found.prepare()
        try:
            yield found
        finally:
            await asyncio.to_thread(found.close)


@pytest.fixture
async def executor(place, tmp_path):
    """An executor as the gateway has it, with no more rights than the chart gives."""
    async with connected(await place.kubeconfig(tmp_path)) as client:
        settings = KubernetesJobs(namespace=place.namespace, image=IMAGE)
        yield KubernetesExecutor(api=Jobs(KubernetesApi(api=client)), settings=settings)


async def test_an_order_is_carried_by_restricted_pods_and_nothing_of_them_is_left(scene, origin, place, executor):
    bodies = publish(scene, origin, small=6)
    async with far(scene, executor=executor, name="kubernetes", workers=2) as there:
        order = await there.live.order()
        job = await place.found()
        assert there.tokens.token(job["metadata"]["labels"][RUN_LABEL]) not in json.dumps(job)
        await place.play(job)
        assert (await there.live.settled(order.id, 60)).state == "OK"
        await all_right(there.live, bodies)
        await place.emptied()


async def test_a_job_that_failed_is_followed_by_another_which_goes_on(scene, origin, place, executor):
    bodies = publish(scene, origin)
    origin.gate = asyncio.Event()
    async with far(scene, executor=executor, name="kubernetes") as there:
        order = await there.live.order()
        first = await place.found()
        (worker,) = await place.play(first)
        await there.live.uploads(30)
        worker.kill()
        await place.tell(first, "Failed")
        origin.gate.set()

        async def another():
            jobs = (await place.admin.list(place.jobs)).items
            return jobs[0] if jobs and jobs[0]["metadata"]["name"] != first["metadata"]["name"] else None

        await place.play(await until(another))
        assert (await there.live.settled(order.id, 60)).state == "OK"
        await all_right(there.live, bodies)
        await place.emptied()


async def test_a_cancelled_order_ends_its_job(scene, origin, place, executor):
    publish(scene, origin)
    async with far(scene, executor=executor, name="kubernetes") as there:
        order = await there.live.order()
        await place.found()
        await there.live.harvester.cancel(order.id)
        await place.emptied()


def errand(**changes):
    plain = {
        "run": uuid.uuid4().hex, "order": uuid.uuid4().hex, "target": "edge-a", "group": "root/team", "user": "ann",
        "url": "http://127.0.0.1:1", "token": "t" * 64, "workers": 3, "seconds": 60.0,
    }  # fmt: skip
    return Errand(**plain | changes)


async def test_what_was_begun_twice_is_there_once_and_what_is_gone_has_failed(place, executor):
    run = errand()
    name = await executor.start(run)
    assert await executor.start(run) == name
    await place.found()
    assert (await executor.look(run, name)).health == "working"
    await executor.stop(run, "")
    await executor.stop(run, name)
    assert await place.empty()
    assert (await executor.look(run, name)).health == "failed"


async def test_with_a_queue_a_job_waits_for_admission(place, tmp_path):
    async with connected(await place.kubeconfig(tmp_path)) as client:
        settings = KubernetesJobs(namespace=place.namespace, image=IMAGE, queue="harvests")
        executor, run = KubernetesExecutor(api=Jobs(KubernetesApi(api=client)), settings=settings), errand()
        name = await executor.start(run)
        job = await place.found()
        assert (job["metadata"]["labels"][QUEUE_LABEL], job["spec"]["suspend"]) == ("harvests", True)
        assert "admission" in (await executor.look(run, name)).reason


async def test_the_account_can_do_no_more_than_runs_need(place, tmp_path):
    async with connected(await place.kubeconfig(tmp_path)) as client:
        api = KubernetesApi(api=client)
        for path in (f"/api/v1/namespaces/{place.namespace}/secrets", "/api/v1/namespaces", place.jobs):
            with pytest.raises(KubernetesError, match="forbidden"):
                await api.list(path)
        with pytest.raises(KubernetesError, match="forbidden"):
            await api.get(f"/api/v1/namespaces/{place.namespace}/secrets/any")


async def test_an_api_server_that_is_not_there_is_an_executor_that_failed(tmp_path, kubernetes_api):
    file = tmp_path / "kubeconfig"
    file.write_text(kubernetes_api.config_for("none").replace(str(kubernetes_api.port), "1"))
    async with connected(file) as client, aiohttp.ClientSession():
        settings = KubernetesJobs(namespace="default", image=IMAGE)
        executor = KubernetesExecutor(api=Jobs(KubernetesApi(api=client)), settings=settings)
        with pytest.raises(ExecutorFailed):
            await executor.start(errand())
