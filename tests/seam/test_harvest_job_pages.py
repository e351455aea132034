"""Lists of jobs: each order once, the latest first, page by page, as a filter says; the same on both engines."""

import pytest
from harvest_rows import REQUEST, active, database, take_in, want

from harvest import orders
from harvest.model import JobFilter

__all__ = ["database"]

pytestmark = pytest.mark.seam

CREATED = {"a": 1.0, "b": 3.0, "c": 3.0, "d": 3.0, "e": 2.0, "f": 4.0}
"""When orders were created, by their names: ``f`` is not estimated yet, vowels are of another group."""

LATEST_FIRST = ["b", "c", "d", "e", "a"]


def fill(connection):
    for name, created in CREATED.items():
        take_in(connection, name, now=created, request=REQUEST, charged="root/vowels" if name in "ae" else "root/team")
        if name != "f":
            active(connection, name)


async def ids_of(database, **filtered):
    """Return the ids of jobs in pages of two, each begun where the one before ended."""
    wanted, ids = JobFilter(**filtered), []
    async with database() as there:
        await there.run(fill)
        while page := await there.run(lambda c, wanted=wanted: orders.jobs(c, wanted, 9.0, 2)):
            ids += [order.id for order in page]
            wanted = JobFilter(**filtered, before=(page[-1].created, page[-1].id))
    return ids


@pytest.mark.parametrize(
    ("filtered", "wanted"),
    [
        ({}, LATEST_FIRST),
        ({"group": "root/team"}, ["b", "c", "d"]),
        ({"group": "root/vowels"}, ["e", "a"]),
        ({"group": "root/nobody"}, []),
        ({"since": 2.0}, ["b", "c", "d", "e"]),
        ({"until": 2.0}, ["e", "a"]),
        ({"since": 2.0, "until": 2.5, "group": "root/vowels"}, ["e"]),
        ({"states": ("ACTIVE",)}, LATEST_FIRST),
        ({"states": ("OK", "CANCELLED")}, []),
        ({"least": 7.5}, []),
    ],
)
async def test_pages_of_jobs_hold_each_order_once_the_latest_first(database, filtered, wanted):
    assert await ids_of(database, **filtered) == wanted


async def test_how_far_an_order_came_is_counted_once_for_good_when_it_is_settled(database):
    def settle(connection):
        take_in(connection, "a", request=REQUEST)
        active(connection, "a")
        want(connection, "a", "k1")
        orders.finish(connection, "a", 3.0)
        return told(connection)

    def told(connection):
        return orders.jobs(connection, JobFilter(), 9.0, 2)[0]

    async with database() as there:
        settled = await there.run(settle)
        assert (settled.state, settled.progress.objects, settled.progress.bytes) == ("OK", 1, 10)
        await there.run(lambda c: want(c, "a", "k2"))
        assert await there.run(told) == settled
        await there.run(lambda c: c.change("order_next_round", id="a", repairs=0))
        assert (await there.run(told)).progress.objects == 2
