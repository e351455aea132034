"""A real API server with the kinds that charts make objects of; helm against it."""

import os
import subprocess
import urllib.error
from dataclasses import dataclass
from typing import Any

import yaml
from helm_program import HELM, ROOT, program
from kubernetes_api import KubernetesApi
from waiting import wait_until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OURS = ("edgesites", "groupquotas", "harvestrequests")


@dataclass
class Cluster:
    """What tests do with the API server, in a namespace of their own that takes restricted pods only."""

    api: KubernetesApi
    namespace: str

    def helm(self, *arguments: str, name: str = HELM) -> str:
        """Run helm; return its output. Raises ``AssertionError`` with what it wrote where it fails."""
        command = [program(name), *arguments, "--namespace", self.namespace, "--kubeconfig", str(self.api.kubeconfig)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.api.folder), "TMPDIR": str(self.api.folder)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=180, check=False, cwd=ROOT, env=environment
        )
        assert not done.returncode, done.stderr or done.stdout
        return done.stdout

    def get(self, path: str) -> Any:
        return self.api.request("GET", path)

    def namespaced(self, plural: str, group: str = "api/v1", name: str = "") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def make_namespace(self, name: str) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def wait_established(api: KubernetesApi, name: str) -> None:
    """Wait until a definition's objects can be made."""

    def established() -> bool:
        told = api.request("GET", f"{DEFINITIONS}/{name}").get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in told)

    wait_until(established, what=f"{name} established")


def remove(api: KubernetesApi, definition: dict[str, Any]) -> None:
    """Delete a definition with its objects; nobody is there to let them go."""
    root = f"/apis/lakegate.io/v1alpha1/{definition['spec']['names']['plural']}"
    for each in _objects(api, root):
        meta = each["metadata"]
        place = (
            f"/apis/lakegate.io/v1alpha1/namespaces/{meta['namespace']}"
            if "namespace" in meta
            else root[: root.rindex("/")]
        )
        path = f"{place}/{definition['spec']['names']['plural']}/{meta['name']}"
        if meta.get("finalizers"):
            api.request("PATCH", path, {"metadata": {"finalizers": []}}, kind="application/merge-patch+json")
        else:
            api.request("DELETE", path)
    name = definition["metadata"]["name"]
    api.request("DELETE", f"{DEFINITIONS}/{name}")

    def gone() -> bool:
        return name not in [each["metadata"]["name"] for each in api.request("GET", DEFINITIONS)["items"]]

    wait_until(gone, what=f"{name} deleted")


def _objects(api: KubernetesApi, path: str) -> list[dict[str, Any]]:
    def listed() -> dict[str, Any] | None:
        try:
            return dict(api.request("GET", path))
        except urllib.error.HTTPError as error:
            if error.code != 429:  # of a kind that is so new that it cannot be stored yet
                raise
        return None

    return list(wait_until(listed, what=path)["items"])


def manifests(text: str) -> list[dict[str, Any]]:
    """Return the objects of a rendered chart."""
    return [each for each in yaml.safe_load_all(text) if each]
