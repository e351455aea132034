"""The chart ``lakegate``: what it renders is safe, complete and what the gateway reads."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_program import HELM, HELM_4, ROOT, Refused, containers, of_kind, pods, render, run, scenarios, template

from gateway.cli.operator import operator
from gateway.config import parse_settings

CHART = "helm/lakegate"
SCENARIOS = scenarios(CHART)
SEVERAL = {
    "replicas": 2,
    "config": {
        "quotas": {"database": {"existingSecret": "db", "key": "uri"}},
        "auth": {"signing_key": {"existingSecret": "signing", "key": "key"}},
    },
}
OPERATOR = {"enabled": True, "tokenSecret": {"name": "op", "key": "token"}}


def gateway(objects: list[dict[str, Any]]) -> dict[str, Any]:
    found = of_kind(objects, "Deployment")
    return next(each for each in found if each["spec"]["template"]["spec"]["containers"][0]["name"] == "gateway")


def config_of(objects: list[dict[str, Any]], name: str = "rel-lakegate-config") -> str:
    [found] = of_kind(objects, "ConfigMap", name)
    return str(found["data"]["gateway.yaml"])


def kinds(objects: list[dict[str, Any]]) -> set[str]:
    return {each["kind"] for each in objects}


@pytest.mark.parametrize("values", SCENARIOS)
def test_every_pod_fits_the_restricted_pod_security_standard(values):
    for pod in pods(render(None, values)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(pod.get(each) for each in ("hostNetwork", "hostPID", "hostIPC"))
        assert all(
            set(volume) & {"configMap", "secret", "emptyDir", "persistentVolumeClaim"} for volume in pod["volumes"]
        )
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("values", SCENARIOS)
def test_only_the_operator_and_what_makes_jobs_have_a_token_for_the_api_server(values):
    rendered = render(None, values)
    jobs = (
        {"gateway", "harvest-worker"}
        if any("jobs" in each["metadata"]["name"] for each in of_kind(rendered, "Role"))
        else set()
    )
    for pod in pods(rendered):
        assert pod["automountServiceAccountToken"] is (pod["containers"][0]["name"] in {"operator", *jobs})


@pytest.mark.parametrize("values", SCENARIOS)
def test_two_renders_are_equal_byte_by_byte(values):
    first = template(files=(values,))
    again = run(HELM, "template", "rel", CHART, "--namespace=lake", "--kube-version=1.34.0", f"--values={values}")
    assert again.stdout == first


@pytest.mark.parametrize("values", SCENARIOS)
def test_the_configuration_is_one_that_the_gateway_reads(values):
    for each in of_kind(render(None, values), "ConfigMap"):
        if "gateway.yaml" in each.get("data", {}):
            settings = parse_settings(yaml.safe_load(each["data"]["gateway.yaml"]), {}, source=values)
            assert settings.server.host == "0.0.0.0"  # noqa: S104 - a pod has one address, and a NetworkPolicy
            assert settings.server.drain_seconds > 0


@pytest.mark.parametrize("version", [HELM, HELM_4])
@pytest.mark.parametrize("values", SCENARIOS)
def test_helm_3_and_4_find_nothing_to_criticise(version, values):
    done = run(version, "lint", CHART, "--strict", "--kube-version=1.34.0", f"--values={values}")
    assert not done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("values", SCENARIOS)
def test_helm_3_and_4_render_the_same(values):
    assert list(yaml.safe_load_all(template(files=(values,)))) == list(
        yaml.safe_load_all(template(files=(values,), name=HELM_4))
    )


def test_kubernetes_that_is_too_old_is_refused():
    with pytest.raises(Refused, match="kubeVersion"):
        template(kubernetes="1.29.9")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"replica": 2}, "replica"),
        ({"image": {"tga": "x"}}, "tga"),
        ({"replicas": "two"}, "replicas"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"service": {"type": "External"}}, "type"),
        ({"service": {"port": 70000}}, "port"),
        ({"config": {"sever": {}}}, "sever"),
        ({"config": {"server": {"prot": 1}}}, "prot"),
        ({"config": {"sites": [{"id": "a"}]}}, "kind"),
        ({"config": {"auth": {"signing_key": "a secret in the open"}}}, "signing_key"),
        ({"config": {"auth": {"signing_key": {"existingSecret": "a"}}}}, "signing_key"),
        ({"config": {"auth": {"signing_key": {"file": "/a", "env": "B"}}}}, "signing_key"),
        ({"config": {"quotas": {"policies": [{"name": "x"}]}}}, "group"),
        ({"networkPolicy": {"egress": {"sites": [{"cidr": "10.0.0.0/8"}]}}}, "ports"),
        ({"persistence": {"size": "much"}}, "size"),
        ({"serviceMonitor": {"tokenSecret": {"name": "x"}}}, "key"),
    ],
)
def test_values_that_are_wrong_are_refused_by_name(values, told):
    with pytest.raises(Refused, match=told):
        template(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"replicas": 2}, "config.quotas.database"),
        ({"autoscaling": {"enabled": True}}, "config.quotas.database"),
        ({"harvestWorkers": {"enabled": True}}, "config.quotas.database"),
        ({"replicas": 2, "config": {"quotas": SEVERAL["config"]["quotas"]}}, "config.auth.signing_key"),
        ({"operator": {"enabled": True}}, "operator.tokenSecret"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"ingress": {"enabled": True, "hosts": ["a.example.org"]}}, "config.server.public_url"),
        ({"drain": {"terminationGracePeriodSeconds": 10}}, "terminationGracePeriodSeconds"),
        (SEVERAL | {"autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 2}}, "minReplicas"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_the_way_out(values, told):
    with pytest.raises(Refused, match=told):
        template(values)


def test_the_chart_may_be_a_part_of_another(tmp_path):
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "lakegate").symlink_to(ROOT / CHART)
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    part = {"name": "lakegate", "version": "*", "condition": "lakegate.enabled"}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart | {"dependencies": [part]}))
    (parent / "values.yaml").write_text("global: {imageRegistry: mirror.example.org}\nlakegate: {enabled: true}\n")
    image = gateway(render(chart=str(parent)))["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "mirror.example.org/lakegate:0.1.0"
    assert not render({"lakegate": {"enabled": False}}, chart=str(parent))


def test_secrets_are_mounted_as_files_and_named_by_their_path():
    objects = render(None, f"{CHART}/profiles/production.yaml")
    settings = parse_settings(yaml.safe_load(config_of(objects)), {}, source="production")
    secret = settings.quotas.database
    assert secret is not None
    pod = gateway(objects)["spec"]["template"]["spec"]
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    mounted = {mounts[each["name"]]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    folder, _, key = str(secret.file).rpartition("/")
    assert (mounted[folder], key) == ("lakegate-database", "uri")
    named = {"lakegate-database", "lakegate-signing", "lakegate-oidc", "lakegate-edge-a"}
    assert set(mounted.values()) == {*named, "rel-lakegate-sites"}


@pytest.mark.parametrize("values", SCENARIOS)
def test_no_object_is_a_secret_and_no_configuration_holds_one(values):
    objects = render(None, values)
    assert "Secret" not in kinds(objects)
    assert "existingSecret" not in "".join(str(each) for each in objects)


def test_the_operator_and_its_resources_are_there_only_where_wanted():
    assert not kinds(render()) & {"CustomResourceDefinition", "ClusterRole", "Role"}
    assert len(of_kind(render({"operator": OPERATOR}), "CustomResourceDefinition")) == 3
    given = render({"operator": OPERATOR, "crds": {"install": False}})
    assert not of_kind(given, "CustomResourceDefinition")


@pytest.mark.parametrize("keep", [True, False])
def test_definitions_are_upgraded_with_the_chart_and_kept_where_wanted(keep):
    for each in of_kind(render({"operator": OPERATOR, "crds": {"keep": keep}}), "CustomResourceDefinition"):
        kept = each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        assert kept is keep


def test_an_operator_of_some_namespaces_has_no_role_in_the_whole_cluster():
    wide = render({"operator": OPERATOR})
    assert of_kind(wide, "ClusterRole")
    narrow = render(None, f"{CHART}/ci/namespaced-values.yaml")
    assert not kinds(narrow) & {"ClusterRole", "ClusterRoleBinding"}
    assert {each["metadata"]["namespace"] for each in of_kind(narrow, "Role")} == {"lake", "team-a", "team-b"}


def test_no_role_may_list_secrets_or_give_itself_more():
    for role in (
        *of_kind(all_of := render(None, f"{CHART}/profiles/production.yaml"), "ClusterRole"),
        *of_kind(all_of, "Role"),
    ):
        for rule in role["rules"]:
            assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
            assert "secrets" not in rule["resources"] or not {"list", "watch", "delete"} & set(rule["verbs"])
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_probes_look_at_the_gateway_and_a_stop_waits_for_all_that_is_under_way():
    settings = {"drain_seconds": 7.5, "shutdown_seconds": 60}
    pod = gateway(render({"config": {"server": settings}}))["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= stop + 7.5 + 60


def test_one_replica_keeps_its_state_on_a_volume_that_no_second_process_opens():
    objects = render()
    deployment = gateway(objects)
    assert deployment["spec"]["strategy"]["type"] == "Recreate"
    [claim] = of_kind(objects, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_several_replicas_are_replaced_one_by_one_without_a_gap():
    objects = render(SEVERAL)
    assert gateway(objects)["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert not of_kind(objects, "PersistentVolumeClaim")


def test_a_budget_of_disruptions_needs_several_replicas():
    assert not of_kind(render(), "PodDisruptionBudget")
    [budget] = of_kind(render(SEVERAL), "PodDisruptionBudget")
    assert (
        budget["spec"]["selector"]["matchLabels"].items()
        <= gateway(render(SEVERAL))["spec"]["template"]["metadata"]["labels"].items()
    )


def test_where_the_number_of_replicas_is_scaled_the_chart_does_not_set_it():
    objects = render(SEVERAL | {"autoscaling": {"enabled": True}})
    assert "replicas" not in gateway(objects)["spec"]
    [scaler] = of_kind(objects, "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == gateway(objects)["metadata"]["name"]


def test_replicas_are_spread_by_the_labels_that_they_have():
    template_ = gateway(render(SEVERAL))["spec"]["template"]
    spread = template_["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for each in spread:
        assert each["labelSelector"]["matchLabels"].items() <= template_["metadata"]["labels"].items()


def test_a_change_of_the_configuration_restarts_the_pods_and_nothing_else_does():
    def checksum(values: dict[str, Any]) -> Any:
        return gateway(render(values))["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({"replicas": 0})
    assert checksum({}) != checksum({"config": {"limits": {"page_items": 7}}})


def test_large_numbers_stay_numbers():
    amount = 10995116277760
    policy_ = {"name": "s", "group": "*", "resource": "storage_bytes", "kind": "stock", "amount": amount}
    content = yaml.safe_load(config_of(render({"config": {"quotas": {"policies": [policy_]}}})))
    assert parse_settings(content, {}, source="x").quotas.policies[0].amount == amount
    assert isinstance(content["quotas"]["policies"][0]["amount"], int)


def test_transfers_are_done_by_workers_where_there_are_some():
    objects = render(None, f"{CHART}/profiles/production.yaml")
    ours = parse_settings(yaml.safe_load(config_of(objects)), {}, source="gateway")
    theirs = parse_settings(yaml.safe_load(config_of(objects, "rel-lakegate-harvest-config")), {}, source="workers")
    assert ours.harvest.workers == 0
    assert theirs.harvest.workers == 8
    [service] = of_kind(objects, "Service", "rel-lakegate")
    worker = of_kind(objects, "Deployment", "rel-lakegate-harvest")[0]["spec"]["template"]["metadata"]["labels"]
    assert not service["spec"]["selector"].items() <= worker.items()


def test_what_a_user_adds_is_there():
    objects = render(None, f"{CHART}/ci/extras-values.yaml")
    template_ = gateway(objects)["spec"]["template"]
    pod = template_["spec"]
    assert {"name": "RELEASE", "value": "rel"} in pod["containers"][0]["env"]
    assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": "more"}}]
    assert [each["name"] for each in containers(pod)] == ["gateway", "tail", "wait"]
    assert pod["priorityClassName"] == "high"
    assert template_["metadata"]["labels"]["tier"] == "front"
    assert template_["metadata"]["annotations"]["note"] == "here"
    assert {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")} >= {"rel-text", "rel-mapping"}
    assert all(each["metadata"]["annotations"]["owner"] == "eo" for each in of_kind(objects, "Deployment"))


def test_the_image_is_named_by_digest_where_there_is_one():
    [container, *_] = gateway(render(None, f"{CHART}/ci/ingress-values.yaml"))["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.org/eo/lakegate@sha256:")


def notes(folder: Path, *values: str) -> str:
    """Render the notes as data of an object: helm shows notes only where there is a cluster."""
    chart = folder / "lakegate"
    shutil.copytree(ROOT / CHART, chart)
    written = chart / "templates" / "NOTES.txt"
    (chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + written.read_text() + "{{ end }}")
    written.unlink()
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n"
    (chart / "templates" / "notes.yaml").write_text(head + 'data: {notes: {{ include "notes" . | toJson }}}\n')
    [found] = of_kind(render(None, *values, chart=str(chart)), "ConfigMap", "notes")
    return str(found["data"]["notes"])


def test_the_notes_tell_the_next_commands_and_what_is_missing(tmp_path):
    told = notes(tmp_path)
    assert "helm test rel --namespace lake" in told
    assert "config.sites is empty" in told
    assert "nothing is limited" in told


def test_the_notes_of_a_whole_installation_warn_of_nothing_and_tell_how_to_end_it(tmp_path):
    told = notes(tmp_path, f"{CHART}/profiles/production.yaml")
    assert "WARNING" not in told
    assert "kubectl delete harvestrequests,groupquotas,edgesites" in told


def test_every_object_is_in_the_release_namespace_and_bears_the_labels_that_tools_look_for():
    for each in render(None, f"{CHART}/profiles/production.yaml"):
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "lakegate"
        assert each["kind"].startswith(("Cluster", "CustomResource")) or each["metadata"]["namespace"] == "lake"


def test_profiles_are_among_the_scenarios():
    for profile in (ROOT / CHART / "profiles").glob("*.yaml"):
        assert Path(ROOT / CHART / "ci" / f"{profile.stem}-values.yaml").read_text() == profile.read_text()


def test_the_operator_is_started_by_options_that_there_are_and_the_gateway_reads_what_it_writes():
    objects = render({"operator": OPERATOR})
    [deployment] = of_kind(objects, "Deployment", "rel-lakegate-operator")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    known = {option for parameter in operator.params for option in parameter.opts}
    assert {each.split("=")[0] for each in arguments[1:]} <= known
    settings = parse_settings(yaml.safe_load(config_of(objects)), {}, source="operator")
    folder, _, _ = settings.sites_from[0].rpartition("/")
    pod = gateway(objects)["spec"]["template"]["spec"]
    [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["mountPath"] == folder]
    [volume] = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    assert f"--sites-secret={volume['secret']['secretName']}" in arguments
    assert volume["secret"]["optional"] is True
