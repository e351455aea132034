"""Policies, grants, borrowing and what they do to reservations, on each store that offers them."""

import pytest
from ledger_stores import (
    ALICE,
    BOB,
    CAROL,
    cores,
    harvested,
    policy,
    reserve,
    stored,
    taken,
)

from quotas.errors import InvalidAmount, InvalidPolicies, KeyReused, UnknownGrant, UnknownPolicy
from quotas.model import Lease, Line, Refusal
from quotas.records import Grant, Observed, Wanted
from quotas.replay import KEEP_HISTORY_SECONDS, replay

pytestmark = pytest.mark.seam


def grant(clock, amount=5.0, seconds=100.0, **rest):
    named = {"id": "g", "policy": "p", "holder": "eo", "by": "ops", "why": "a campaign"} | rest
    return Grant(amount=amount, expires_at=clock.now + seconds, **named)


async def test_an_administrators_policy_holds_in_place_of_a_configured_one_until_it_is_deleted(opened):
    async with opened(policy(amount=10)) as ledger:
        await ledger.put_policy(policy(amount=3), by="ops", why="too much load")
        assert isinstance(await reserve(ledger, "a", [cores(4)]), Refusal)
        (stored_policy,) = await ledger.policies()
        assert (stored_policy.source, stored_policy.by, stored_policy.policy.amount) == ("administrator", "ops", 3)
        assert ledger.binds(ALICE, [cores(1)])[0].amount == 3
    async with opened(policy(amount=20)) as ledger:
        assert isinstance(await reserve(ledger, "a", [cores(4)]), Refusal)
        await ledger.delete_policy("p", by="ops", why="load is over")
        assert isinstance(await reserve(ledger, "a", [cores(20)]), Lease)
        with pytest.raises(UnknownPolicy, match="configuration"):
            await ledger.delete_policy("p", by="ops", why="again")
        told = [(e.event, e.key, e.user, e.before, e.after, e.why) for e in await ledger.history("*")][:2]
        assert told == [("policy", "p", "ops", 10, 3, "too much load"), ("policy", "p", "ops", 3, 20, "load is over")]


async def test_a_grant_raises_the_limit_of_its_holder_until_it_is_over(opened, clock):
    async with opened(policy(amount=10, applies="each-user")) as ledger:
        await ledger.grant(grant(clock, holder="eo/~alice"))
        await ledger.grant(grant(clock, holder="eo/~alice"))
        assert [each.id for each in await ledger.grants()] == ["g"]
        assert isinstance(await reserve(ledger, "b", [cores(11)], charge=BOB), Refusal)
        assert isinstance(await reserve(ledger, "a", [cores(15)], ttl=1e6), Lease)
        (usage,) = await ledger.usage(["eo"], "alice")
        assert (usage.granted, usage.limit) == (5, 15)
    async with opened(policy(amount=10, applies="each-user")) as ledger:
        clock.now += 100
        assert await ledger.grants() == []
        refused = await reserve(ledger, "c", [cores(1)])
        assert (refused.violated[0].limit, refused.violated[0].reserved) == (10, 15)


async def test_a_grant_ends_early_and_is_in_the_history(opened, clock):
    async with opened(policy(amount=10)) as ledger:
        await ledger.grant(grant(clock))
        with pytest.raises(KeyReused):
            await ledger.grant(grant(clock, amount=6))
        await ledger.revoke("g", by="boss", why="a mistake")
        assert isinstance(await reserve(ledger, "a", [cores(11)]), Refusal)
        for wrong in ("g", "never"):
            with pytest.raises(UnknownGrant):
                await ledger.revoke(wrong, by="boss", why="again")
        entries = await ledger.history("*", wanted=Wanted(events=("grant",)))
        assert [(e.user, e.before, e.after, e.why) for e in entries] == [
            ("ops", 0, 5, "a campaign"),
            ("boss", 5, 0, "a mistake"),
        ]


async def test_a_grant_that_makes_no_sense_is_refused(opened, clock):
    async with opened(policy(), policy("pace", "requests", "rate", 4, window_seconds=60)) as ledger:
        with pytest.raises(UnknownPolicy):
            await ledger.grant(grant(clock, policy="none"))
        with pytest.raises(InvalidPolicies, match="rate"):
            await ledger.grant(grant(clock, policy="pace"))
        with pytest.raises(InvalidPolicies, match="over"):
            await ledger.grant(grant(clock, seconds=0))


