"""What every ledger guarantees, tried on each of them."""

import asyncio

import pytest
from ledger_stores import ALICE, BOB, CAROL, STORES, cores, harvested, policy, reserve, stored, taken

from quotas.errors import InvalidAmount, KeyReused, LeaseLost, QuotaExceeded
from quotas.model import Lease, Line, Refusal

pytestmark = pytest.mark.seam


@pytest.fixture(params=STORES)
def store(request):
    return request.param


async def test_a_reservation_takes_and_a_release_gives_everything_back(opened):
    async with opened(policy()) as ledger:
        lease = await reserve(ledger, "k", [cores(4)])
        assert isinstance(lease, Lease)
        assert await taken(ledger) == {("p", "eo"): (0.0, 4.0)}
        await ledger.release("k")
        await ledger.release("k")
        await ledger.release("never heard of")
        assert await taken(ledger) == {("p", "eo"): (0.0, 0.0)}


async def test_what_does_not_fit_is_refused_with_numbers_and_takes_nothing(opened, clock):
    async with opened(policy(), policy("mem", "memory", amount=100, contact="ops")) as ledger:
        await reserve(ledger, "a", [cores(8), Line(resource="memory", amount=90)], ttl=30)
        refused = await reserve(ledger, "b", [cores(3), Line(resource="memory", amount=20)], charge=CAROL)
        assert isinstance(refused, Refusal)
        assert [(e.policy, e.used, e.reserved, e.limit, e.requested) for e in refused.violated] == [
            ("p", 0, 8, 10, 3),
            ("mem", 0, 90, 100, 20),
        ]
        assert refused.retry_after == 30
        assert refused.violated[0].available_at == clock.now + 30
        assert await taken(ledger) == {("p", "eo"): (0, 8), ("mem", "eo"): (0, 90)}


async def test_all_lines_are_granted_or_none(opened):
    async with opened(policy(amount=4, edge="edge-b"), policy("a", amount=9, edge="edge-a")) as ledger:
        assert isinstance(await reserve(ledger, "k", [cores(4), cores(5, "edge-b")]), Refusal)
        assert set((await taken(ledger)).values()) == {(0, 0)}
        assert isinstance(await reserve(ledger, "k", [cores(4), cores(4, "edge-b")]), Lease)
        assert await taken(ledger) == {("p", "eo"): (0, 4), ("a", "eo"): (0, 4)}


async def test_lines_that_ask_for_nothing_or_the_same_twice_are_counted_as_they_are(opened, clock):
    async with opened(policy()) as ledger:
        await reserve(ledger, "nothing", [cores(0), cores(0)], ttl=5)
        await reserve(ledger, "twice", [cores(2), cores(0), cores(3)], ttl=5)
        assert await taken(ledger) == {("p", "eo"): (0, 5)}
        await ledger.renew("twice", ttl=10)
        clock.now += 5
        assert await ledger.expire() == 1
        await ledger.release("twice")
        assert await taken(ledger) == {("p", "eo"): (0, 0)}
        assert {entry.after for entry in (await ledger.history("eo"))[-1:]} == {0}


async def test_every_group_above_counts_too(opened):
    async with opened(policy("top", amount=5), policy("team", amount=4, group="eo/coast")) as ledger:
        assert isinstance(await reserve(ledger, "a", [cores(3)], charge=CAROL), Lease)
        refused = await reserve(ledger, "b", [cores(3)], charge=ALICE)
        assert [e.policy for e in refused.violated] == ["top"]
        assert isinstance(await reserve(ledger, "c", [cores(2)], charge=ALICE), Lease)


async def test_each_user_and_each_child_are_limited_apart(opened):
    policies = policy("user", amount=2, applies="each-user"), policy("child", amount=3, applies="each-child")
    async with opened(*policies) as ledger:
        assert isinstance(await reserve(ledger, "a", [cores(2)], charge=ALICE), Lease)
        refused = await reserve(ledger, "b", [cores(1)], charge=ALICE)
        assert [(e.policy, e.group) for e in refused.violated] == [("user", "eo/~alice")]
        refused = await reserve(ledger, "c", [cores(2)], charge=BOB)
        assert [(e.policy, e.group) for e in refused.violated] == [("child", "eo/coast")]
        assert isinstance(await reserve(ledger, "d", [cores(2)], charge=CAROL), Lease)
        assert await taken(ledger, "eo/coast", "alice") == {
            ("user", "eo/~alice"): (0, 2),
            ("child", "eo/coast"): (0, 2),
        }
        assert await taken(ledger) == {
            ("user", "eo/~alice"): (0, 2),
            ("user", "eo/~carol"): (0, 2),
            ("child", "eo/coast"): (0, 2),
            ("child", "eo/ice"): (0, 2),
        }


