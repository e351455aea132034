"""The chart ``lakegate-edge``: safe pods, and a Dask Gateway that trusts the gateway and nobody else."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from helm_program import HELM, HELM_4, ROOT, Refused, containers, of_kind, pods, render, run, scenarios, template

from edges.site.kernel_gateway import kernel_gateway_command, kernel_gateway_environment
from gateway.cli.site import site

CHART = "helm/lakegate-edge"
SCENARIOS = scenarios(CHART)
FULL = f"{CHART}/ci/full-values.yaml"


def edge(values: dict[str, Any] | None = None, *files: str) -> list[dict[str, Any]]:
    return render(values, *files, chart=CHART)


@pytest.mark.parametrize("version", [HELM, HELM_4])
@pytest.mark.parametrize("values", SCENARIOS)
def test_helm_finds_nothing_to_criticise(version, values):
    done = run(version, "lint", CHART, "--strict", "--kube-version=1.34.0", f"--values={values}")
    assert not done.returncode, done.stdout + done.stderr


def test_every_pod_of_an_edge_fits_the_restricted_pod_security_standard():
    found = pods(edge(None, FULL))
    assert len(found) == 2
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "edge:"),
        ({"edge": "a"}, "daskGateway.claimsSecret"),
        ({"daskGateway": {"enabled": False}, "kernelGateway": {"enabled": True}}, "kernelGateway.tokenSecret"),
        ({"edge": "not an id"}, "edge"),
        ({"catalog": {}}, "catalog"),
    ],
)
def test_an_edge_that_would_be_open_or_nameless_is_refused(values, told):
    with pytest.raises(Refused, match=told):
        template(values, chart=CHART)


def test_the_values_for_the_dask_gateway_chart_configure_our_authenticator(tmp_path: Path, monkeypatch):
    [given] = of_kind(edge(None, FULL), "ConfigMap")
    values = yaml.safe_load(given["data"]["values.yaml"])["gateway"]
    assert values["image"] == {"name": "registry.example.org/eo/lakegate", "tag": "0.1.0"}
    variables = {each["name"]: each.get("value", "x" * 32) for each in values["env"]}
    code = values["extraConfig"]["lakegate"].replace("/tmp/", f"{tmp_path}/")
    for name, value in variables.items():
        monkeypatch.setitem(os.environ, name, value)
    settings: Any = SimpleNamespace(
        DaskGateway=SimpleNamespace(),
        LakegateAuthenticator=SimpleNamespace(),
        Backend=SimpleNamespace(),
        ClusterConfig=SimpleNamespace(),
    )
    exec(compile(ast.parse(code), "extraConfig", "exec"), {"c": settings})  # noqa: S102 - what that server does with it
    assert settings.LakegateAuthenticator.audience == "edge-a"
    assert Path(settings.LakegateAuthenticator.secret_file).read_text() == "x" * 32
    assert Path(settings.LakegateAuthenticator.secret_file).stat().st_mode & 0o077 == 0
    assert settings.ClusterConfig.idle_timeout == 1800
    assert settings.ClusterConfig.scheduler_cmd == ["dask", "scheduler"]  # distributed has no dask-scheduler any more
    assert settings.ClusterConfig.worker_cmd == ["dask", "worker"]


def test_the_kernel_gateway_runs_as_the_gateway_needs_it():
    [deployment] = of_kind(edge(None, FULL), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    wanted = kernel_gateway_command(host="0.0.0.0", port=8888)  # noqa: S104 - a pod's one address
    assert container["command"][1:] + container["args"] == wanted[1:]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    for name, value in kernel_gateway_environment(token="secret").items():
        assert name == "KG_AUTH_TOKEN" or variables[name] == value
    assert variables["KG_AUTH_TOKEN"] is None  # by reference


def test_an_image_without_lakegate_runs_the_kernel_gateway_as_it_is():
    values = {"kernelGateway": {"image": "example.org/kernels:1", "maxMessageBytes": 0}}
    [deployment] = of_kind(edge(values, FULL), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "kernel_gateway"]
    assert not [each for each in container["args"] if "Roomy" in each]


def test_the_catalogue_is_served_by_a_command_that_there_is():
    [stateful] = of_kind(edge(None, FULL), "StatefulSet")
    arguments = stateful["spec"]["template"]["spec"]["containers"][0]["args"]
    told = CliRunner().invoke(site, ["serve", "--help"]).output
    for argument in arguments[2:]:
        assert argument.split("=")[0] in told


def test_a_catalogue_calls_nobody_and_only_the_gateway_may_call():
    policies = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each
        for each in of_kind(edge(None, FULL), "NetworkPolicy")
    }
    assert policies["catalogue"]["spec"]["egress"] == []
    for each in policies.values():
        assert each["spec"]["ingress"][0]["from"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_what_is_derived_of_the_charts_is_up_to_date():
    done = subprocess.run(
        [sys.executable, "helm/charts.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("chart", ["lakegate", "lakegate-edge"])
def test_the_versions_of_charts_image_and_package_agree(chart):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((ROOT / "helm" / chart / "Chart.yaml").read_text())["appVersion"] == project["version"]