async def test_changes_and_reservations_at_once_all_happen(opened):
    async with opened(policy(amount=1)) as ledger:
        await ledger.put_policy(policy("q", amount=100), by="ops", why="more")
        await ledger.put_policy(policy(amount=7), by="ops", why="more")
        assert isinstance(await reserve(ledger, "a", [cores(7)]), Lease)
        assert isinstance(await reserve(ledger, "b", [cores(1)]), Refusal)


LENT = (
    policy("all", amount=100),
    policy("coast", amount=50, group="eo/coast", borrow=40, lend=40),
    policy("ice", amount=50, group="eo/ice", borrow=40, lend=40),
)


async def test_a_group_borrows_what_others_do_not_use_but_not_what_is_kept_for_them(opened):
    async with opened(*LENT) as ledger:
        refused = await reserve(ledger, "a", [cores(91)])
        assert {e.policy: (e.limit, e.admissible) for e in refused.violated} == {"coast": (90, 90)}
        assert isinstance(await reserve(ledger, "a", [cores(90)]), Lease)
        refused = await reserve(ledger, "b", [cores(20)], charge=CAROL)
        assert {e.policy: e.admissible for e in refused.violated} == {"all": 10}
        assert isinstance(await reserve(ledger, "b", [cores(10)], charge=CAROL), Lease)
        await ledger.release("a")
        assert isinstance(await reserve(ledger, "c", [cores(80)], charge=CAROL), Lease)
        assert isinstance(await reserve(ledger, "d", [cores(10)]), Lease)


async def test_borrowing_where_there_is_nobody_to_borrow_from_is_refused(opened):
    async with opened(*LENT) as ledger:
        with pytest.raises(InvalidPolicies, match="borrows"):
            await ledger.put_policy(policy("x", "memory", amount=1, group="eo/ice", borrow=1), by="ops", why="")
        with pytest.raises(InvalidPolicies, match="borrows"):
            await ledger.set_policies(LENT[1:])
        assert len(await ledger.policies()) == 3


async def test_what_may_be_trimmed_is_granted_as_far_as_it_fits(opened):
    policies = policy(amount=10, on_exceed="trim"), policy("b", amount=4, edge="edge-b", on_exceed="trim")
    async with opened(*policies) as ledger:
        lease = await ledger.reserve_some("k", ALICE, [cores(6), cores(6, "edge-b")], ttl=60, why="")
        assert sum(line.amount for line in lease.lines) <= 10
        assert lease.lines[1].amount <= 4
        assert await ledger.reserve_some("k", ALICE, [cores(6), cores(6, "edge-b")], ttl=60, why="") == lease
        with pytest.raises(KeyReused):
            await ledger.reserve_some("k", ALICE, [cores(1)], ttl=60, why="")
        rest = await ledger.reserve_some("l", ALICE, [cores(9)], ttl=60, why="")
        assert (await taken(ledger))["p", "eo"] == (0, 10)
        assert isinstance(rest, Lease)
        assert isinstance(await ledger.reserve_some("m", ALICE, [cores(9)], ttl=60, why=""), Refusal)
    async with opened(policy(amount=10)) as ledger:
        assert isinstance(await ledger.reserve_some("n", CAROL, [cores(11)], ttl=60, why=""), Refusal)


async def test_what_degrades_is_granted_and_says_so(opened):
    async with opened(policy("soft", amount=2, on_exceed="degrade"), policy(amount=10)) as ledger:
        assert (await reserve(ledger, "a", [cores(2)])).degraded == ()
        lease = await reserve(ledger, "b", [cores(3)])
        assert lease.degraded == ("soft",)
        assert await reserve(ledger, "b", [cores(3)]) == lease
        assert (await ledger.renew("b", ttl=9)).degraded == ("soft",)
        assert isinstance(await reserve(ledger, "c", [cores(6)]), Refusal)


async def test_a_calendar_month_begins_anew_at_its_first_day(opened, clock):
    clock.now = 1_706_659_200.0  # 31 January 2024, noon UTC in 12 h
    async with opened(policy("m", "harvest_bytes", "window", 100, reset="month")) as ledger:
        await reserve(ledger, "a", [harvested(100)])
        await ledger.commit("a")
        refused = await reserve(ledger, "b", [harvested(1)])
        assert refused.violated[0].available_at == 1_706_745_600.0
        clock.now = 1_706_745_600.0
        assert isinstance(await reserve(ledger, "b", [harvested(100)]), Lease)
    async with opened(policy("n", "harvest_bytes", "window", 100, reset="month")) as ledger:
        await ledger.commit("b")
        assert await taken(ledger) == {("n", "eo"): (100, 0)}


