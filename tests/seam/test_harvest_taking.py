"""Who is given which objects, where several ask at once: the same in a file and on PostgreSQL."""

import pytest
from harvest_rows import active, take_in, want
from harvest_rows import database as any_database

from harvest import orders
from harvest.taking import Asker, claim_objects, claim_together

__all__ = ["any_database"]

pytestmark = pytest.mark.seam

LARGE, SMALL = 50_000_000, 100_000


@pytest.fixture
async def database(any_database):
    """Open a database."""
    async with any_database() as opened:
        yield opened


async def wanting(database, order_id, sizes, *, priority=3):
    """Let an order that works want objects of these sizes."""

    def prepare(connection):
        take_in(connection, order_id, priority=priority)
        active(connection, order_id)
        for number, size in enumerate(sizes):
            want(connection, order_id, f"{order_id}-{number}", size=size)

    await database.run(prepare)


async def given(database, count, *, most=32, scope=None):
    """Let so many ask at once; return the keys that each is given."""
    askers = [Asker(now=10.0, until=20.0, most=most, scope=scope)] * count
    hands = await database.run(lambda c: claim_together(c, askers))
    return [[claim.key for claim in hand] for hand in hands]


async def test_each_is_given_objects_of_its_own_until_none_are_left(database):
    await wanting(database, "a", [SMALL] * 5)
    assert await given(database, 4, most=2) == [["a-0", "a-1"], ["a-2", "a-3"], ["a-4"], []]
    assert await given(database, 2) == [[], []]


async def test_orders_of_the_same_priority_take_turns(database):
    await wanting(database, "a", [SMALL] * 6)
    await wanting(database, "b", [SMALL] * 1)
    assert await given(database, 4, most=2) == [["a-0", "a-1"], ["b-0"], ["a-2", "a-3"], ["a-4", "a-5"]]


async def test_an_urgent_order_is_served_to_its_end_before_others(database):
    await wanting(database, "a", [SMALL] * 2)
    await wanting(database, "b", [SMALL] * 3, priority=5)
    assert await given(database, 3, most=2) == [["b-0", "b-1"], ["b-2"], ["a-0", "a-1"]]


async def test_large_objects_are_given_out_one_by_one_and_small_ones_beside_them_together(database):
    await wanting(database, "a", [LARGE, None, SMALL, LARGE, SMALL, SMALL])
    assert await given(database, 5) == [["a-0"], ["a-1"], ["a-2", "a-4", "a-5"], ["a-3"], []]


async def test_who_asks_for_one_object_is_given_one_however_small(database):
    await wanting(database, "a", [SMALL] * 3)
    assert await given(database, 2, most=1) == [["a-0"], ["a-1"]]


async def test_what_is_to_be_discarded_goes_first_and_to_one_each(database):
    await wanting(database, "a", [SMALL] * 2)
    await database.run(lambda c: claim_objects(c, 2.0, 3.0, 2))
    await database.run(lambda c: orders.cancel(c, "a", 4.0))
    await wanting(database, "b", [SMALL] * 2)
    assert await given(database, 3) == [["a-0"], ["a-1"], ["b-0", "b-1"]]


async def test_askers_of_one_order_and_of_all_are_never_given_the_same(database):
    await wanting(database, "b", [SMALL] * 3)
    askers = [Asker(now=10.0, until=20.0, most=1, scope=scope) for scope in ("b", None, "b")]
    hands = await database.run(lambda c: claim_together(c, askers))
    keys = [claim.key for hand in hands for claim in hand]
    assert len(keys) == len(set(keys)) == 3
