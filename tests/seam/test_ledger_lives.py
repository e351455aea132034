"""Random lives of a whole ledger: the line, grants, slices and truth come in between, and the guarantees hold."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ledger_lives import CHARGES, OnPostgres, OnSqlite, check_replay, lives

from quotas.errors import QuotaError
from quotas.model import Lease, Line, Policy
from quotas.rates import slack
from quotas.records import Grant, Observed, Spent

pytestmark = pytest.mark.seam

POLICIES = (
    Policy(name="all", group="eo", resource="cores", kind="concurrent", amount=20, on_exceed="queue"),
    Policy(name="coast", group="eo/coast", resource="cores", kind="concurrent", amount=10, borrow=6, lend=6),
    Policy(name="ice", group="eo/ice", resource="cores", kind="concurrent", amount=10, borrow=6, lend=6),
    Policy(name="each", group="eo", resource="cores", kind="concurrent", amount=12, applies="each-user"),
    Policy(name="disk", group="eo", resource="storage_bytes", kind="stock", amount=1_000, on_exceed="trim"),
    Policy(name="hour", group="eo", resource="harvest_bytes", kind="window", amount=1_000, window_seconds=3_600),
    Policy(name="month", group="*", resource="harvest_bytes", kind="window", amount=2_500, reset="month"),
    Policy(
        name="soft",
        group="eo",
        resource="harvest_bytes",
        kind="window",
        amount=9,
        window_seconds=60,
        on_exceed="degrade",
    ),
    Policy(
        name="pace", group="eo", resource="requests", kind="rate", amount=7, window_seconds=60, applies="each-child"
    ),
)
LIMITS = {policy.name: policy for policy in POLICIES}
KEYS = [f"k{n}" for n in range(10)]
AMOUNTS = {
    "cores": [0.0, 1.0, 2.5, 6.0, 11.0, 16.0, 30.0],
    "storage_bytes": [1.0, 333.3, 700.0],
    "harvest_bytes": [5.0, 400.0, 1_000.0],
    "requests": [1.0, 4.0],
}
lines = st.sampled_from(sorted(AMOUNTS)).flatmap(
    lambda name: st.builds(
        Line, resource=st.just(name), amount=st.sampled_from(AMOUNTS[name]), edge=st.sampled_from(["*", "a"])
    )
)
keys, charges = st.sampled_from(KEYS), st.sampled_from(CHARGES)
some_lines = st.lists(lines, min_size=1, max_size=3)
ttls = st.sampled_from([1.0, 60.0, 900.0])


class WholeLife(RuleBasedStateMachine):
    """Anything may happen, in any order."""

    store = OnSqlite

    def __init__(self):
        super().__init__()
        self.now = 1_706_700_000.0  # the last day of a month
        self.real = self.store(lambda: self.now)
        self.real.open(POLICIES)
        self.fences = {}
        self.grants = 0

    def teardown(self):
        self.let_all_end()
        self.real.close()
        self.real.remove()

    def let_all_end(self):
        """No lease leaks: when all that wait have gone and all time is over, nothing is reserved."""
        for _ in range(3):
            self.now += 10_000
            self.do(lambda ledger: ledger.expire())
        assert self.do(lambda ledger: ledger.leases()) == []
        assert self.do(lambda ledger: ledger.waiting()) == []
        assert not any(usage.reserved for usage in self.do(lambda ledger: ledger.usage(["eo", "eo/coast", "eo/ice"])))

    def do(self, call):
        try:
            return self.real.run(call(self.real.next()))
        except QuotaError as error:
            if error.status == 503:
                raise
            return error

    @rule(key=keys, charge=charges, wanted=some_lines, ttl=ttls)
    def reserve(self, key, charge, wanted, ttl):
        self.do(lambda ledger: ledger.reserve(key, charge, wanted, ttl=ttl, why="life"))

    @rule(key=keys, charge=charges, wanted=some_lines)
    def reserve_some(self, key, charge, wanted):
        self.do(lambda ledger: ledger.reserve_some(key, charge, wanted, ttl=60, why="life"))

    @rule(key=keys, charge=charges, wanted=some_lines, ttl=ttls)
    def line_up(self, key, charge, wanted, ttl):
        self.do(lambda ledger: ledger.line_up(key, charge, wanted, ttl=ttl, why="life"))

    @rule(key=keys)
    def leave(self, key):
        self.do(lambda ledger: ledger.leave_line(key))

    @rule(key=keys, ttl=ttls)
    def renew(self, key, ttl):
        answer = self.do(lambda ledger: ledger.renew(key, ttl=ttl))
        if isinstance(answer, Lease):
            assert answer.fence > self.fences.get(key, 0)
            self.fences[key] = answer.fence

    @rule(key=keys, factor=st.sampled_from([None, 0.0, 0.5, 1.5]))
    def commit(self, key, factor):
        found = [lease for lease in self.do(lambda ledger: ledger.leases()) if lease.key == key]
        actual = None
        if found and factor is not None:
            actual = {line.resource: line.amount * factor for line in found[0].lines}
        self.do(lambda ledger: ledger.commit(key, actual))

    @rule(key=keys)
    def release(self, key):
        self.do(lambda ledger: ledger.release(key))

    @rule(charge=charges, key=st.sampled_from(["g1", "g2"]))
    def give_back(self, charge, key):
        line = Line(resource="storage_bytes", amount=100)
        self.do(lambda ledger: ledger.give_back(charge, line, key=key, why="life"))

    @rule(name=st.sampled_from(["s1", "s2"]), wanted=some_lines, ttl=ttls)
    def open_slice(self, name, wanted, ttl):
        self.do(lambda ledger: ledger.open_slice(name, "a", "eo/ice", wanted, ttl=ttl, why="life"))

    @rule(name=st.sampled_from(["s1", "s2"]), amount=st.sampled_from([0.0, 3.0, 400.0]))
    def settle_slice(self, name, amount):
        spent = [Spent(user="bob", resource="harvest_bytes", amount=amount)]
        self.do(lambda ledger: ledger.settle_slice(name, spent))

    @rule(running=st.dictionaries(keys, st.tuples(charges, some_lines), max_size=3))
    def reconcile(self, running):
        seen = [Observed(key=key, charge=charge, lines=tuple(got)) for key, (charge, got) in running.items()]
        self.do(lambda ledger: ledger.reconcile("k", seen, ttl=60, grace=10))

    @rule(name=st.sampled_from(["all", "coast", "disk"]))
    def grant(self, name):
        self.grants += 1
        raised = Grant(
            id=f"{self.grants}",
            policy=name,
            holder=LIMITS[name].group,
            amount=5,
            expires_at=self.now + 1e9,
            by="ops",
            why="life",
        )
        self.do(lambda ledger: ledger.grant(raised))

    @rule(policy=st.sampled_from(POLICIES[3:6]))
    def put_policy(self, policy):
        self.do(lambda ledger: ledger.put_policy(policy, by="ops", why="life"))

    @rule(seconds=st.sampled_from([0.5, 61.0, 700.0, 86_400.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def restart(self):
        self.real.close()
        self.real.open(POLICIES)

    @rule()
    def crash(self):
        self.real.crash()

    @invariant()
    def nothing_is_over_its_limit(self):
        groups = ["eo", "eo/coast", "eo/ice", "*"]
        usages = self.do(lambda ledger: ledger.usage(groups)) + self.do(lambda ledger: ledger.usage(groups, "bob"))
        for usage in usages:
            assert usage.used >= 0
            assert usage.reserved >= 0
            if usage.policy.refuses:
                assert usage.used + usage.reserved <= usage.limit + slack(usage.policy)

    @invariant()
    def the_history_adds_up_to_the_present(self):
        entries = self.do(lambda ledger: ledger.history("*", limit=1_000))
        check_replay(entries, self.do(lambda ledger: ledger.leases()))


class WholeLifeOnPostgres(WholeLife):
    """The same, by two gateways at once."""

    store = OnPostgres


def test_every_whole_life_on_sqlite_keeps_its_guarantees(record_property):
    record_property("lives", lives(60).max_examples)
    run_state_machine_as_test(WholeLife, settings=lives(60))


@pytest.mark.service
def test_every_whole_life_in_two_gateways_on_postgresql_keeps_its_guarantees(postgresql, record_property):
    record_property("lives", lives(6).max_examples)
    OnPostgres.dsn = postgresql
    run_state_machine_as_test(WholeLifeOnPostgres, settings=lives(6))
