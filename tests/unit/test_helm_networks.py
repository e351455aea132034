"""The chart ``lakegate``: who may reach its pods, by which ways, and whom they may call."""

from typing import Any

import pytest
from helm_program import of_kind, render, scenarios

CHART = "helm/lakegate"
PUBLIC = {"server": {"public_url": "https://lake.example.org"}}
METADATA_ADDRESS = "169.254.0.0/16"


def policy(objects: list[dict[str, Any]], component: str) -> dict[str, Any]:
    found = [each for each in of_kind(objects, "NetworkPolicy") if each["metadata"]["name"].endswith(f"-{component}")]
    return dict(found[0]["spec"])


@pytest.mark.parametrize("values", [each for each in scenarios(CHART) if "namespaced" not in each])
def test_every_pod_has_a_policy_for_both_directions_and_names(values):
    objects = render(None, values)
    policies = of_kind(objects, "NetworkPolicy")
    for owner in (*of_kind(objects, "Deployment"), *of_kind(objects, "Pod")):
        labels = owner.get("spec", {}).get("template", owner)["metadata"]["labels"]
        [found] = [p["spec"] for p in policies if p["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        assert found["policyTypes"] == ["Ingress", "Egress"]
        assert {"port": 53, "protocol": "UDP"} in found["egress"][0]["ports"]


def test_public_sites_may_be_called_and_the_metadata_address_never():
    blocks = [
        to["ipBlock"] for rule in policy(render(), "gateway")["egress"] for to in rule.get("to", []) if "ipBlock" in to
    ]
    [ipv4] = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
    assert METADATA_ADDRESS in ipv4["except"]
    assert "10.0.0.0/8" in ipv4["except"]


def test_private_sites_databases_and_dask_gateways_are_let_out_by_name():
    egress = policy(render(None, f"{CHART}/ci/ingress-values.yaml"), "gateway")["egress"]
    assert {"cidr": "0.0.0.0/0"}.items() not in [
        to.get("ipBlock", {}).items() for rule in egress for to in rule.get("to", [])
    ]
    ports = {port["port"] for rule in egress for port in rule["ports"]}
    assert {8500, 9000, 8000, 8786} <= ports
    database = policy(render(None, f"{CHART}/profiles/production.yaml"), "harvest-worker")["egress"]
    assert any(port["port"] == 5432 for rule in database for port in rule["ports"])


def test_a_network_named_as_everything_still_leaves_the_metadata_address_out():
    values = {"networkPolicy": {"egress": {"sites": [{"cidr": "0.0.0.0/0", "ports": [443]}]}}}
    rules = policy(render(values), "gateway")["egress"]
    blocks = [
        to["ipBlock"] for rule in rules for to in rule.get("to", []) if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    assert all(any(net.startswith("169.254.") for net in block["except"]) for block in blocks)


def test_only_named_peers_are_let_in_where_some_are_named():
    peer = {"namespaceSelector": {"matchLabels": {"team": "web"}}}
    [rule] = policy(render({"networkPolicy": {"ingress": {"from": [peer]}}}), "gateway")["ingress"]
    assert peer in rule["from"]


def test_a_route_of_the_gateway_api_an_ingress_or_neither():
    assert not {each["kind"] for each in render()} & {"HTTPRoute", "Ingress"}
    [route] = of_kind(
        render({"config": PUBLIC, "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}), "HTTPRoute"
    )
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}  # kernels' websockets last
    [ingress] = of_kind(render(None, f"{CHART}/ci/ingress-values.yaml"), "Ingress")
    assert "annotations" not in ingress["metadata"]  # for any controller


def test_comms_have_a_service_of_their_own_where_https_ends_before_the_gateway():
    objects = render({"comms": {"enabled": True}})
    [comms] = of_kind(objects, "Service", "rel-lakegate-comms")
    [http] = of_kind(objects, "Service", "rel-lakegate")
    assert comms["spec"]["selector"] == http["spec"]["selector"]