async def test_a_month_that_is_counted_anew_knows_what_the_history_knows(opened, clock):
    async with opened() as ledger:
        await reserve(ledger, "a", [harvested(60)])
        await ledger.commit("a")
        await ledger.put_policy(policy("m", "harvest_bytes", "window", 100, reset="month"), by="ops", why="new")
        assert await taken(ledger) == {("m", "eo"): (60, 0)}


async def test_an_edge_can_be_a_pattern(opened):
    async with opened(policy(amount=5, edge="cloud-*,edge-a")) as ledger:
        assert isinstance(await reserve(ledger, "a", [cores(3, "cloud-1")]), Lease)
        assert isinstance(await reserve(ledger, "b", [cores(3, "edge-a")]), Refusal)
        assert isinstance(await reserve(ledger, "c", [cores(30, "edge-b"), cores(9, "*")]), Lease)


async def test_leases_are_made_to_say_what_really_runs(opened, clock):
    async with opened(policy(amount=10)) as ledger:
        for key, amount in [("run/same", 1), ("run/more", 1), ("run/gone", 1), ("other", 1)]:
            await reserve(ledger, key, [cores(amount)], ttl=60)
        clock.now += 30
        await reserve(ledger, "run/new", [cores(1)], ttl=60)
        truth = [("run/same", 1), ("run/more", 3), ("run/found", 2), ("run/huge", 50)]
        observed = [Observed(key=key, charge=ALICE, lines=(cores(amount),)) for key, amount in truth]
        told = await ledger.reconcile("run/", observed, ttl=60, grace=20)
        assert [lease.key for lease in told.held] == ["run/same"]
        assert [lease.key for lease in told.adopted] == ["run/more", "run/found"]
        assert told.released == ("run/gone",)
        assert [key for key, _ in told.refused] == ["run/huge"]
        assert [lease.key for lease in await ledger.leases()] == [
            "other",
            "run/found",
            "run/more",
            "run/new",
            "run/same",
        ]
        assert await taken(ledger) == {("p", "eo"): (0, 8)}


async def test_what_runs_but_grew_too_large_keeps_the_lease_it_has(opened):
    async with opened(policy(amount=10)) as ledger:
        await reserve(ledger, "run/a", [cores(4)])
        told = await ledger.reconcile(
            "run/", [Observed(key="run/a", charge=ALICE, lines=(cores(11),))], ttl=60, grace=0
        )
        assert [key for key, _ in told.refused] == ["run/a"]
        assert await taken(ledger) == {("p", "eo"): (0, 4)}
        assert [entry.event for entry in await ledger.history("eo")] == ["reserve"]  # a refusal leaves no trace


async def test_the_history_says_why_a_lease_was_set_right(opened, clock):
    async with opened(policy(amount=10)) as ledger:
        await reserve(ledger, "run/a", [cores(4)])
        await reserve(ledger, "run/gone", [cores(1)])
        clock.now += 10
        await ledger.reconcile("run/", [Observed(key="run/a", charge=BOB, lines=(cores(6),))], ttl=60, grace=60)
        told = [(entry.event, entry.key, entry.user, entry.after, entry.why) for entry in await ledger.history("eo")]
        assert told[2:] == [
            ("release", "run/a", "alice", 1, "found running otherwise"),
            ("reserve", "run/a", "bob", 6, "found running"),
        ]
        clock.now += 10
        await ledger.reconcile("run/", [], ttl=60, grace=0)
        assert {entry.why for entry in (await ledger.history("eo"))[4:]} == {"nothing runs"}
        with pytest.raises(InvalidAmount):
            await ledger.reconcile("run/", [Observed(key="run/b", charge=BOB, lines=())], ttl=60, grace=0)


async def test_the_history_is_filtered_and_goes_on_by_number(opened, clock):
    async with opened(policy("d", "storage_bytes", "stock", 100)) as ledger:
        for n, who in enumerate([ALICE, BOB, CAROL]):
            await reserve(ledger, f"k{n}", [stored(n + 1)], charge=who)
            await ledger.commit(f"k{n}")
            clock.now += 10
        commits = await ledger.history("eo", wanted=Wanted(events=("commit",)))
        assert [e.amount for e in commits] == [1, 2, 3]
        assert [e.user for e in await ledger.history("eo", wanted=Wanted(user="bob"))] == ["bob", "bob"]
        assert len(await ledger.history("eo", wanted=Wanted(key="k0"))) == 2
        late = await ledger.history("*", wanted=Wanted(since=clock.now - 20, until=clock.now - 10))
        assert {e.user for e in late} == {"bob"}
        assert await ledger.history("eo", wanted=Wanted(resource="cores")) == []


