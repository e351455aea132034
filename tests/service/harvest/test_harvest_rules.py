"""Standing rules over a hub that grows, lags, changes and fails: what is wanted comes, once, and nothing is missed."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from harvest_scene import CHARGE, EDGE, HUB, make_item, quick, sha256
from waiting import until

from edges.errors import SiteUnavailable
from harvest.errors import KeyReused, OrderRefused, RuleGone
from harvest.model import FoundItem
from harvest.rules_model import RuleRequest, RuleSource, RuleTarget
from harvest.states import ImpossibleTransition

pytestmark = pytest.mark.service


def publish(scene, origin, item_id, body=b"pixels" * 50, **properties):
    origin.add(f"{item_id}.tif", body)
    asset = {"href": f"{origin.url}/{item_id}.tif", "file:checksum": sha256(body), "file:size": len(body)}
    item = make_item(item_id, {"B02": asset})
    item["properties"] |= properties
    scene.found.append(FoundItem(site=HUB, item=item))


def rule(**changes):
    values = {
        "name": "s2", "source": RuleSource(search={"collections": ["s2"]}), "target": RuleTarget(edges="*"),
        "mode": "standing", "schedule": "PT1S",
    }  # fmt: skip
    return RuleRequest(**values | changes)


class Hub:
    """The scene's search, which takes note of each query, evaluates `updated` and datetime, and can fail."""

    def __init__(self, scene):
        self.queries = []
        self.failures = 0
        self._scene = scene
        scene.search = self

    async def __call__(self, query):
        self.queries.append(query)
        if self.failures:
            self.failures -= 1
            raise SiteUnavailable(HUB, "no answer")
        for found in list(self._scene.found):
            if self._matches(found.item["properties"], query):
                yield found

    @staticmethod
    def _matches(properties, query):
        after = None
        if query.filter is not None:
            after = query.filter["args"][1]["timestamp"]
            return properties[query.filter["args"][0]["property"]] >= after
        return True


@pytest.fixture
def hub(scene):
    return Hub(scene)


async def state(live, rule_id, wanted):
    async def there():
        found = await live.harvester.rules.rule(rule_id)
        return found if found.state == wanted else None

    return await until(there)


async def copied(live, *item_ids):
    async def there():
        items = [await live.catalogue.plain("s2", item_id) for item_id in item_ids]
        return all(item and item["assets"]["B02"]["href"].startswith("s3://") for item in items)

    await until(there)


@asynccontextmanager
async def running(scene, **changes):
    scene.settings = quick(**changes)
    async with scene.running() as live:
        yield live, live.harvester.rules


async def test_a_standing_rule_brings_what_comes_later_too_and_tells_its_lag(scene, origin, hub):
    publish(scene, origin, "i1")
    async with running(scene) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        await copied(live, "i1")
        publish(scene, origin, "i2")
        await copied(live, "i2")
        told = await state(live, made.id, "OK")
        assert told.lag < 60
        assert told.progress.objects_done == 2


async def test_a_rule_goes_by_when_items_came_to_be_known_where_the_hub_tells_it(scene, origin, hub):
    publish(scene, origin, "i1", updated="2026-05-02T00:00:00Z")
    async with running(scene) as (live, rules):
        made = await rules.create(rule(overlap="PT1H"), CHARGE)
        await copied(live, "i1")
        publish(scene, origin, "late", datetime="2019-01-01T00:00:00Z", updated="2026-05-03T00:00:00Z")
        await copied(live, "late")
        told = await rules.rule(made.id)
        assert told.watermark.field == "updated"
        assert hub.queries[-1].filter["args"][1]["timestamp"] >= "2026-05-01T23:00:00"


async def test_a_rule_at_rest_makes_no_orders(scene, origin, hub):
    publish(scene, origin, "i1")
    async with running(scene) as (_, rules):
        made = await rules.create(rule(), CHARGE)

        async def three_runs():
            return (await rules.rule(made.id)).runs >= 3

        await until(three_runs)
        assert len((await rules.rule(made.id)).orders) == 1


async def test_a_rule_survives_its_process_and_goes_on_from_its_watermark(scene, origin, hub):
    publish(scene, origin, "i1", updated="2026-05-02T00:00:00Z")
    async with running(scene) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        await copied(live, "i1")
        await state(live, made.id, "OK")
    publish(scene, origin, "i2", updated="2026-05-03T00:00:00Z")
    async with running(scene) as (live, rules):
        await copied(live, "i2")
        assert hub.queries[-1].filter is not None


async def test_a_hub_that_fails_leaves_the_rule_stuck_for_a_while_and_nothing_is_missed(scene, origin, hub):
    publish(scene, origin, "i1")
    hub.failures = 3
    async with running(scene) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        await copied(live, "i1")
        await state(live, made.id, "OK")


