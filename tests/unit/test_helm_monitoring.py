"""Alerts and dashboards look at metrics that there are, and each alert has a runbook."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_program import PROMTOOL, ROOT, of_kind, render, run
from prometheus_client import CollectorRegistry

from gateway.app import furnish
from gateway.compute_metrics import ClusterMetrics, KernelMetrics, tell_comms
from gateway.data.metrics import DownloadMetrics
from gateway.harvests.metrics import HarvestMetrics
from gateway.middleware import RequestMetrics
from gateway.order_metrics import DataOrderMetrics, HookOrderMetrics
from gateway.quota.metrics import LevelMetrics, RefusalMetrics
from gateway.settings import ServerSettings, Settings
from gateway.site_metrics import SiteMetrics
from harvest.beside.crew import CrewFigures
from harvest.stats import Claims, Stats
from quotas.sqlite import SqliteLedger

CHART = ROOT / "helm" / "lakegate"
RUNBOOKS = ROOT / "docs" / "runbooks"
NAME = re.compile(r"\blakegate_\w+")
SELECTOR = re.compile(r"(lakegate_\w+)\{([^}]*)\}")
BOUNDED = frozenset(
    [
        "route",
        "method",
        "outcome",
        "le",
        "site",
        "edge",
        "code",
        "trouble",
        "won",
        "fate",
        "state",
        "kind",
        "end",
        "policy",
        "reason",
        "resource",
        "rule",
        "executor",
    ]
)
"""Labels whose values are of the configuration, of a table, or cut off at a number of series."""
QUOTA_LEVELS = {f"lakegate_quota_{each}" for each in ("used", "reserved", "limit", "fullest_ratio")}
"""Told by a collector that asks the ledger; its labels are policy and edge."""


class Idle:
    """A harvester with one of each figure."""

    async def stats(self) -> Stats:
        one = {
            "orders": {"ACTIVE": 1}, "rules": {"OK": 1}, "deliveries": {"dead": 1}, "moved": {"edge-a": 1},
            "lag": {"rule": 1.0}, "run_failures": {"dask": 1}, "silence": {"dask": 1.0},
        }  # fmt: skip
        return Stats(
            objects={("edge-a", "AVAILABLE"): (1, 1)},
            retries=1,
            claims=Claims(),
            runs={("dask", "working"): 1},
            **one,  # type: ignore[arg-type]
        )

    def crew(self) -> CrewFigures:
        return CrewFigures(living=(), carried=1, deaths=0)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for path in sorted((CHART / "files" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def told() -> dict[str, set[str]]:
    """Return the names of the series that the gateway tells, with their labels."""
    registry = CollectorRegistry()
    for metrics in (RequestMetrics, RefusalMetrics, SiteMetrics):
        metrics(registry)
    HarvestMetrics(registry, harvester=Idle())._stats = asyncio.run(Idle().stats())
    ClusterMetrics(registry, edges=["edge-a"], routes=[])
    KernelMetrics(registry, edges=["edge-a"], records=[])
    tell_comms(registry, int)
    DownloadMetrics(registry, sites=["edge-a"], in_flight=lambda _: 0)
    DataOrderMetrics(registry, sites=["hub"], stagings=[])
    HookOrderMetrics(registry, orders=[])
    LevelMetrics(registry, ledger=SqliteLedger(Path("never-opened"), []))
    found: dict[str, set[str]] = {}
    for collector in list(registry._collector_to_names):
        for metric in collector.collect():
            labels = set(getattr(collector, "_labelnames", ())) or {
                label for sample in metric.samples for label in sample.labels
            }
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
            found |= {metric.name + end: labels | ({"le"} if end == "_bucket" else set()) for end in ends}
    return found | {name: {"policy", "edge"} for name in QUOTA_LEVELS}


TOLD = told()


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_names_series_and_labels_that_there_are(where, expression):
    names = set(NAME.findall(expression))
    assert names, where
    assert names <= set(TOLD)
    for name, selector in SELECTOR.findall(expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) <= TOLD[name]
    grouped = {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", expression)
        for label in labels.split(",")
        if label.strip() != "le"
    }
    assert grouped <= set().union(*(TOLD[name] for name in names))


async def test_every_route_that_an_expression_names_is_served(tmp_path):
    async with AsyncExitStack() as stack:
        house, _ = await furnish(Settings(server=ServerSettings(state=str(tmp_path / "state"))), stack)
        routes = {route.resource.canonical for route in house.application().router.routes()}
        series = {name for metric in house.metrics.collect() for name in (metric.name, f"{metric.name}_total")}
    named = [
        (where, choice)
        for where, expression in expressions()
        for told in re.findall(r'route(?:=~|!~|!=|=)"([^"]*)"', expression)
        for choice in told.split("|")
    ]
    assert [where for where, choice in named if not any(re.fullmatch(choice, each) for each in routes)] == []
    assert {"lakegate_hook_orders", "lakegate_data_orders", "lakegate_requests"} <= series


def test_every_series_that_is_told_is_in_a_dashboard_or_an_alert():
    shown = {name for _, expression in expressions() for name in NAME.findall(expression)}
    unseen = {name for name in TOLD if not name.endswith(("_sum", "_count"))} - shown
    assert not unseen


def test_every_label_is_of_few_values_and_none_of_what_users_choose():
    assert set().union(*TOLD.values()) <= BOUNDED


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {rule["alert"] for rule in rules()} == {path.stem for path in RUNBOOKS.glob("Lakegate*.md")}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("Lakegate*.md")), ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_where_to_look_and_what_to_do(path):
    text = path.read_text()
    for part in (f"# {path.stem}", "## What it means", "## Where to look", "## What to do"):
        assert part in text


def test_the_rendered_alerts_link_their_runbooks_and_can_be_left_out():
    values = {"prometheusRule": {"enabled": True, "runbookUrl": "https://x", "disabled": ["LakegateAbsent"]}}
    [rule] = of_kind(render(values), "PrometheusRule")
    found = {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"]}
    assert set(found) == {each["alert"] for each in rules()} - {"LakegateAbsent"}
    for name, each in found.items():
        assert each["annotations"]["runbook_url"] == f"https://x/{name}.md"
        assert each["annotations"]["summary"]
        assert each["labels"]["severity"] in {"critical", "warning", "info"}


def test_dashboards_are_config_maps_that_grafana_finds():
    maps = of_kind(render({"dashboards": {"enabled": True}}), "ConfigMap")
    boards = {name: text for each in maps for name, text in each["data"].items() if name.endswith(".json")}
    assert len(boards) == 5
    uids = [json.loads(text)["uid"] for text in boards.values()]
    assert len(set(uids)) == len(uids)


def test_the_monitor_scrapes_gateways_and_workers_with_a_token_where_one_is_needed():
    values = str((CHART / "ci" / "production-values.yaml").relative_to(ROOT))
    objects = render(None, values)
    [monitor] = of_kind(objects, "ServiceMonitor")
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "lakegate-metrics", "key": "token"}
    [service] = of_kind(objects, "Service", "rel-lakegate-metrics")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    scraped = [
        each["metadata"]["name"]
        for each in of_kind(objects, "Deployment")
        if service["spec"]["selector"].items() <= each["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert scraped == ["rel-lakegate", "rel-lakegate-harvest"]


def test_promtool_accepts_the_rules(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    file.write_text((CHART / "files" / "alerts.yaml").read_text())
    done = run(PROMTOOL, "check", "rules", str(file))
    assert not done.returncode, done.stdout + done.stderr


def test_promtool_sees_a_lost_site_and_leaked_leases_alerted(tmp_path: Path):
    (tmp_path / "rules.yaml").write_text((CHART / "files" / "alerts.yaml").read_text())
    series = {"series": 'lakegate_site_up{site="edge-a",pod="p"}', "values": "0x40"}
    alert = {
        "eval_time": "20m",
        "alertname": "LakegateSiteDown",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "warning", "site": "edge-a"},
                "exp_annotations": {"summary": "edge-a is left out of answers by all gateways"},
            }
        ],
    }
    leases = [
        {"series": 'lakegate_quota_leases{resource="clusters",pod="p"}', "values": "2x60"},
        {"series": 'lakegate_clusters{edge="edge-a",state="running",pod="p"}', "values": "1x60"},
    ]
    leak = {
        "eval_time": "40m",
        "alertname": "LakegateLeasesLeak",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "warning"},
                "exp_annotations": {"summary": "1 leases of clusters or kernels hold quota for nothing that runs"},
            }
        ],
    }
    lag = {"eval_time": "40m", "alertname": "LakegateHarvestLags", "exp_alerts": []}
    case = {"interval": "1m", "input_series": [series, *leases], "alert_rule_test": [alert, leak, lag]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [case]}))
    done = run(PROMTOOL, "test", "rules", str(tmp_path / "test.yaml"))
    assert not done.returncode, done.stdout + done.stderr
