"""A real API server with the kinds that charts make objects of."""

import uuid
from collections.abc import Iterator

import pytest
from kubernetes_api import KubernetesApi, kubernetes_api
from kubernetes_definitions import foreign_definitions
from operate_scene import DEFINITIONS, OURS, Cluster, remove, wait_established

__all__ = ["kubernetes_api"]


@pytest.fixture(scope="session")
def foreign_kinds(kubernetes_api: KubernetesApi) -> KubernetesApi:
    """The API server with the kinds of the Gateway API and the Prometheus operator."""
    meta = {"name": "high"}  # which a scenario of the charts names
    kubernetes_api.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": meta, "value": 9})
    for each in foreign_definitions():
        kubernetes_api.apply(each)
        wait_established(kubernetes_api, each["metadata"]["name"])
    return kubernetes_api


@pytest.fixture
def cluster(foreign_kinds: KubernetesApi) -> Iterator[Cluster]:
    """A namespace of the API server; without our kinds, which the charts bring."""
    found = Cluster(foreign_kinds, f"lake-{uuid.uuid4().hex[:6]}")
    found.make_namespace(found.namespace)
    yield found
    for each in foreign_kinds.request("GET", DEFINITIONS)["items"]:
        if each["metadata"]["name"].partition(".")[0] in OURS:
            remove(foreign_kinds, each)
