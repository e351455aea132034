"""Random lives of a ledger: it must tell the same as the plain one in memory, and keep its guarantees at each step.

``LAKEGATE_EXAMPLES`` multiplies how many lives are tried.
"""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from ledger_lives import CHARGES, OnPostgres, OnSqlite, check_replay, finished, lives

from quotas.errors import KeyReused, LeaseLost, QuotaExceeded
from quotas.memory import MemoryLedger
from quotas.model import Lease, Line, Policy
from quotas.rates import slack

pytestmark = pytest.mark.seam

POLICIES = (
    Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=10),
    Policy(name="cores each", group="eo", resource="cores", kind="concurrent", amount=6, applies="each-user"),
    Policy(name="cores at a", group="*", resource="cores", kind="concurrent", amount=5, edge="a"),
    Policy(name="disk", group="eo", resource="storage_bytes", kind="stock", amount=1_000, applies="each-child"),
    Policy(name="volume", group="eo", resource="harvest_bytes", kind="window", amount=1_000, window_seconds=600),
    Policy(name="pace", group="eo/coast", resource="requests", kind="rate", amount=7, window_seconds=60),
    Policy(name="watched", group="eo", resource="cores", kind="concurrent", amount=2, mode="shadow"),
)
DAY = Policy(name="day", group="eo", resource="harvest_bytes", kind="window", amount=10**6, window_seconds=3_600)
FEWER = (POLICIES[0], POLICIES[3], DAY)
KEYS = [f"k{n}" for n in range(8)]

amounts = {
    "cores": st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 6.0, 11.0]),
    "storage_bytes": st.sampled_from([0.0, 1.0, 333.3, 500.0, 1_001.0]),
    "harvest_bytes": st.sampled_from([1.0, 100.7, 400.0, 999.0]),
    "requests": st.sampled_from([1.0, 2.0, 7.0]),
}
lines = st.sampled_from(sorted(amounts)).flatmap(
    lambda resource: st.builds(
        Line, resource=st.just(resource), amount=amounts[resource], edge=st.sampled_from(["*", "a", "b"])
    )
)


class LedgerLife(RuleBasedStateMachine):
    """Does the same to the plain ledger in memory and to a real one."""

    store = OnSqlite

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000.0
        self.policies = POLICIES
        self.plain = MemoryLedger(POLICIES, clock=lambda: self.now)
        self.real = self.store(lambda: self.now)
        self.real.open(self.policies)

    def teardown(self):
        self.real.close()
        self.real.remove()

    def both(self, call):
        """Call both; return the one answer, whether it was returned or raised."""
        answers = []
        for ledger, run in ((self.plain, finished), (self.real.next(), self.real.run)):
            try:
                answers.append(run(call(ledger)))
            except (KeyReused, LeaseLost) as error:
                answers.append(type(error))
            except QuotaExceeded as error:
                answers.append(error.refusal)
        assert same(answers[0], answers[1]), answers
        return answers[0]

    @rule(
        key=st.sampled_from(KEYS),
        charge=st.sampled_from(CHARGES),
        wanted=st.lists(lines, min_size=1, max_size=3),
        ttl=st.sampled_from([1.0, 30.0, 400.0]),
    )
    def reserve(self, key, charge, wanted, ttl):
        would = self.both(lambda ledger: ledger.check(charge, wanted))
        held = {lease.key for lease in self.both(lambda ledger: ledger.leases())}
        answer = self.both(lambda ledger: ledger.reserve(key, charge, wanted, ttl=ttl, why="model"))
        if isinstance(answer, Lease) and key not in held and answer.expires_at == self.now + ttl:
            assert would is None

    @rule(key=st.sampled_from(KEYS), ttl=st.sampled_from([1.0, 60.0]))
    def renew(self, key, ttl):
        self.both(lambda ledger: ledger.renew(key, ttl=ttl))

    @rule(key=st.sampled_from(KEYS), factor=st.sampled_from([None, 0.0, 0.3, 1.0, 1.5]))
    def commit(self, key, factor):
        (lease,) = [each for each in self.both(lambda ledger: ledger.leases()) if each.key == key] or [None]
        actual = None
        if lease is not None and factor is not None:
            totals = {}
            for line in lease.lines:
                totals[line.resource] = totals.get(line.resource, 0.0) + line.amount * factor
            actual = totals
        self.both(lambda ledger: ledger.commit(key, actual))

    @rule(key=st.sampled_from(KEYS))
    def release(self, key):
        self.both(lambda ledger: ledger.release(key))

    @rule(
        key=st.sampled_from(["g1", "g2", "g3"]),
        charge=st.sampled_from(CHARGES),
        amount=amounts["storage_bytes"],
        edge=st.sampled_from(["*", "a"]),
    )
    def give_back(self, key, charge, amount, edge):
        line = Line(resource="storage_bytes", amount=amount, edge=edge)
        self.both(lambda ledger: ledger.give_back(charge, line, key=key, why="model"))

    @rule()
    def expire(self):
        self.both(lambda ledger: ledger.expire())

    @rule(seconds=st.sampled_from([0.5, 5.0, 61.0, 300.0, 700.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(seconds=st.sampled_from([1.0, 90.0, 3_600.0]))
    def the_clock_is_set_back(self, seconds):
        self.now -= seconds

    @rule()
    def restart(self):
        self.real.close()
        self.real.open(self.policies)

    @rule()
    def crash(self):
        self.real.crash()

    @precondition(lambda self: self.policies is POLICIES)
    @rule()
    def policies_change_and_change_back(self):
        for policies in (FEWER, POLICIES):
            self.both(lambda ledger, policies=policies: ledger.set_policies(policies))
            self.both(lambda ledger: ledger.usage(["eo"]))

    @invariant()
    def nothing_is_over_its_limit(self):
        groups = ["eo", "eo/coast", "eo/ice", "*"]
        usages = []
        for user in (None, "alice", "bob"):
            usages += self.both(lambda ledger, user=user: ledger.usage(groups, user))
        for usage in usages:
            taken = usage.used + usage.reserved
            assert usage.used >= 0
            assert usage.reserved >= 0
            if usage.policy.mode == "enforce":
                assert taken <= usage.policy.amount + slack(usage.policy)

    @invariant()
    def the_history_adds_up_to_the_present(self):
        entries = self.both(lambda ledger: ledger.history("*", limit=1_000))
        leases = self.both(lambda ledger: ledger.leases())
        check_replay(entries, leases)


def same(one, other):
    """Compare answers; rates are counted in another order of sums, and may differ in the last digits."""
    if one == other:
        return True
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-5)
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__struct_fields__"):
        names = [name for name in one.__struct_fields__ if name != "fence"]  # it may skip numbers
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return False


class PostgresLife(LedgerLife):
    """The same, by two gateways at once."""

    store = OnPostgres


def test_every_life_on_sqlite_is_as_told_in_memory(record_property):
    record_property("lives", lives(60).max_examples)
    run_state_machine_as_test(LedgerLife, settings=lives(60))


@pytest.mark.service
def test_every_life_in_two_gateways_on_postgresql_is_as_told_in_memory(postgresql, record_property):
    record_property("lives", lives(6).max_examples)
    OnPostgres.dsn = postgresql
    run_state_machine_as_test(PostgresLife, settings=lives(6))
