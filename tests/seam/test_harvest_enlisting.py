"""A plan that is spread over items and objects: the same on both engines, whatever catalogues tell."""

import msgspec
import pytest
from harvest_rows import REQUEST, active, database, take_in
from msgspec import structs

from harvest import claims_together, orders, registering
from harvest.claims import as_rows
from harvest.claims_together import Available, Checked
from harvest.enlisting import enlist
from harvest.errors import ClaimLost
from harvest.model import Source, Wanted
from harvest.orders import row_of
from harvest.planner import PlannedBatch, PlannedItem, Wish
from harvest.registering import claim_items, entries_of, registered, remember_before
from harvest.taking import claim_objects

__all__ = ["database"]

pytestmark = pytest.mark.seam


def item(item_id, *keys, size=10):
    wishes = tuple(
        Wish(
            wanted=Wanted(
                collection="s2", item_id=item_id, asset=f"a{key}", key=key, media_type="x\0y", size=size, checksum=None,
                sources=(Source(site="hub", href=f"https://hub.example/{key}"),),
            ),
            estimate=size,
        )
        for key in keys
    )  # fmt: skip
    return PlannedItem(doc={"id": item_id, "collection": "s2", "assets": {}}, wishes=wishes)


def plan(connection, order_id, *items):
    take_in(connection, order_id, request=REQUEST)
    batch = PlannedBatch(items=items, unknown=0, held=(), skipped=(), near=0, found=())
    half = len(items) // 2
    total = 0
    for part in (items[:half], items[half:]):
        told = PlannedBatch(items=part, unknown=0, held=(), skipped=(), near=0, found=batch.found)
        total += orders.add_batch(connection, order_id, "edge-a", told, now=1.0, until=9.0)
    active(connection, order_id)
    connection.change("order_planned", id=order_id, bytes=total, executor="local")
    return total


def taken(connection, most=10):
    """Claim what there is, as it was planned: engines give it in any order."""
    found = claim_objects(connection, 10.0, 20.0, most)
    return [structs.replace(each, source=each.sources[0]) for each in sorted(found, key=lambda each: each.id)]


async def test_what_is_planned_is_wanted_once_and_in_its_order(database):
    items = [item("i2", "k2", "k1"), item("i1", "k3"), item("i2", "k2"), item("bare"), item("i3", "k9", "k3")]
    async with database() as there:
        assert await there.run(lambda c: plan(c, "a", *items)) == 60
        assert await there.run(enlist) == len(items)
        assert await there.run(enlist) == 0
        found = await there.run(taken)
        assert [(each.key, each.item_id, each.asset) for each in found] == [
            ("k2", "i2", "ak2"), ("k1", "i2", "ak1"), ("k3", "i1", "ak3"), ("k9", "i3", "ak9"),
        ]  # fmt: skip
        progress = await there.run(lambda c: orders.order_of(c, row_of(c, "a")).progress)
        assert (progress.items, progress.objects, progress.bytes) == (4, 4, 40)
        assert [each.item_id for each in await there.run(lambda c: claim_items(c, 10.0, 20.0))] == ["bare"]


async def test_what_an_earlier_release_had_planned_is_spread_by_the_names_in_its_items(database):
    def as_before(connection):
        plan(connection, "a", item("i1", "k1"))
        (wish,) = item("i2", "k2").wishes
        doc = '{"id": "i2", "collection": "s2", "assets": {}}'
        unnamed = (doc, msgspec.json.encode([wish]).decode(), 1, 10, None, None)
        connection.change("planned_insert", order_id="a", rows=as_rows([unnamed]))

    async with database() as there:
        await there.run(as_before)
        assert await there.run(enlist) == 2
        assert [(each.key, each.item_id) for each in await there.run(taken)] == [("k1", "i1"), ("k2", "i2")]


async def test_an_item_that_a_plan_names_twice_is_kept_as_it_was_found_last(database):
    async with database() as there:
        later = structs.replace(item("i1", "k2"), doc={"id": "i1", "collection": "s2", "assets": {}, "later": True})
        await there.run(lambda c: plan(c, "a", item("i1", "k1"), later))
        assert await there.run(enlist) == 2
        found = await there.run(taken)
        assert [(each.key, each.item_id) for each in found] == [("k1", "i1"), ("k2", "i1")]
        checks = [Checked(claim=each, total=10, digest=None) for each in found]
        arrived = [Available(claim=each, moved=10, now=11.0) for each in found]
        await there.run(lambda c: (claims_together.checked(c, checks), claims_together.available(c, arrived)))
        (told,) = await there.run(lambda c: claim_items(c, 12.0, 22.0))
        assert b"later" in told.doc


