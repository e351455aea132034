"""The charts at a real API server: applied strictly, installed, upgraded and removed by Helm 3 and 4."""

import json
import subprocess
import urllib.error
from typing import Any

import pytest
import yaml
from helm_program import HELM, HELM_4, ROOT, pods, scenarios, template
from kubernetes_api import KubernetesApi, object_path
from operate_scene import DEFINITIONS, Cluster, manifests, wait_established

pytestmark = pytest.mark.service

OTHERS = ("team-a", "team-b", "harvest-jobs")
"""Namespaces that scenarios name: they are there before the chart is."""
CHARTS = [(chart, each) for chart in ("helm/lakegate", "helm/lakegate-edge") for each in scenarios(chart)]
OPERATOR = {"operator": {"enabled": True, "tokenSecret": {"name": "op", "key": "token"}}}


def applied(api: KubernetesApi, document: dict[str, Any], *, dry: bool = False) -> Any:
    """Apply server-side; a member that the API server does not know is refused."""
    query = "fieldManager=test&force=true&fieldValidation=Strict" + ("&dryRun=All" if dry else "")
    path = f"{object_path(document)}?{query}"
    try:
        return api.request("PATCH", path, document, kind="application/apply-patch+yaml")
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()[:2_000]) from error


@pytest.mark.parametrize(("chart", "values"), CHARTS)
def test_every_object_is_taken_by_the_api_server_in_a_namespace_of_restricted_pods(
    cluster: Cluster, chart: str, values: str
):
    for other in OTHERS:
        cluster.make_namespace(other)
    objects = manifests(
        template(chart=chart, files=(values,)).replace("namespace: lake\n", f"namespace: {cluster.namespace}\n")
    )
    assert objects
    for each in objects:
        each["metadata"].setdefault("namespace", cluster.namespace)
        applied(cluster.api, each)
        if each["kind"] == "CustomResourceDefinition":
            wait_established(cluster.api, each["metadata"]["name"])
    claims = [
        {"name": claim["metadata"]["name"], "emptyDir": {}}
        for each in objects
        for claim in each.get("spec", {}).get("volumeClaimTemplates", ())
    ]
    for number, pod in enumerate(pods(objects)):
        pod["volumes"] = pod.get("volumes", []) + claims
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "namespace": cluster.namespace}}
        applied(cluster.api, made | {"spec": pod}, dry=True)


@pytest.mark.parametrize("helm", [HELM, HELM_4])
@pytest.mark.parametrize(("chart", "values"), CHARTS)
def test_helm_installs_upgrades_and_removes_every_scenario(cluster: Cluster, chart: str, values: str, helm: str):
    for other in OTHERS:
        cluster.make_namespace(other)
    cluster.helm("install", "rel", chart, "--values", values, name=helm)
    cluster.helm("upgrade", "rel", chart, "--values", values, name=helm)
    [release] = json.loads(cluster.helm("list", "--output", "json", name=helm))
    assert (release["status"], release["revision"]) == ("deployed", "2")
    cluster.helm("uninstall", "rel", name=helm)
    assert not cluster.get(cluster.namespaced("deployments", "apis/apps/v1"))["items"]


def test_definitions_and_the_volume_outlive_the_release_and_are_taken_up_by_the_next(cluster: Cluster):
    values = ["--set-json", f"operator={json.dumps(OPERATOR['operator'])}"]
    cluster.helm("install", "rel", "helm/lakegate", *values)
    quotas = f"{DEFINITIONS}/groupquotas.lakegate.io"
    claim = cluster.namespaced("persistentvolumeclaims", name="rel-lakegate-state")
    before = [cluster.get(path)["metadata"]["uid"] for path in (quotas, claim)]
    cluster.helm("uninstall", "rel")
    cluster.helm("install", "rel", "helm/lakegate", *values)
    assert [cluster.get(path)["metadata"]["uid"] for path in (quotas, claim)] == before


def first_chart(folder: Any) -> str:
    """Write the chart as it was first released (or first kept), and return its folder."""
    found = subprocess.run(
        ["git", "log", "--diff-filter=A", "--format=%H", "--", "helm/lakegate/Chart.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    tags = subprocess.run(
        ["git", "tag", "--list", "v*", "--sort=-creatordate"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not found and not tags:
        pytest.skip("the history is not here: no earlier chart to upgrade from")
    archive = subprocess.run(
        ["git", "archive", tags[0] if tags else found[-1], "helm/lakegate"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return str(folder / "helm" / "lakegate")


@pytest.mark.parametrize(("before", "after"), [(HELM, HELM), (HELM, HELM_4), (HELM_4, HELM_4)])
def test_an_upgrade_from_the_last_chart_loses_nothing(cluster: Cluster, tmp_path: Any, before: str, after: str):
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(OPERATOR))
    cluster.helm("install", "rel", first_chart(tmp_path), "--set", "operator.enabled=true", name=before)
    wait_established(cluster.api, "groupquotas.lakegate.io")
    policy = {"name": "day", "resource": "requests", "kind": "concurrent", "amount": 5}
    quota = {
        "apiVersion": "lakegate.io/v1alpha1",
        "kind": "GroupQuota",
        "metadata": {"name": "eo"},
        "spec": {"group": "eo", "policies": [policy]},
    }
    applied(cluster.api, quota)
    deployment = cluster.namespaced("deployments", "apis/apps/v1", "rel-lakegate")
    claim = cluster.namespaced("persistentvolumeclaims", name="rel-lakegate-state")
    told = {"spec": {"template": {"metadata": {"annotations": {"lakegate.io/sites-version": "7"}}}}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "rel-lakegate"}, **told}
    where = f"{deployment}?fieldManager=lakegate-operator&force=true"
    cluster.api.request("PATCH", where, body, kind="application/apply-patch+yaml")
    kept = [deployment, claim, "/apis/lakegate.io/v1alpha1/groupquotas/eo", f"{DEFINITIONS}/edgesites.lakegate.io"]
    uids = [cluster.get(path)["metadata"]["uid"] for path in kept]
    cluster.helm("upgrade", "rel", "helm/lakegate", "--values", str(values), name=after)
    assert [cluster.get(path)["metadata"]["uid"] for path in kept] == uids
    assert cluster.get(kept[2])["spec"]["policies"][0]["amount"] == 5
    annotations = cluster.get(deployment)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["lakegate.io/sites-version"] == "7"
    for file in sorted((ROOT / "helm" / "lakegate" / "files" / "crds").glob("*.yaml")):
        ours = yaml.safe_load(file.read_text())
        theirs = cluster.get(f"{DEFINITIONS}/{ours['metadata']['name']}")
        schema = theirs["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert (
            schema["properties"]["spec"]
            == ours["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        )


@pytest.mark.parametrize("helm", [HELM, HELM_4])
def test_an_upgrade_leaves_the_number_of_replicas_to_the_autoscaler(cluster: Cluster, helm: str):
    values = "helm/lakegate/ci/production-values.yaml"
    cluster.helm("install", "rel", "helm/lakegate", "--values", values, name=helm)
    deployment = cluster.namespaced("deployments", "apis/apps/v1", "rel-lakegate")
    scale = cluster.get(f"{deployment}/scale")
    scale["spec"]["replicas"] = 7
    cluster.api.request("PUT", f"{deployment}/scale", scale)
    cluster.helm("upgrade", "rel", "helm/lakegate", "--values", values, "--set", "logs.level=DEBUG", name=helm)
    assert cluster.get(deployment)["spec"]["replicas"] == 7
