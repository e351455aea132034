"""Placement over live sites: what is held decides, and a lost edge does not stop the others' work."""

from collections.abc import Sequence
from typing import Any

from edges.catalogues.memory import MemoryCatalogue
from edges.errors import SiteUnavailable
from edges.model import Batch, Query
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, DaskSettings, Secret, SiteSettings, StorageSettings
from edges.storage.memory import MemoryStore
from gateway.placement.buckets import SiteBucket, SiteBuckets
from gateway.placement.placer import FederatedPlacer
from gateway.placement.seam import ComputeFacts, ComputeNeed
from gateway.principal import Principal
from gateway.processes.inputs import order_request
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from quotas.memory import MemoryLedger
from quotas.model import Charge, Held, Holders, Line, Policy

STORAGE = StorageSettings(
    endpoint="http://x.example", bucket="lake", access_key=Secret(env="X"), secret_key=Secret(env="X")
)
ALICE = Principal(user="alice", groups=("science",), charging_group="science")


class Lost(MemoryCatalogue):
    """A catalogue that was there a moment ago."""

    lost = False

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        if self.lost:
            raise SiteUnavailable("edge-b", "connection refused")
        return await super().search(query, limit=limit, after=after)


def item(item_id: str, size: int) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": "c", "geometry": None,
        "properties": {"datetime": "2020-01-01T00:00:00Z"}, "assets": {"x": {"href": "s3://x/y", "file:size": size}},
        "links": [],
    }  # fmt: skip


async def placer_over(
    held: dict[str, Sequence[dict[str, Any]]],
    policies: Sequence[Policy] = (),
    *,
    storage: Sequence[str] = (),
    buckets: SiteBuckets | None = None,
    ledger: MemoryLedger | None = None,
) -> tuple[FederatedPlacer, dict[str, Lost]]:
    catalogues = {name: Lost() for name in held}
    sites = []
    for name, items in held.items():
        await catalogues[name].put_collection({"id": "c", "type": "Collection"})
        if items:
            await catalogues[name].put_items("c", items)
        dask = DaskSettings(url="http://x.example", secret=Secret(env="X"))
        settings = SiteSettings(
            id=name,
            kind="edge",
            catalogue=CatalogueSettings(url="http://x.example"),
            dask=dask,
            storage=STORAGE if name in storage else None,
        )
        sites.append(Site(settings, catalogues[name]))
    registry = Registry(sites, probe_seconds=60)
    await registry.probe()
    federation = Federation(
        registry=registry, cursors=Cursors(key=b"k" * 32, lifetime_seconds=60), deadline_seconds=5.0
    )
    ledger = ledger or MemoryLedger(policies)
    return FederatedPlacer(federation=federation, registry=registry, ledger=ledger, buckets=buckets), catalogues


async def test_a_cluster_goes_where_most_bytes_of_its_items_are() -> None:
    placer, _ = await placer_over({"edge-a": [item("x", 10)], "edge-b": [item("y", 30), item("z", 5)]})
    assert (await placer.place(ComputeNeed(items={"c": ("x", "y")}), ALICE)).edge == "edge-b"
    assert (await placer.place(ComputeNeed(items={"c": ("x",)}), ALICE)).edge == "edge-a"


async def test_a_lost_edge_is_passed_over_and_the_other_one_chosen() -> None:
    placer, catalogues = await placer_over({"edge-a": [item("x", 10)], "edge-b": [item("x", 10), item("y", 30)]})
    catalogues["edge-b"].lost = True
    decision = await placer.place(ComputeNeed(collections=("c",)), ALICE)
    assert decision.edge == "edge-a"
    refused = await placer.place(ComputeNeed(collections=("c",), edge="edge-b"), ALICE)
    assert refused.edge is None
    assert "does not answer" in "; ".join(refused.reasons)


async def test_an_edge_where_the_quota_is_spent_is_passed_over() -> None:
    policy = Policy(name="no-b", group="science", resource="clusters", kind="concurrent", amount=0, edge="edge-b")
    placer, _ = await placer_over({"edge-a": [item("x", 10)], "edge-b": [item("x", 10), item("y", 30)]}, [policy])
    decision = await placer.place(ComputeNeed(collections=("c",), cores=1), ALICE)
    assert decision.edge == "edge-a"


