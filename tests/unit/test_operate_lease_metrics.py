"""The gauge of open leases, by which a leak is seen."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.quota.metrics import LevelMetrics
from quotas.model import Charge, Lease, Line, Policy
from quotas.sqlite import SqliteLedger


async def test_open_leases_are_told_by_what_they_hold_until_they_end(tmp_path: Path):
    policy = Policy(name="p", group="*", resource="cores", kind="concurrent", amount=8)
    registry = CollectorRegistry()

    def told(resource: str) -> float | None:
        return registry.get_sample_value("lakegate_quota_leases", {"resource": resource})

    async with SqliteLedger(tmp_path / "quotas.sqlite", [policy]) as ledger:
        metrics = LevelMetrics(registry, ledger=ledger)
        lines = [Line(resource="cores", amount=2), Line(resource="clusters", amount=1)]
        for key in ("c-1", "c-2"):
            lease = await ledger.reserve(key, Charge(group="eo", user="ann"), lines, ttl=60, why="a test")
            assert isinstance(lease, Lease)
        await metrics.read()
        assert (told("cores"), told("clusters"), told("kernels")) == (2, 2, 0)
        await ledger.release("c-1")
        await metrics.read()
        assert told("clusters") == 1