async def test_a_second_order_shares_what_is_on_its_way(database):
    async with database() as there:
        await there.run(lambda c: plan(c, "a", item("i1", "k1"), item("i2", "k2")))
        await there.run(enlist)
        assert await there.run(lambda c: plan(c, "b", item("i1", "k1"), item("i3", "k3"))) == 10
        await there.run(enlist)
        assert {each.key for each in await there.run(taken)} == {"k1", "k2"}  # of one order at a time
        assert [each.key for each in await there.run(taken)] == ["k3"]


async def test_names_with_a_nul_are_kept_and_meet_no_other(database):
    async with database() as there:
        await there.run(lambda c: plan(c, "a", item("b\0", "k1"), item("b", "k2"), item("b\ufffd", "k3")))
        await there.run(enlist)
        found = await there.run(taken)
        assert [(each.key, each.item_id) for each in found] == [("k1", "b\ufffd"), ("k2", "b"), ("k3", "b\ufffd")]


async def test_of_many_who_tell_at_once_each_is_answered_by_itself(database):
    async with database() as there:
        await there.run(lambda c: plan(c, "a", *(item(f"i{number}", f"k{number}") for number in range(4))))
        await there.run(enlist)
        first, second, large, stranger = await there.run(taken)

        def check(connection):
            lost = Checked(claim=structs.replace(stranger, fence=99), total=10, digest=None)
            told = [
                Checked(claim=first, total=10, digest=None), lost, Checked(claim=large, total=11, digest=None),
                Checked(claim=second, total=9, digest="1220"), Checked(claim=first, total=10, digest=None),
            ]  # fmt: skip
            return claims_together.checked(connection, told)

        ends = await there.run(check)
        assert [end if isinstance(end, bool) else type(end) for end in ends] == [True, ClaimLost, False, True, True]

        def arrive(connection):
            told = [Available(claim=each, moved=each.id, now=11.0) for each in (first, second, large)]
            return claims_together.available(connection, told), row_of(connection, "a")["moved"]

        ends, moved = await there.run(arrive)
        assert [type(end) for end in ends] == [type(None), type(None), ClaimLost]
        assert moved == first.id + second.id


async def test_what_is_known_of_many_items_is_of_each_its_own(database):
    async with database() as there:
        await there.run(lambda c: plan(c, "a", item("i1", "k1", "k2"), item("i2", "k3")))
        await there.run(enlist)
        found = await there.run(taken)
        arrived = [Available(claim=each, moved=10, now=11.0) for each in found]
        checks = [Checked(claim=each.claim, total=10, digest=None) for each in arrived]
        await there.run(lambda c: (claims_together.checked(c, checks), claims_together.available(c, arrived)))
        items = sorted(await there.run(lambda c: claim_items(c, 12.0, 22.0)), key=lambda each: each.item_id)
        await there.run(lambda c: remember_before(c, {items[0].id: None, items[1].id: {"id": "i2"}}))
        first, second = await there.run(lambda c: entries_of(c, items))
        assert {copy.key for copy in first.copied} == {"k1", "k2"}
        assert (first.before, first.looked, first.wanted, first.gone, first.until) == (None, True, False, (), {})
        assert [(copy.key, copy.size, copy.source.site) for copy in second.copied] == [("k3", 10, "hub")]
        assert second.before == {"id": "i2"}
        late = structs.replace(items[0], fence=99)
        assert await there.run(lambda c: registered(c, [late, items[1]])) == {items[0].id}
        assert await there.run(lambda c: claim_items(c, 30.0, 40.0)) != []


async def test_no_more_items_are_told_at_once_than_can_be_held(database, monkeypatch):
    monkeypatch.setattr(registering, "BATCH_SIZE", 1)
    async with database() as there:
        await there.run(lambda c: plan(c, "a", item("i1"), item("i2")))
        await there.run(enlist)
        told = [[each.item_id for each in await there.run(lambda c: claim_items(c, 10.0, 20.0))] for _ in range(3)]
        assert sorted(map(tuple, told)) == [(), ("i1",), ("i2",)]


def test_rows_hold_no_nul():
    assert as_rows([("a\0", "\\u0000", "\\\0")]) == '{"0":["a\\ufffd","\\\\u0000","\\\\\\ufffd"]}'