async def test_where_only_the_quota_stands_in_the_way_the_refusal_comes_with_its_numbers() -> None:
    spent = [
        Policy(
            name=f"no-{edge}", group="science", resource="clusters", kind="concurrent", amount=1, edge=f"edge-{edge}"
        )
        for edge in ("a", "b", "c")
    ]
    ledger = MemoryLedger(spent)
    held = {"edge-a": [item("x", 10)], "edge-b": [item("x", 10)], "edge-c": [item("y", 10)]}
    placer, catalogues = await placer_over(held, ledger=ledger)
    bob = Charge(group="science", user="bob")
    for edge, seconds in (("edge-a", 50), ("edge-b", 20), ("edge-c", 5)):
        line = Line(resource="clusters", amount=1, edge=edge)
        await ledger.reserve(edge, bob, [line], ttl=seconds, why="before")
    refused = (await placer.place(ComputeNeed(items={"c": ("x",)}), ALICE)).refusal
    assert refused is not None
    # edge-c holds nothing of it: that it has room again in five seconds helps nobody
    assert [(each.policy, each.requested) for each in refused.violated] == [("no-a", 1), ("no-b", 1)]
    assert refused.retry_after is not None
    assert 15 < refused.retry_after <= 20
    by_bob = Holders(visible=(Held(group="science", user="bob", amount=1),))
    assert {each.holders for each in refused.violated} == {by_bob}
    catalogues["edge-b"].lost = True
    refused = (await placer.place(ComputeNeed(items={"c": ("x",)}), ALICE)).refusal
    assert refused is not None
    assert [each.policy for each in refused.violated] == ["no-a"]
    assert (await placer.place(ComputeNeed(items={"c": ("none",)}), ALICE)).refusal is None


async def test_items_that_nobody_has_are_told_as_such() -> None:
    placer, _ = await placer_over({"edge-a": [item("x", 10)]})
    decision = await placer.place(ComputeNeed(items={"c": ("none",)}), ALICE)
    assert decision.edge is None
    assert "no item matches" in "; ".join(decision.reasons)


async def test_what_is_missing_comes_with_a_harvest_request_that_can_be_sent() -> None:
    placer, _ = await placer_over({"edge-a": [item("x", 10)], "edge-b": []}, storage=("edge-b",))
    need = ComputeNeed(items={"c": ("x",)}, edge="edge-b")
    decision = await placer.place(need, ALICE)
    assert decision.edge is None
    assert decision.harvest == (
        {
            "edge": "edge-b",
            "method": "POST",
            "path": "/processes/harvest/execution",
            "body": {"inputs": {"collections": ["c"], "ids": ["x"], "target": "edge-b"}},
        },
    )
    order = order_request(decision.harvest[0]["body"])
    assert (order.target, order.query.ids) == ("edge-b", ("x",))


class Compute:
    """What the rooms say of the edges' compute."""

    def __init__(self, **facts: ComputeFacts) -> None:
        self.told = {name.replace("_", "-"): one for name, one in facts.items()}

    async def facts(self, principal: Principal, kind: str) -> dict[str, ComputeFacts]:
        return self.told


async def test_an_edge_whose_compute_does_not_answer_is_passed_over_though_its_catalogue_does() -> None:
    placer, _ = await placer_over({"edge-a": [item("x", 10)], "edge-b": [item("x", 10), item("y", 30)]})
    placer.watch(Compute(edge_b=ComputeFacts(trouble="its Dask Gateway is silent")))
    decision = await placer.place(ComputeNeed(collections=("c",)), ALICE)
    assert decision.edge == "edge-a"
    refused = await placer.place(ComputeNeed(collections=("c",), edge="edge-b"), ALICE)
    assert "its Dask Gateway is silent" in "; ".join(refused.reasons)


async def test_where_the_quota_says_wait_the_edge_is_chosen_and_said_to_wait() -> None:
    policy = Policy(name="one", group="science", resource="clusters", kind="concurrent", amount=1, on_exceed="queue")
    placer, _ = await placer_over({"edge-a": [item("x", 10)]}, [policy])
    line = [Line(resource="clusters", amount=1)]
    await placer._ledger.reserve("held", ALICE.charge, line, ttl=60, why="test")
    decision = await placer.place(ComputeNeed(collections=("c",)), ALICE)
    assert (decision.edge, decision.waits) == ("edge-a", True)


async def test_a_bucket_prefix_is_where_its_objects_are() -> None:
    buckets = SiteBuckets()
    placer, _ = await placer_over({"edge-a": [], "edge-b": []}, buckets=buckets)
    for site, sizes in (("edge-a", (10,)), ("edge-b", (10, 30))):
        store = MemoryStore()
        for number, size in enumerate(sizes):
            await store.put(f"s2/{number}", b"x" * size)
        await store.put("other", b"x" * 1000)
        buckets.add(SiteBucket(site=site, bucket="lake", store=store))
    placement = await placer.rank(ComputeNeed(prefix="s3://lake/s2/"), ALICE)
    assert (placement.edge, placement.items, placement.bytes) == ("edge-b", 2, 40)
    assert (await placer.place(ComputeNeed(prefix="s3://elsewhere/s2/"), ALICE)).edge is None
