from datetime import UTC, datetime

import pytest

from edges.compute.model import ClusterReport, KernelModel
from edges.model import ClusterCap
from gateway.dask import verdicts as dask
from gateway.dask.model import ClusterRoute
from gateway.kernels import verdicts as kernels
from gateway.kernels.model import KernelRecord

NOW = 1_000_000.0


def route(state="live", name="n", **changes) -> ClusterRoute:
    values = {"id": "c-1", "user": "u", "groups": (), "charging_group": "g", "edge": "a", "lease": "c-1"}
    values |= {"cap": ClusterCap(cores=1, memory=1), "created_at": NOW, "state": state, "name": name}
    return ClusterRoute(**(values | changes))


def report(name="n", status="RUNNING", mark="") -> ClusterReport:
    return ClusterReport(name=name, status=status, options={"lakegate_id": mark})


def acts(routes, reports, under_way=()) -> list[tuple[str, str | None]]:
    listed = {entry.name: entry for entry in reports}
    found = dask.judge(routes, listed, under_way=lambda route_id: route_id in under_way)
    return [(verdict.act, verdict.route.id if verdict.route else None) for verdict in found]


@pytest.mark.parametrize(
    ("routes", "reports", "expected"),
    [
        ([route()], [report()], [("keep", "c-1")]),
        ([route()], [], [("ask", "c-1")]),
        ([route("ending")], [report()], [("stop", "c-1")]),
        ([route("ending")], [report(status="STOPPING")], [("keep", "c-1")]),
        ([route("ending")], [], [("ask", "c-1")]),
        ([route("ended")], [], []),
        ([route("ended")], [report()], [("stop", "c-1")]),
        ([route("creating", None)], [], [("end", "c-1")]),
        ([route("creating", None)], [report("m", mark="c-1")], [("adopt", "c-1")]),
        ([route("ending", None)], [report("m", mark="c-1")], [("stop", "c-1")]),
        ([], [report("orphan")], [("stop", None)]),
        ([route("creating", None)], [report("orphan")], [("stop", None), ("end", "c-1")]),
    ],
)
def test_what_a_crash_left_behind_is_adopted_or_ended(routes, reports, expected) -> None:
    assert acts(routes, reports) == expected


def test_a_creation_under_way_is_left_alone_and_so_are_clusters_it_may_have_made() -> None:
    creating = route("creating", None)
    assert acts([creating], [report("m")], under_way=["c-1"]) == []
    assert acts([creating], [report("m", mark="c-1")], under_way=["c-1"]) == [("keep", "c-1")]


def test_an_edge_that_does_not_know_a_young_cluster_yet_is_asked_again() -> None:
    assert dask.judge_answer(route(), None, now=NOW + 5).act == "keep"
    assert dask.judge_answer(route(), None, now=NOW + 60).act == "end"
    assert dask.judge_answer(route("ending"), None, now=NOW + 5).act == "end"
    assert dask.judge_answer(route(), report(status="FAILED"), now=NOW).act == "end"
    assert dask.judge_answer(route(), report(status="STOPPING"), now=NOW).act == "keep"


def record(state="live", kernel_id="k", **changes) -> KernelRecord:
    values = {"id": "r-1", "user": "u", "charging_group": "g", "edge": "a", "spec": "python3", "lease": "k-r-1"}
    return KernelRecord(**(values | {"created_at": NOW, "state": state, "kernel_id": kernel_id} | changes))


def model(kernel_id="k", *, name="python3", at=NOW + 1, connections=0) -> KernelModel:
    activity = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return KernelModel(id=kernel_id, name=name, last_activity=activity, connections=connections)


def kernel_acts(records, models, under_way=()) -> list[str]:
    listed = {entry.id: entry for entry in models}
    return [verdict.act for verdict in kernels.judge(records, listed, under_way=lambda name: name in under_way)]


@pytest.mark.parametrize(
    ("records", "models", "expected"),
    [
        ([record()], [model()], ["keep"]),
        ([record()], [], ["ask"]),
        ([record("ending")], [model()], ["stop"]),
        ([record("starting", None)], [model("r-1")], ["adopt"]),
        ([record("starting", None)], [model("x")], ["stop", "end"]),
        ([record("starting", None)], [model("x", name="ir")], ["end"]),
        ([record("starting", None)], [model("x", at=NOW - 60)], ["end"]),
        ([record("starting", None)], [model("x", connections=1)], ["end"]),
        ([record("starting", None), record(id="r-2")], [model("k")], ["end", "keep"]),
        ([], [model("of somebody else")], []),
    ],
)
def test_only_kernels_that_an_interrupted_start_can_have_left_are_ended(records, models, expected) -> None:
    assert kernel_acts(records, models) == expected


def test_no_kernel_is_taken_for_left_behind_while_a_start_is_under_way() -> None:
    other = record("starting", None, id="r-2")
    assert kernel_acts([record("starting", None), other], [model("x")], under_way=["r-2"]) == []