async def test_usage_is_told_over_time_by_user_and_edge(opened, clock):
    begin = clock.now
    async with opened() as ledger:
        await reserve(ledger, "a", [cores(4)], ttl=1e6)
        await reserve(ledger, "h", [harvested(10)])
        clock.now += 50
        await ledger.commit("h", {"harvest_bytes": 8})
        await reserve(ledger, "b", [cores(2, "edge-b")], charge=BOB, ttl=1e6)
        clock.now += 50
        await ledger.release("a")
        clock.now += 100
        told = await ledger.usage_over_time("eo", "cores", since=begin, until=begin + 200, step=100)
        assert [(p.at - begin, p.user, p.edge, p.held, p.peak) for p in told] == [
            (0, "alice", "edge-a", 4, 4),
            (0, "bob", "edge-b", 1, 2),
            (100, "bob", "edge-b", 2, 2),
        ]
        told = await ledger.usage_over_time("eo", "harvest_bytes", since=begin, until=begin + 100, step=50)
        assert [(p.at - begin, p.used, p.held) for p in told] == [(0, 0, 10), (50, 8, 0)]


async def test_a_key_reserved_for_something_else_after_its_release_is_found_so_after_a_restart(opened):
    async with opened(policy()) as ledger:
        await reserve(ledger, "k", [cores(1)])
        told = await ledger.reconcile("k", [Observed(key="k", charge=BOB, lines=(cores(3),))], ttl=60, grace=0)
        assert told.adopted
    async with opened(policy()) as ledger:
        (lease,) = await ledger.leases()
        assert (lease.charge, lease.lines) == (BOB, (cores(3),))


async def test_a_history_that_is_forgotten_is_added_up_in_a_checkpoint(opened, clock):
    policies = policy("d", "storage_bytes", "stock", 100), policy(amount=10)
    async with opened(*policies) as ledger:
        await reserve(ledger, "kept", [stored(30)])
        await ledger.commit("kept")
        await reserve(ledger, "open", [cores(4)], ttl=1e9)
        clock.now += KEEP_HISTORY_SECONDS + 1
        await reserve(ledger, "late", [cores(1), stored(5)], ttl=1e9)
        await ledger.expire()
        entries = await ledger.history("*")
        start = await ledger.checkpoint()
        assert start.seq == 3
        assert [entry.seq for entry in entries] == [4, 5]
        state = replay(entries, start)
        assert {key: sum(facts.values()) for key, facts in state.open.items()} == {"open": 4, "late": 6}
        assert list(state.kept.values()) == [30]
    async with opened(*policies) as ledger:
        await ledger.release("open")
        assert [entry.seq for entry in await ledger.history("*")] == [4, 5, 6]
        assert (await taken(ledger)) == {("d", "eo"): (30, 5), ("p", "eo"): (0, 1)}


async def test_another_configuration_at_a_restart_is_in_the_history(opened):
    async with opened(policy()) as ledger:
        await reserve(ledger, "a", [cores(1)])
    async with opened(policy(amount=20)) as ledger:
        await reserve(ledger, "b", [cores(1)])
    async with opened(policy(amount=20)) as ledger:
        told = [(entry.event, entry.key, entry.before, entry.after) for entry in await ledger.history("*")]
        assert [each for each in told if each[0] == "policy"] == [("policy", "p", 10, 20)]
        assert len(told) == 3
        assert {lease.key for lease in await ledger.leases()} == {"a", "b"}


async def test_who_waits_and_is_found_running_is_not_admitted_a_second_time(opened, clock):
    queued = policy(amount=10, on_exceed="queue")
    async with opened(queued, policy("pace", "gpus", amount=9)) as ledger:
        await reserve(ledger, "a", [cores(8)])
        await ledger.line_up("b", BOB, [cores(6)], ttl=60, why="waits")
        running = Observed(key="b", charge=CAROL, lines=(Line(resource="gpus", amount=2, edge="a"),))
        await ledger.reconcile("b", [running], ttl=60, grace=0)
        await ledger.release("a")
        (lease,) = await ledger.leases()
        assert (lease.key, lease.charge, await ledger.waiting()) == ("b", CAROL, [])
        assert set(replay(await ledger.history("*")).open) == {"b"}
        await ledger.release("b")
        assert replay(await ledger.history("*")).open == {}
        assert [each.reserved for each in await ledger.usage(["eo"])] == [0, 0]
