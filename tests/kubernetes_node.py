"""A node for tests: makes pods of Deployments, and runs pods as processes, as controllers and a kubelet would.

Containers are ``lakegate`` (or a shell) of this checkout. There is no mount namespace: what a pod has mounted are
folders, and its paths are told to it as those, in its arguments and in the configuration that it has mounted. Pods
and Services have addresses of 127.0.0.0/8, so each listens at the port that the chart says.
"""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes_api import KubernetesApi

Object = dict[str, Any]
PROGRAMS = Path(sys.executable).parent
_ADDRESSES = itertools.count(2)
_MERGE = "application/merge-patch+json"


def address() -> str:
    """Return an address of this machine that nobody else of this run has."""
    number = next(_ADDRESSES)
    return f"127.{os.getpid() % 200 + 20}.{number // 250}.{number % 250 + 1}"


@dataclass
class Running:
    """A pod and its process."""

    name: str
    ip: str
    folder: Path
    process: asyncio.subprocess.Process
    ready: bool = False
    ending: bool = False


@dataclass
class Node:
    """``services``: where each Service listens; a proxy for each passes on to pods that are ready."""

    api: KubernetesApi
    namespace: str
    folder: Path
    pods: dict[str, Running] = field(default_factory=dict)
    services: dict[str, tuple[str, int]] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        """Look after the namespace while the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for server in self._servers:
                server.close()
            for pod in self.pods.values():
                with contextlib.suppress(ProcessLookupError):
                    pod.process.kill()
                await pod.process.wait()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(urllib.error.URLError, TimeoutError, ConnectionError):
                await self._services()
                await self._deployments()
                await self._pods()
            await asyncio.sleep(0.1)

    async def _ask(self, method: str, path: str, body: Object | None = None, *, kind: str = "") -> Any:
        return await asyncio.to_thread(self.api.request, method, path, body, kind=kind)

    async def _all(self, plural: str, group: str = "api/v1") -> list[Object]:
        found = await self._ask("GET", f"/{group}/namespaces/{self.namespace}/{plural}")
        return list(found["items"])

    # Services.

    async def _services(self) -> None:
        for each in await self._all("services"):
            name = each["metadata"]["name"]
            if name in self.services or not each["spec"].get("selector"):
                continue
            ip, port = address(), int(each["spec"]["ports"][0]["port"])
            selector, target = each["spec"]["selector"], 8400
            serving = await asyncio.start_server(
                lambda reader, writer, selector=selector, target=target: self._pass(selector, target, reader, writer),
                ip,
                port,
            )
            self._servers.append(serving)
            self.services[name] = (ip, port)
            (self.folder / "services.json").write_text(json.dumps(self.services))

    async def _pass(
        self, selector: Object, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        names = {
            each["metadata"]["name"]
            for each in await self._all("pods")
            if selector.items() <= each["metadata"]["labels"].items()
        }
        ready = [each for each in self.pods.values() if each.name in names and each.ready]
        if not ready:
            writer.close()
            return
        with contextlib.suppress(ConnectionError, OSError):
            there, away = await asyncio.open_connection(ready[0].ip, target)
            await asyncio.gather(_pump(reader, away), _pump(there, writer))

    # Deployments.

    async def _deployments(self) -> None:
        pods = await self._all("pods")
        for each in await self._all("deployments", "apis/apps/v1"):
            await self._bring(each, pods)

    async def _bring(self, deployment: Object, pods: list[Object]) -> None:
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        wanted = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        owned = [each for each in pods if each["metadata"]["labels"].get("test/deployment") == name]
        fresh = [each for each in owned if each["metadata"]["labels"]["pod-template-hash"] == wanted]
        stale = [each for each in owned if each not in fresh]
        ready = [each for each in fresh if self._ready(each)]
        replicas = int(spec.get("replicas", 1))
        recreate = spec.get("strategy", {}).get("type") == "Recreate"
        if stale and (recreate or len(ready) >= replicas):
            for each in stale:
                await self._delete(each)
        elif len(fresh) < replicas and not (stale and recreate):
            await self._create(name, wanted, spec["template"])
        available = {"type": "Available", "status": "True" if len(ready) >= replicas else "False", "reason": "Test"}
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(owned),
            "updatedReplicas": len(fresh),
            "readyReplicas": len(ready),
            "availableReplicas": len(ready),
            "unavailableReplicas": max(0, replicas - len(ready)),
            "conditions": [available],
        }
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}/status"
        if {key: deployment.get("status", {}).get(key, 0) for key in ("updatedReplicas", "observedGeneration")} != {
            "updatedReplicas": len(fresh),
            "observedGeneration": status["observedGeneration"],
        } or deployment["status"].get("readyReplicas", 0) != len(ready):
            await self._ask("PATCH", path, {"status": status}, kind=_MERGE)

    def _ready(self, pod: Object) -> bool:
        found = self.pods.get(pod["metadata"]["name"])
        return found is not None and found.ready and not pod["metadata"].get("deletionTimestamp")

    async def _create(self, deployment: str, wanted: str, template: Object) -> None:
        meta = template["metadata"]
        labels = meta["labels"] | {"test/deployment": deployment, "pod-template-hash": wanted}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "generateName": f"{deployment}-{wanted}-",
                "labels": labels,
                "annotations": meta.get("annotations", {}),
            },
            "spec": template["spec"] | {"nodeName": "test"},
        }
        await self._ask("POST", f"/api/v1/namespaces/{self.namespace}/pods", pod)

    async def _delete(self, pod: Object) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            await self._ask("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}")

    # Pods.

    async def _pods(self) -> None:
        found = {each["metadata"]["name"]: each for each in await self._all("pods")}
        for name, pod in found.items():
            if name not in self.pods and not pod["metadata"].get("deletionTimestamp"):
                self.pods[name] = await self._start(pod)
        for name, held in list(self.pods.items()):
            await self._look(held, found.get(name))

    async def _look(self, held: Running, pod: Object | None) -> None:
        over = held.process.returncode
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            held.ready = False
            if over is None and not held.ending:
                held.ending = True
                held.process.send_signal(signal.SIGTERM)
            elif over is not None:
                del self.pods[held.name]
                if pod is not None:
                    path = f"/api/v1/namespaces/{self.namespace}/pods/{held.name}?gracePeriodSeconds=0"
                    await self._ask("DELETE", path)
            return
        if over is not None:
            if pod["spec"].get("restartPolicy", "Always") == "Always":
                del self.pods[held.name]  # it is started again
                return
            await self._tell(held, "Succeeded" if over == 0 else "Failed")
        elif not held.ready and await _answers(pod, held.ip):
            held.ready = True
            await self._tell(held, "Running")

    async def _tell(self, held: Running, phase: str) -> None:
        truth = "True" if phase == "Running" else "False"
        ready = {"type": "Ready", "status": truth}
        status = {"phase": phase, "podIP": held.ip, "conditions": [ready]}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{held.name}/status"
        await self._ask("PATCH", path, {"status": status}, kind=_MERGE)

    async def _start(self, pod: Object) -> Running:
        await self._services()  # those that the pod may name were made before it
        name, spec = pod["metadata"]["name"], pod["spec"]
        folder, ip = self.folder / name, address()
        folder.mkdir(exist_ok=True)
        [container] = spec["containers"]
        places = await self._mounted(spec, container, folder, ip)
        command = container.get("command") or ["lakegate"]
        arguments = [self._local(each, places, ip) for each in (*command, *container.get("args", ()))]
        if spec.get("automountServiceAccountToken"):
            token = await asyncio.to_thread(self.api.token_of, self.namespace, spec["serviceAccountName"])
            (folder / "kubeconfig").write_text(self.api.config_for(token))
            arguments.append(f"--kubeconfig={folder / 'kubeconfig'}")
        environment = {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "TMPDIR": str(folder)}
        for each in container.get("env", ()):
            environment[each["name"]] = await self._value(each, ip)
        with (folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *arguments, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, env=environment, cwd=folder
            )
        return Running(name, ip, folder, process)

    async def _value(self, variable: Object, ip: str) -> str:
        if "value" in variable:
            return self._local(str(variable["value"]), {}, ip)
        reference = variable["valueFrom"]["secretKeyRef"]
        found = await self._ask("GET", f"/api/v1/namespaces/{self.namespace}/secrets/{reference['name']}")
        return base64.b64decode(found["data"][reference["key"]]).decode()

    async def _mounted(self, spec: Object, container: Object, folder: Path, ip: str) -> dict[str, str]:
        """Write what the container has mounted; return where each path is."""
        volumes = {each["name"]: each for each in spec.get("volumes", ())}
        places: dict[str, str] = {}
        files: dict[Path, bytes] = {}
        for mount in container.get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            place = folder / mount["name"]
            if claim := volume.get("persistentVolumeClaim"):
                place = self.folder / f"claim-{claim['claimName']}"
            place.mkdir(exist_ok=True)
            files |= {place / name: content for name, content in (await self._content(volume)).items()}
            places[mount["mountPath"]] = str(place / mount["subPath"] if "subPath" in mount else place)
        for file, content in files.items():
            text = content.decode()
            file.write_text(self._local(text, places, ip) if file.suffix == ".yaml" else text)
        return places

    async def _content(self, volume: Object) -> dict[str, bytes]:
        """What a volume holds at its start."""
        base = f"/api/v1/namespaces/{self.namespace}"
        if named := volume.get("configMap"):
            found = await self._ask("GET", f"{base}/configmaps/{named['name']}")
            return {name: text.encode() for name, text in found.get("data", {}).items()}
        if named := volume.get("secret"):
            try:
                found = await self._ask("GET", f"{base}/secrets/{named['secretName']}")
            except urllib.error.HTTPError:
                if named.get("optional"):
                    return {}
                raise
            return {name: base64.b64decode(text) for name, text in found.get("data", {}).items()}
        return {}

    def _local(self, text: str, places: dict[str, str], ip: str) -> str:
        """Tell a text's paths and addresses as they are on this machine."""
        for path in sorted(places, key=len, reverse=True):
            if path != "/tmp":
                text = text.replace(path, places[path])
        for name, (host, port) in self.services.items():
            text = text.replace(f"http://{name}:{port}", f"http://{host}:{port}")
        return text.replace("host: 0.0.0.0", f"host: {ip}")

    def logs(self) -> str:
        """What all pods wrote, for a test that fails."""
        return "\n".join(f"== {each}\n{each.read_text()[-3_000:]}" for each in sorted(self.folder.glob("*/log")))


async def _answers(pod: Object, ip: str) -> bool:
    """Tell whether a pod is ready, as its probe says."""
    probe = pod["spec"]["containers"][0].get("readinessProbe")
    if probe is None:
        return True

    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://{ip}:8400{probe['httpGet']['path']}", timeout=3) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return await asyncio.to_thread(ask)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