async def test_a_repeated_key_is_the_same_lease(opened):
    async with opened(policy()) as ledger:
        first = await reserve(ledger, "k", [cores(6)])
        assert await reserve(ledger, "k", [cores(6)]) == first
        assert await taken(ledger) == {("p", "eo"): (0, 6)}
        with pytest.raises(KeyReused):
            await reserve(ledger, "k", [cores(1)])
        with pytest.raises(KeyReused):
            await reserve(ledger, "k", [cores(6)], charge=BOB)


async def test_a_key_that_was_committed_is_not_charged_again(opened):
    async with opened(policy("disk", "storage_bytes", "stock", 100)) as ledger:
        lease = await reserve(ledger, "k", [stored(60)])
        await ledger.commit("k")
        await ledger.commit("k", {"storage_bytes": 1})
        assert await reserve(ledger, "k", [stored(60)]) == lease
        assert await taken(ledger) == {("disk", "eo"): (60, 0)}
        with pytest.raises(LeaseLost):
            await ledger.renew("k", ttl=5)


async def test_a_key_that_was_released_or_has_expired_can_be_reserved_anew(opened, clock):
    async with opened(policy()) as ledger:
        first = await reserve(ledger, "k", [cores(6)])
        await ledger.release("k")
        second = await reserve(ledger, "k", [cores(7)])
        clock.now += 61
        third = await reserve(ledger, "k", [cores(8)])
        assert first.fence < second.fence < third.fence
        assert await taken(ledger) == {("p", "eo"): (0, 8)}


async def test_a_lease_ends_at_its_expiry_unless_it_is_renewed(opened, clock):
    async with opened(policy()) as ledger:
        lease = await reserve(ledger, "a", [cores(6)], ttl=10)
        await reserve(ledger, "b", [cores(4)], ttl=10)
        clock.now += 9
        renewed = await ledger.renew("a", ttl=10)
        assert renewed.fence > lease.fence
        assert renewed.expires_at == clock.now + 10
        clock.now += 1
        assert await ledger.expire() == 1
        assert [each.key for each in await ledger.leases()] == ["a"]
        assert await taken(ledger) == {("p", "eo"): (0, 6)}
        for call in (ledger.renew("b", ttl=1), ledger.commit("b")):
            with pytest.raises(LeaseLost, match="b"):
                await call
        clock.now += 9
        assert isinstance(await reserve(ledger, "c", [cores(10)]), Lease)


async def test_commit_keeps_what_was_really_used_of_stocks_and_gives_concurrent_amounts_back(opened):
    async with opened(policy(), policy("disk", "storage_bytes", "stock", 100)) as ledger:
        await reserve(ledger, "k", [cores(4), stored(50)])
        await ledger.commit("k", {"storage_bytes": 30})
        assert await taken(ledger) == {("p", "eo"): (0, 0), ("disk", "eo"): (30, 0)}


async def test_more_than_was_reserved_is_committed_only_where_it_fits(opened):
    async with opened(policy("disk", "storage_bytes", "stock", 100)) as ledger:
        await reserve(ledger, "k", [stored(50)])
        await reserve(ledger, "other", [stored(30)])
        with pytest.raises(QuotaExceeded) as caught:
            await ledger.commit("k", {"storage_bytes": 71})
        assert caught.value.refusal.violated[0].requested == 21
        await ledger.commit("k", {"storage_bytes": 70})
        assert await taken(ledger) == {("disk", "eo"): (70, 30)}


