"""The rules of quotas, without any store."""

import math

import pytest

from quotas.amounts import exact, shares
from quotas.binding import PolicySet, demand_of, fact_of
from quotas.errors import InvalidAmount
from quotas.model import Charge, Line, Policy
from quotas.rates import advance, level
from quotas.rules import evaluate, refusal
from quotas.windows import bucket_frees_at, bucket_of

ALICE = Charge(group="eo/coast/tides", user="alice")


def policy(name="p", group="eo", resource="cores", kind="concurrent", amount=10.0, **rest):
    return Policy(name=name, group=group, resource=resource, kind=kind, amount=amount, **rest)


def holders(policies, charge, line):
    return [(b.policy.name, b.holder) for b in PolicySet(policies).bind(fact_of(charge, line)).all]


class Fixed:
    """A snapshot in which all accounts are the same."""

    def __init__(self, used=0.0, reserved=0.0, frees=()):
        self._taken = (used, reserved)
        self._frees = frees

    def taken(self, bound, now):
        return self._taken

    def frees(self, bound, now):
        return self._frees


def test_a_charge_is_bound_by_its_group_and_all_groups_above():
    policies = [policy(n, g) for n, g in [("a", "eo"), ("b", "eo/coast"), ("c", "eo/coast/tides"), ("d", "*")]]
    found = holders(policies, ALICE, Line(resource="cores", amount=1))
    assert found == [("a", "eo"), ("b", "eo/coast"), ("c", "eo/coast/tides"), ("d", "*")]


@pytest.mark.parametrize("group", ["eo/coast/tides/north", "eo/coastal", "met", "e"])
def test_a_charge_is_not_bound_by_groups_beside_or_below(group):
    assert holders([policy(group=group)], ALICE, Line(resource="cores", amount=1)) == []


def test_each_user_and_each_child_have_accounts_of_their_own():
    policies = [
        policy("user", "eo", applies="each-user"),
        policy("child", "eo", applies="each-child"),
        policy("top", "*", applies="each-child"),
        policy("own", "eo/coast/tides", applies="each-child"),
    ]
    found = holders(policies, ALICE, Line(resource="cores", amount=1))
    assert found == [("user", "eo/~alice"), ("child", "eo/coast"), ("top", "eo")]


def test_a_policy_of_an_edge_binds_lines_of_that_edge_only():
    policies = [policy("all"), policy("a", edge="edge-a"), policy("b", edge="edge-b")]
    assert [n for n, _ in holders(policies, ALICE, Line(resource="cores", amount=1, edge="edge-a"))] == [
        "all",
        "a",
    ]
    assert [n for n, _ in holders(policies, ALICE, Line(resource="cores", amount=1))] == ["all"]
    assert holders(policies, ALICE, Line(resource="memory", amount=1)) == []


def test_lines_at_several_edges_meet_in_the_policy_for_all_edges():
    lines = [Line(resource="cores", amount=6, edge=e) for e in ("edge-a", "edge-b")]
    policies = PolicySet([policy("all"), policy("a", edge="edge-a")])
    demand = {bound.policy.name: amount for bound, amount in demand_of(policies.parts(ALICE, lines))}
    assert demand == {"all": 12.0, "a": 6.0}
    verdict = evaluate(demand_of(policies.parts(ALICE, lines)), Fixed(), now=0)
    assert [e.policy for e in verdict.violated] == ["all"]


def test_every_policy_that_stands_in_the_way_is_explained():
    policies = PolicySet(
        [policy("low", amount=1, contact="ops@x.org"), policy("lower", "eo/coast", amount=0.5), policy("ok")]
    )
    verdict = evaluate(demand_of(policies.parts(ALICE, [Line(resource="cores", amount=2)])), Fixed(), now=0)
    assert [(e.policy, e.group, e.limit, e.requested, e.never) for e in verdict.violated] == [
        ("low", "eo", 1.0, 2.0, True),
        ("lower", "eo/coast", 0.5, 2.0, True),
    ]
    refused = refusal(verdict, now=0)
    assert refused.never
    assert refused.retry_after is None
    assert verdict.violated[0].contact == "ops@x.org"
    assert "2 cores requested, 0 of 1 cores taken" in refused.sentence()


def test_shadow_policies_are_judged_and_refuse_nothing():
    policies = PolicySet([policy(amount=1, mode="shadow")])
    verdict = evaluate(demand_of(policies.parts(ALICE, [Line(resource="cores", amount=2)])), Fixed(), now=0)
    assert [e.policy for e in verdict.shadow] == ["p"]
    assert refusal(verdict, now=0) is None


