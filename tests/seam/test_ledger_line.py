"""The line of those who wait, and the slices of edges, on each store that offers them."""

import pytest
from ledger_stores import ALICE, BOB, CAROL, cores, harvested, policy, reserve, taken

from quotas.errors import InvalidAmount, KeyReused, LeaseLost, QuotaExceeded
from quotas.escrow import EdgePurse, SliceEnded
from quotas.fairness import PLACE_SECONDS
from quotas.model import Charge, Lease, Line, Refusal
from quotas.records import Spent, Ticket

pytestmark = pytest.mark.seam

QUEUED = policy(amount=10, on_exceed="queue")


async def line_up(ledger, key, lines, charge=ALICE, ttl=1_000.0, priority=0.0):
    return await ledger.line_up(key, charge, lines, ttl=ttl, priority=priority, why="a test")


async def test_what_fits_is_granted_at_once_and_what_does_not_waits_its_turn(opened, clock):
    async with opened(QUEUED) as ledger:
        assert isinstance(await line_up(ledger, "a", [cores(8)]), Lease)
        ticket = await line_up(ledger, "b", [cores(5)], charge=BOB)
        assert isinstance(ticket, Ticket)
        assert (ticket.position, ticket.expected_at) == (1, clock.now + 1_000)
        assert ticket.waits_for[0].policy == "p"
        behind = await line_up(ledger, "c", [cores(1)], charge=CAROL)
        assert (behind.position, [e.admissible for e in behind.waits_for]) == (2, [0])
        refused = await reserve(ledger, "d", [cores(1)])
        assert isinstance(refused, Refusal)
        assert (refused.violated[0].position, refused.on_exceed) == (3, "queue")
        assert await ledger.check(ALICE, [cores(1)]) is not None
        await ledger.release("a")
        assert isinstance(await line_up(ledger, "b", [cores(5)], charge=BOB), Lease)
        assert isinstance(await line_up(ledger, "c", [cores(1)], charge=CAROL), Lease)
        assert await ledger.waiting() == []
        assert isinstance(await reserve(ledger, "d", [cores(1)]), Lease)


async def test_the_line_is_found_again_after_a_restart(opened):
    async with opened(QUEUED) as ledger:
        await reserve(ledger, "a", [cores(10)], ttl=1_000)
        await line_up(ledger, "b", [cores(5)], charge=BOB)
    async with opened(QUEUED) as ledger:
        assert [ticket.key for ticket in await ledger.waiting(["eo"])] == ["b"]
        assert await ledger.waiting(["met"]) == []
        assert isinstance(await reserve(ledger, "c", [cores(1)]), Refusal)
        await ledger.release("a")
        assert {lease.key for lease in await ledger.leases()} == {"b"}


async def test_a_place_is_kept_only_for_those_who_ask_again(opened, clock):
    async with opened(QUEUED) as ledger:
        await reserve(ledger, "a", [cores(10)], ttl=1_000)
        await line_up(ledger, "b", [cores(5)], charge=BOB)
        await line_up(ledger, "c", [cores(5)], charge=CAROL)
        clock.now += PLACE_SECONDS - 1
        await line_up(ledger, "c", [cores(5)], charge=CAROL)
        clock.now += 1
        assert [(ticket.key, ticket.position) for ticket in await ledger.waiting()] in (
            [("c", 1)],
            [("b", 1), ("c", 2)],
        )
        await ledger.expire()
        assert [(ticket.key, ticket.position) for ticket in await ledger.waiting()] == [("c", 1)]
        await ledger.leave_line("c")
        await ledger.leave_line("c")
        await ledger.release("a")
        assert await ledger.leases() == []


async def test_those_who_used_less_or_have_priority_go_first(opened, clock):
    async with opened(QUEUED) as ledger:
        await reserve(ledger, "a", [cores(10)], charge=ALICE, ttl=10_000)
        clock.now += 5_000
        await line_up(ledger, "alices", [cores(10)], charge=ALICE)
        clock.now += 1
        await line_up(ledger, "bobs", [cores(10)], charge=BOB)
        assert [ticket.key for ticket in await ledger.waiting()] == ["bobs", "alices"]
        await line_up(ledger, "carols", [cores(10)], charge=CAROL, priority=100)
        assert [ticket.key for ticket in await ledger.waiting()] == ["carols", "bobs", "alices"]
        with pytest.raises(InvalidAmount, match="priority"):
            await line_up(ledger, "x", [cores(10)], priority=-1)


async def test_what_waits_for_something_else_is_not_held_up(opened):
    async with opened(QUEUED, policy("mem", "memory", amount=8, on_exceed="queue")) as ledger:
        await reserve(ledger, "a", [cores(10)])
        await line_up(ledger, "b", [cores(5)], charge=BOB)
        assert isinstance(await line_up(ledger, "c", [Line(resource="memory", amount=8)], charge=CAROL), Lease)


async def test_what_can_never_fit_or_is_something_else_does_not_wait(opened):
    async with opened(QUEUED) as ledger:
        with pytest.raises(QuotaExceeded):
            await line_up(ledger, "a", [cores(11)])
        await reserve(ledger, "b", [cores(10)])
        assert await line_up(ledger, "b", [cores(10)]) == (await ledger.leases())[0]
        await line_up(ledger, "c", [cores(1)])
        with pytest.raises(KeyReused):
            await line_up(ledger, "c", [cores(2)])


async def test_a_raised_limit_admits_who_waits(opened):
    async with opened(QUEUED) as ledger:
        await reserve(ledger, "a", [cores(10)])
        await line_up(ledger, "b", [cores(5)], charge=BOB)
        await ledger.put_policy(policy(amount=15, on_exceed="queue"), by="ops", why="more nodes")
        await ledger.expire()
        assert [lease.key for lease in await ledger.leases()] == ["a", "b"]