async def test_stock_is_given_back_once_per_key_and_never_below_nothing(opened):
    async with opened(policy("disk", "storage_bytes", "stock", 100)) as ledger:
        await reserve(ledger, "k", [stored(50)])
        await ledger.commit("k")
        await ledger.give_back(ALICE, stored(20), key="gone", why="deleted")
        await ledger.give_back(ALICE, stored(20), key="gone", why="deleted")
        assert await taken(ledger) == {("disk", "eo"): (30, 0)}
        await ledger.give_back(ALICE, stored(500), key="all", why="deleted")
        await ledger.give_back(BOB, stored(500), key="not his", why="deleted")
        assert await taken(ledger) == {("disk", "eo"): (0, 0)}


async def test_a_window_gives_back_what_is_a_window_old(opened, clock):
    async with opened(policy("month", "harvest_bytes", "window", 100, window_seconds=600)) as ledger:
        await reserve(ledger, "a", [harvested(60)])
        await ledger.commit("a", {"harvest_bytes": 50})
        clock.now += 300
        await reserve(ledger, "b", [harvested(50)])
        await ledger.commit("b")
        assert await taken(ledger) == {("month", "eo"): (100, 0)}
        refused = await reserve(ledger, "c", [harvested(20)])
        free_at = refused.violated[0].available_at
        assert clock.now + 300 <= free_at <= clock.now + 310
        clock.now = free_at - 0.5
        assert isinstance(await reserve(ledger, "c", [harvested(20)]), Refusal)
        clock.now = free_at
        assert isinstance(await reserve(ledger, "c", [harvested(50)]), Lease)
        assert await taken(ledger) == {("month", "eo"): (50, 50)}


async def test_a_rate_allows_its_burst_and_then_its_pace(opened, clock):
    async with opened(policy("pace", "requests", "rate", 4, window_seconds=60)) as ledger:
        one = [Line(resource="requests", amount=1)]
        for n in range(4):
            assert isinstance(await reserve(ledger, f"{n}", one), Lease)
            await ledger.commit(f"{n}")
        refused = await reserve(ledger, "5", one)
        assert refused.retry_after == pytest.approx(15)
        clock.now += 15
        assert isinstance(await reserve(ledger, "5", one), Lease)
        assert isinstance(await reserve(ledger, "6", one), Refusal)
        await ledger.release("5")
        assert isinstance(await reserve(ledger, "6", one), Lease)


async def test_a_shadow_policy_is_counted_and_refuses_nothing(opened):
    async with opened(policy(amount=3, mode="shadow")) as ledger:
        assert isinstance(await reserve(ledger, "k", [cores(9)]), Lease)
        assert await ledger.check(ALICE, [cores(9)]) is None
        assert await taken(ledger) == {("p", "eo"): (0, 9)}


async def test_a_check_answers_as_a_reservation_would_and_writes_nothing(opened):
    async with opened(policy()) as ledger:
        assert await ledger.check(ALICE, [cores(10)]) is None
        refused = await ledger.check(ALICE, [cores(11)])
        assert refused.never
        assert refused == await reserve(ledger, "k", [cores(11)])
        assert await ledger.history("eo") == []


async def test_no_policy_means_no_limit_and_is_told_without_asking(opened):
    async with opened(policy(edge="edge-b")) as ledger:
        assert ledger.binds(ALICE, [cores(1)]) == ()
        assert [p.name for p in ledger.binds(ALICE, [cores(1, "edge-b")])] == ["p"]
        assert isinstance(await reserve(ledger, "k", [cores(1e9)]), Lease)


async def test_new_policies_count_what_is_already_taken(opened, clock):
    async with opened() as ledger:
        await reserve(ledger, "c", [cores(4)], ttl=1e6)
        for n in range(3):
            await reserve(ledger, f"h{n}", [harvested(10), stored(10)])
            await ledger.commit(f"h{n}")
            clock.now += 100
        window = policy("hour", "harvest_bytes", "window", 100, window_seconds=240)
        await ledger.set_policies([policy(amount=3), window, policy("disk", "storage_bytes", "stock", 99)])
        assert await taken(ledger) == {("p", "eo"): (0, 4), ("hour", "eo"): (20, 0), ("disk", "eo"): (30, 0)}
        refused = await reserve(ledger, "d", [cores(1)])
        assert (refused.violated[0].reserved, refused.violated[0].limit) == (4, 3)
        await ledger.release("c")
        assert isinstance(await reserve(ledger, "d", [cores(1)]), Lease)
        await ledger.set_policies([])
        assert await ledger.usage(["eo"]) == []
        await ledger.set_policies([window])
        assert await taken(ledger) == {("hour", "eo"): (20, 0)}


