"""The figures of all harvests, for metrics."""

from collections.abc import Mapping

from harvest import rules_store
from harvest.database import Connection
from harvest.model import Value

MOST_RULES = 200
"""Standing rules whose lag is told one by one, the oldest; of the others, the largest, as :data:`OTHERS`."""

OTHERS = "(others)"


class Claims(Value, frozen=True):
    """Claims that live, those that lapsed, and since how many seconds the first of them has."""

    alive: int = 0
    lapsed: int = 0
    oldest: float = 0.0


class Stats(Value, frozen=True):
    """Counts by state; objects by target and state with their bytes; bytes moved by target; lag by rule (seconds).

    ``runs`` by executor and state, their failures by executor, and for how many seconds the workers of one are silent.
    """

    orders: Mapping[str, int]
    rules: Mapping[str, int]
    deliveries: Mapping[str, int]
    objects: Mapping[tuple[str, str], tuple[int, int]]
    moved: Mapping[str, int]
    retries: int
    lag: Mapping[str, float]
    claims: Claims = Claims()
    runs: Mapping[tuple[str, str], int] = {}
    run_failures: Mapping[str, int] = {}
    silence: Mapping[str, float] = {}


NOTHING = Stats(orders={}, rules={}, deliveries={}, objects={}, moved={}, retries=0, lag={})


def read(connection: Connection, now: float) -> Stats:
    """Read the figures, inside one transaction."""
    moved = connection.all("stats_moved")
    return Stats(
        orders={row["state"]: row["orders"] for row in connection.all("stats_orders")},
        rules={row["state"]: row["rules"] for row in connection.all("stats_rules")},
        deliveries={row["state"]: row["deliveries"] for row in connection.all("stats_deliveries")},
        objects={
            (row["target"], row["state"]): (row["objects"], row["bytes"]) for row in connection.all("stats_objects")
        },
        moved={row["target"]: row["moved"] for row in moved},
        retries=sum(row["rounds"] for row in moved),
        lag=_lag(connection, now),
        claims=_claims(connection, now),
        runs={(row["executor"], row["state"]): row["runs"] for row in connection.all("stats_runs")},
        run_failures={row["executor"]: row["failed"] for row in connection.all("stats_runs_failed")},
        silence={row["executor"]: max(0.0, row["silent"]) for row in connection.all("stats_silence", now=now)},
    )


def _claims(connection: Connection, now: float) -> Claims:
    row = connection.all("stats_claims", now=now)[0]
    return Claims(alive=row["alive"], lapsed=row["lapsed"], oldest=max(0.0, row["oldest"]))


def _lag(connection: Connection, now: float) -> dict[str, float]:
    lag: dict[str, float] = {}
    for number, row in enumerate(connection.all("rules_standing", limit=10 * MOST_RULES)):
        oldest = connection.all("rule_oldest_open", rule=row["id"])[0]["created"]
        behind = rules_store.lag_of(row, oldest, now)
        name = row["id"] if number < MOST_RULES else OTHERS
        lag[name] = max(behind, lag.get(name, 0.0))
    return lag