async def test_a_window_that_rolls_on_admits_who_waits(opened, clock):
    async with opened(policy("w", "harvest_bytes", "window", 100, window_seconds=60, on_exceed="queue")) as ledger:
        await reserve(ledger, "a", [harvested(100)])
        await ledger.commit("a")
        ticket = await line_up(ledger, "b", [harvested(50)], charge=BOB)
        clock.now = ticket.expected_at
        await ledger.expire()
        assert [lease.key for lease in await ledger.leases()] == ["b"]


# Slices.

SLICED = (
    policy(amount=10),
    policy("volume", "harvest_bytes", "window", 100, window_seconds=600),
    policy("each", "harvest_bytes", "window", 30, window_seconds=600, applies="each-user"),
)


def harvest_of(user, amount):
    return Spent(user=user, resource="harvest_bytes", amount=amount)


async def open_slice(ledger, *lines, ttl=60.0, slice_id="s"):
    return await ledger.open_slice(slice_id, "edge-a", "eo/coast", lines, ttl=ttl, why="may be cut off")


async def test_a_slice_is_set_aside_and_settled_by_what_its_users_spent(opened):
    async with opened(*SLICED[:2]) as ledger:
        part = await open_slice(ledger, cores(4), harvested(60))
        assert (part.edge, part.group, part.lines) == ("edge-a", "eo/coast", (cores(4), harvested(60)))
        assert await ledger.slices("edge-a") == [part]
        assert await open_slice(ledger, cores(4), harvested(60)) == part
        assert await ledger.slices("edge-b") == []
        assert isinstance(await open_slice(ledger, harvested(41), slice_id="t"), Refusal)
        spent = [
            Spent(user=user, resource="harvest_bytes", amount=amount) for user, amount in [("alice", 10), ("bob", 5)]
        ]
        for _ in range(2):
            await ledger.settle_slice("s", spent)
            assert await taken(ledger) == {("p", "eo"): (0, 0), ("volume", "eo"): (15, 0)}
        users = [entry.user for entry in await ledger.history("eo") if entry.event == "commit" and entry.amount]
        assert users == ["alice", "bob"]


async def test_a_slice_that_is_not_settled_in_time_counts_as_used_until_it_is(opened, clock):
    async with opened(*SLICED[:2]) as ledger:
        await open_slice(ledger, cores(4), harvested(60))
        clock.now += 60
        await ledger.expire()
        assert await taken(ledger) == {("p", "eo"): (0, 0), ("volume", "eo"): (60, 0)}
    async with opened(*SLICED[:2]) as ledger:
        clock.now += 60
        await ledger.settle_slice("s", [harvest_of("alice", 25)])
        await ledger.settle_slice("s", [])
        assert await taken(ledger) == {("p", "eo"): (0, 0), ("volume", "eo"): (25, 0)}
    async with opened(*SLICED[:2]) as ledger:
        assert (await taken(ledger))["volume", "eo"] == (25, 0)


async def test_more_than_a_user_may_is_charged_to_the_edge(opened):
    async with opened(*SLICED) as ledger:
        await open_slice(ledger, harvested(30))
        await reserve(ledger, "own", [harvested(20)])
        await ledger.commit("own")
        await ledger.settle_slice("s", [harvest_of("alice", 30)])
        told = await taken(ledger)
        assert (told["volume", "eo"], told["each", "eo/~alice"]) == ((50, 0), (20, 0))


async def test_a_slice_is_settled_by_no_more_than_it_had(opened):
    async with opened(*SLICED[:2]) as ledger:
        await open_slice(ledger, harvested(30))
        for wrong in (
            Spent(user="a", resource="harvest_bytes", amount=31),
            Spent(user="a", resource="items", amount=1),
        ):
            with pytest.raises(InvalidAmount):
                await ledger.settle_slice("s", [wrong])
        with pytest.raises(LeaseLost):
            await ledger.settle_slice("unknown", [])


async def test_an_edge_that_is_cut_off_spends_its_slice_and_not_more(opened, clock, tmp_path):
    carol = Charge(group="eo/coast", user="carol")
    async with opened(*SLICED[:2]) as ledger:
        part = await open_slice(ledger, cores(4), harvested(60), ttl=100)
        async with EdgePurse(tmp_path / "edge.sqlite", clock=clock) as purse:
            with pytest.raises(SliceEnded):
                await purse.reserve("k", ALICE, [cores(1)], ttl=10, why="")
            await purse.take(part)
            lease = await purse.reserve("k", ALICE, [cores(3)], ttl=1_000, why="")
            assert lease.expires_at < part.expires_at
            assert isinstance(await purse.reserve("l", carol, [cores(2)], ttl=10, why=""), Refusal)
            assert isinstance(await purse.reserve("h", carol, [harvested(50)], ttl=10, why=""), Lease)
            await purse.commit("h", {"harvest_bytes": 45})
        async with EdgePurse(tmp_path / "edge.sqlite", clock=clock) as purse:
            assert isinstance(await purse.reserve("m", ALICE, [harvested(16)], ttl=10, why=""), Refusal)
            with pytest.raises(InvalidAmount, match="in use"):
                await purse.close("s")
            clock.now += 97
            with pytest.raises(SliceEnded):
                await purse.reserve("n", ALICE, [cores(1)], ttl=10, why="")
            spent = await purse.close("s")
            assert spent == [harvest_of("carol", 45)]
            await ledger.settle_slice("s", spent)
            await purse.drop("s")
            assert purse.slices() == []
        assert await taken(ledger) == {("p", "eo"): (0, 0), ("volume", "eo"): (45, 0)}