async def test_a_rate_goes_on_under_new_policies_unless_it_is_another_rate(opened):
    pace = policy("pace", "requests", "rate", 4, window_seconds=60)
    async with opened(pace) as ledger:
        await reserve(ledger, "k", [Line(resource="requests", amount=3)])
        await ledger.set_policies([policy(), pace])
        assert (await taken(ledger))["pace", "eo"] == pytest.approx((3, 0))
        await ledger.set_policies([policy("pace", "requests", "rate", 8, window_seconds=60)])
        assert (await taken(ledger))["pace", "eo"] == (0, 0)


async def test_a_change_of_the_configuration_is_in_the_history(opened):
    async with opened(policy(), policy("gone", "memory")) as ledger:
        assert await ledger.history("*") == []  # what it began with
        await ledger.set_policies([policy(amount=3), policy("new", "gpus", amount=2)])
        await ledger.set_policies([policy(amount=3), policy("new", "gpus", amount=2)])
        told = [(e.seq, e.event, e.key, e.user, e.before, e.after) for e in await ledger.history("*")]
        assert told == [
            (1, "policy", "gone", "configuration", 10, 0),
            (2, "policy", "new", "configuration", 0, 2),
            (3, "policy", "p", "configuration", 10, 3),
        ]
        assert isinstance(await reserve(ledger, "a", [cores(1)]), Lease)


async def test_two_policies_of_one_name_are_refused_and_the_old_ones_hold(opened):
    async with opened(policy()) as ledger:
        with pytest.raises(ValueError, match="twice"):
            await ledger.set_policies([policy(), policy()])
        assert await taken(ledger) == {("p", "eo"): (0, 0)}


@pytest.mark.parametrize(
    ("lines", "ttl"), [([], 1), ([cores(1)], 0), ([cores(1)], float("nan")), ([cores(1)], float("inf"))]
)
async def test_a_reservation_of_nothing_or_for_no_time_is_refused(opened, lines, ttl):
    async with opened(policy()) as ledger:
        with pytest.raises(InvalidAmount):
            await reserve(ledger, "k", lines, ttl=ttl)


async def test_the_history_tells_who_took_what_when_and_why(opened, clock):
    async with opened(policy("disk", "storage_bytes", "stock", 100)) as ledger:
        await reserve(ledger, "k", [stored(50)])
        await ledger.commit("k", {"storage_bytes": 40})
        await ledger.give_back(ALICE, stored(15), key="g", why="deleted")
        await reserve(ledger, "l", [cores(2)], charge=CAROL, ttl=5)
        clock.now += 5
        await ledger.expire()
        entries = await ledger.history("eo")
        assert [(e.seq, e.event, e.key, e.user, e.amount, e.before, e.after) for e in entries] == [
            (1, "reserve", "k", "alice", 50, 0, 50),
            (2, "commit", "k", "alice", 40, 50, 40),
            (3, "give-back", "g", "alice", 15, 40, 25),
            (4, "reserve", "l", "carol", 2, 0, 2),
            (5, "expire", "l", "carol", 2, 2, 0),
        ]
        assert entries[0].why == "a test"
        assert entries[4].at == clock.now
        assert [e.seq for e in await ledger.history("eo", after=2, limit=2)] == [3, 4]
        assert [e.seq for e in await ledger.history("eo/ice")] == [4, 5]
        assert [e.seq for e in await ledger.history("*", after=3)] == [4, 5]
        assert await ledger.history("e") == []


async def test_many_tasks_at_once_are_granted_exactly_the_limit(opened):
    async with opened(policy(amount=25, applies="each-user"), policy("all", amount=40)) as ledger:
        asked = [reserve(ledger, f"{who.user}-{n}", [cores(1)], charge=who) for n in range(40) for who in (ALICE, BOB)]
        answers = await asyncio.gather(*asked)
        assert sum(isinstance(answer, Lease) for answer in answers) == 40
        assert (await taken(ledger))["all", "eo"] == (0, 40)
        assert max(reserved for _, reserved in (await taken(ledger)).values()) == 40