def test_waiting_ends_when_enough_has_come_free():
    policies = PolicySet([policy(amount=10)])
    snapshot = Fixed(reserved=10, frees=[(300.0, 5.0), (100.0, 2.0), (200.0, 1.0)])
    for asked, at in [(1, 100.0), (3, 200.0), (4, 300.0), (9, None)]:
        verdict = evaluate(demand_of(policies.parts(ALICE, [Line(resource="cores", amount=asked)])), snapshot, now=50)
        assert verdict.violated[0].available_at == at
        wait = None if at is None else at - 50
        assert refusal(verdict, now=50).retry_after == wait


def test_full_stock_has_no_known_time_but_is_not_hopeless():
    policies = PolicySet([policy(resource="storage_bytes", kind="stock", amount=10)])
    verdict = evaluate(
        demand_of(policies.parts(ALICE, [Line(resource="storage_bytes", amount=1)])), Fixed(used=10), now=0
    )
    assert verdict.violated[0].available_at is None
    assert not refusal(verdict, now=0).never


def test_asking_for_nothing_always_fits():
    policies = PolicySet([policy(amount=0)])
    assert not evaluate(
        demand_of(policies.parts(ALICE, [Line(resource="cores", amount=0)])), Fixed(used=5), now=0
    ).violated


def test_a_rate_gives_back_steadily_and_allows_its_burst():
    rate = policy(resource="requests", kind="rate", amount=6, window_seconds=60)
    now = 1_700_000_000.0
    tat = advance(rate, 0.0, now, 6)
    assert level(rate, tat, now) == pytest.approx(6)
    assert level(rate, tat, now + 20) == pytest.approx(4)
    assert level(rate, tat, now + 60) == 0
    assert level(rate, advance(rate, tat, now, -2), now) == pytest.approx(4)
    bound = PolicySet([rate]).bind(fact_of(ALICE, Line(resource="requests", amount=1))).all[0]
    verdict = evaluate([(bound, 2.0)], Fixed(used=6), now)
    assert verdict.violated[0].available_at == pytest.approx(now + 20)


def test_a_clock_that_went_back_blocks_a_rate_for_one_window_at_most():
    rate = policy(resource="requests", kind="rate", amount=6, window_seconds=60)
    tat = advance(rate, 0.0, 1_000_000.0, 6)
    assert level(rate, tat, 1_000_000.0 - 3600) == 6
    assert level(rate, advance(rate, tat, 1_000_000.0 - 3600, 0), 1_000_000.0 - 3570) == pytest.approx(3)


def test_a_bucket_comes_free_when_all_of_it_is_a_window_old():
    bucket = bucket_of(600, 1_000.0)
    assert bucket == 100
    assert bucket_frees_at(600, bucket) == 1_010.0 + 600.0


def test_what_was_used_of_a_resource_is_shared_among_its_lines_as_reserved():
    lines = (
        Line(resource="harvest_bytes", amount=30, edge="a"),
        Line(resource="harvest_bytes", amount=10, edge="b"),
        Line(resource="harvest_jobs", amount=1),
    )
    assert shares(lines, None) == [30, 10, 1]
    assert shares(lines, {"harvest_bytes": 20}) == [15, 5, 1]
    assert shares((Line(resource="items", amount=0, edge="a"),), {"items": 3}) == [3]


@pytest.mark.parametrize("actual", [{"gpus": 1}, {"cores": -1}, {"cores": math.nan}, {"cores": math.inf}])
def test_what_cannot_have_been_used_is_refused(actual):
    with pytest.raises(InvalidAmount):
        shares((Line(resource="cores", amount=1),), actual)


@pytest.mark.parametrize("amount", [-1, math.nan, math.inf, 1e19])
def test_a_line_has_a_finite_amount(amount):
    with pytest.raises(ValueError, match="amount"):
        Line(resource="cores", amount=amount)


@pytest.mark.parametrize(
    "wrong", [{"group": "eo//x"}, {"group": ""}, {"group": "eo/~a"}, {"amount": math.inf}, {"name": " "}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"policy|name"):
        policy(**wrong)


def test_two_policies_of_one_name_are_refused():
    with pytest.raises(ValueError, match="twice"):
        PolicySet([policy(), policy(amount=3)])


def test_amounts_are_exact_after_any_number_of_sums():
    total = 0.0
    for _ in range(1_000):
        total += exact(0.1)
    for _ in range(1_000):
        total -= exact(0.1)
    assert total == 0.0
    assert exact(3e15 + 1) == 3e15 + 1