async def test_what_is_stuck_is_tried_again_by_itself_and_explained_meanwhile(scene, origin, hub):
    publish(scene, origin, "i1")
    body = origin.files.pop("i1.tif")
    async with running(scene) as (live, rules):
        made = await rules.create(rule(mode="once"), CHARGE)
        await state(live, made.id, "STUCK")

        async def reason():
            return (await rules.explain(made.id)).reasons

        told = await until(reason)
        assert "404" in told[0].reason or told[0].state in ("WANTED", "CLAIMED")
        origin.add("i1.tif", body)
        await copied(live, "i1")
        await state(live, made.id, "OK")
        taken = await live.taken()
        assert taken["storage_bytes"] == (len(body), 0)


async def test_a_large_rule_waits_until_it_is_approved(scene, origin, hub):
    publish(scene, origin, "i1")
    async with running(scene, approval_bytes=10) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        waiting = await state(live, made.id, "WAITING_APPROVAL")
        assert "approve" in waiting.message
        await rules.approve(made.id, "root")
        await copied(live, "i1")


async def test_a_rejected_rule_says_why(scene, origin, hub):
    publish(scene, origin, "i1")
    async with running(scene, approval_bytes=10) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        await state(live, made.id, "WAITING_APPROVAL")
        assert (await rules.reject(made.id, "too much")).message == "rejected: too much"


async def test_a_rule_without_quota_waits_and_goes_on_when_there_is_some(scene, origin, hub):
    publish(scene, origin, "i1")
    scene.limits = {"storage_bytes": 10}
    async with running(scene) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        waiting = await state(live, made.id, "WAITING_QUOTA")
        assert "storage_bytes" in waiting.message
    scene.limits = {}
    async with running(scene) as (live, rules):
        await rules.retry(made.id)
        await copied(live, "i1")


async def test_a_cancelled_rule_takes_its_copies_along_only_where_it_says_so(scene, origin, hub):
    publish(scene, origin, "i1")
    async with running(scene) as (live, rules):
        made = await rules.create(rule(purge=True), CHARGE)
        await copied(live, "i1")
        await state(live, made.id, "OK")
        await rules.cancel(made.id)

        async def gone():
            left = [found async for found in live.store.list_objects()]
            return not left and (await live.taken())["storage_bytes"] == (0, 0)

        await until(gone)
        assert await live.catalogue.plain("s2", "i1") is None
        with pytest.raises(RuleGone):
            await rules.cancel(made.id)


async def test_a_suspended_rule_rests_until_it_is_resumed(scene, origin, hub):
    async with running(scene) as (live, rules):
        made = await rules.create(rule(), CHARGE)
        await state(live, made.id, "OK")
        await rules.suspend(made.id)
        runs = (await rules.rule(made.id)).runs
        publish(scene, origin, "i1")
        with pytest.raises(ImpossibleTransition):
            await rules.suspend(made.id)
        assert (await rules.rule(made.id)).runs == runs
        await rules.resume(made.id)
        await copied(live, "i1")


async def test_a_catalogue_rule_keeps_the_items_current_without_bytes(scene, origin, hub):
    publish(scene, origin, "i1")
    async with running(scene) as (live, rules):
        await rules.create(rule(mode="catalogue"), CHARGE)

        async def told():
            item = await live.catalogue.plain("s2", "i1")
            return item and item["properties"]["eo:cloud_cover"]

        assert await until(told) == 3.5
        scene.found[0].item["properties"]["eo:cloud_cover"] = 7.0

        async def changed():
            return await told() == 7.0

        await until(changed)
        assert [found async for found in live.store.list_objects()] == []


async def test_a_rule_ends_at_its_time(scene, origin, hub):
    async with running(scene) as (live, rules):
        made = await rules.create(rule(expires=1.0), CHARGE)
        await state(live, made.id, "EXPIRED")


async def test_the_same_key_gives_the_same_rule_and_no_other(scene, origin, hub):
    async with running(scene) as (_, rules):
        first = await rules.create(rule(), CHARGE, key="k")
        assert (await rules.create(rule(), CHARGE, key="k")).id == first.id
        with pytest.raises(KeyReused):
            await rules.create(rule(name="other"), CHARGE, key="k")


async def test_an_expression_that_names_too_few_edges_is_refused(scene, hub):
    async with running(scene) as (_, rules):
        with pytest.raises(OrderRefused, match="2 are wanted"):
            await rules.create(rule(target=RuleTarget(edges="*", copies=2)), CHARGE)
        assert (await rules.create(rule(target=RuleTarget(edges=f"id={EDGE}")), CHARGE)).state == "PENDING_ESTIMATE"


async def test_a_suspended_order_goes_on_where_it_was(scene, origin):
    publish(scene, origin, "i1", b"x" * (12 << 20))
    origin.gate = asyncio.Event()
    async with scene.running() as live:
        order = await live.order()
        await live.uploads()
        await live.harvester.control.suspend(order.id)
        origin.gate.set()
        assert (await live.harvester.status(order.id)).state == "SUSPENDED"
        await live.harvester.control.resume(order.id)
        assert (await live.settled(order.id, 30)).state == "OK"
        assert (await live.taken())["storage_bytes"] == (12 << 20, 0)
