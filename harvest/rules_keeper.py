"""Rules kept: estimated, run when due, repaired, ended. Repeatable, and safe beside others that do the same."""

import logging
from collections.abc import Mapping

import msgspec

from edges.errors import EdgeError
from harvest import orders, rules_store
from harvest.control import Control
from harvest.database import Connection, Journal, Row
from harvest.errors import HarvestError, OrderInFlight
from harvest.intake import Intake
from harvest.model import OrderRequest
from harvest.orders import NewOrder
from harvest.planner import fingerprint
from harvest.rules import Sighting, mark_after, order_request, query_at, targets_of
from harvest.rules_model import RuleRequest
from harvest.seams import Place
from harvest.spans import seconds_of
from harvest.states import ENDED_ORDERS, RULES, RuleEvent
from quotas.errors import QuotaError, QuotaExceeded

logger = logging.getLogger(__name__)

RUN_SECONDS = 600.0
"""How long a run may show no sign of life before another process takes it up."""

NEVER = 1e18
"""When a rule that runs once runs again."""

MAX_REPAIRS = 8
"""How often what is stuck is tried again by itself."""

LONGEST_PAUSE = 3_600.0


class RulesKeeper:
    """Does one turn at a time. ``pause_seconds`` is the shortest wait before what failed is tried again."""

    def __init__(
        self, *, journal: Journal, intake: Intake, control: Control, places: Mapping[str, Place], pause_seconds: float
    ) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint
        self._intake = intake
        self._control = control
        self._places = places
        self._pause = pause_seconds

    async def turn(self) -> None:
        """Do what is due; a rule that fails is told as such, and holds up no other."""
        await self._expire()
        now = self._clock()
        for row in await self._database.run(lambda c: c.all("rules_due", now=now)):
            await self._run_claimed(row["id"], now)
        await self._follow()

    async def _run_claimed(self, rule_id: str, now: float) -> None:
        row = await self._database.run(lambda c: c.one("rule_claim", id=rule_id, now=now, until=now + RUN_SECONDS))
        if row is None:  # another process was first
            return
        try:
            await self._run(row, now)
        except QuotaExceeded as error:
            pause = min(error.refusal.retry_after or LONGEST_PAUSE, LONGEST_PAUSE)
            await self._put_off(row, "quota-lost", str(error), max(self._pause, pause))
        except OrderInFlight as error:
            await self._put_off(row, None, str(error), self._pause)
        except (EdgeError, HarvestError, QuotaError) as error:
            logger.warning("a rule could not run", extra={"rule": rule_id, "reason": str(error)})
            pause = min(LONGEST_PAUSE, self._pause * 2.0 ** min(row["attempts"], 20))
            await self._put_off(row, "fail", str(error), pause)

    async def _run(self, row: Row, now: float) -> None:
        request = rules_store.request_of(row)
        targets = await self._targets(row, request)
        if row["state"] == "PENDING_ESTIMATE":
            await self._estimate(row, request, targets, now)
            return
        mark = rules_store.watermark_of(row)
        query = query_at(request, mark, now=now, created=row["created"])
        sighting = Sighting()
        for number, target in enumerate(targets):
            await self._order(row, order_request(request, query, target), None if number else sighting)
            self._checkpoint("rule-ordered")
        after = msgspec.json.encode(mark_after(mark, sighting, now=now)).decode()
        later = NEVER if request.mode == "once" else now + seconds_of(request.schedule)

        def ran(connection: Connection) -> None:
            values = {"next_run": later, "attempts": 0, "progress": after, "runs": 1}
            if connection.change("rule_ran", id=row["id"], fence=row["fence"], now=now, **values):
                rules_store.move(connection, row["id"], "ran", "", now)

        await self._database.run(ran)
        self._checkpoint("rule-ran")

    async def _order(self, row: Row, request: OrderRequest, sighting: Sighting | None) -> None:
        new = NewOrder(
            id=self._intake.new_id(),
            user=row["user"],
            group=row["charged"],
            idempotency=f"rule/{row['id']}/{row['runs']}/{row['attempts']}/{request.target}",
            fingerprint=fingerprint(request),
            request=request,
            rule=row["id"],
            approved=True,
        )
        await self._intake.take(new, sighting)

    async def _targets(self, row: Row, request: RuleRequest) -> list[str]:
        earlier = await self._database.run(lambda c: [each["target"] for each in c.all("rule_targets", rule=row["id"])])
        return targets_of(request, self._intake.labels(row["charged"]), earlier)

    async def _estimate(self, row: Row, request: RuleRequest, targets: list[str], now: float) -> None:
        """Let a rule begin, or wait for approval where it would bring much."""
        query = query_at(request, rules_store.watermark_of(row), now=now, created=row["created"])
        charge, total = rules_store.charge_of(row), 0
        if not row["approved"]:
            for target in targets:
                total += (await self._intake.estimate(order_request(request, query, target), charge)).bytes
        limit = self._intake.approval_bytes
        event: RuleEvent = "approval-needed" if total > limit else "estimated"
        why = f"{total} bytes are more than {limit}: an administrator has to approve" if total > limit else ""

        def go(connection: Connection) -> None:
            values = {"next_run": now, "attempts": 0, "progress": None, "runs": 0}
            if connection.change("rule_ran", id=row["id"], fence=row["fence"], now=now, **values):
                rules_store.move(connection, row["id"], event, why, now)

        await self._database.run(go)

    async def _put_off(self, row: Row, event: RuleEvent | None, why: str, pause: float) -> None:
        now = self._clock()

        def later(connection: Connection) -> None:
            failed = row["attempts"] + (event == "fail")
            values = {"next_run": now + pause, "attempts": failed, "progress": None, "runs": 0}
            changed = connection.change("rule_ran", id=row["id"], fence=row["fence"], now=now, **values)
            if changed and event is not None and (row["state"], event) in RULES:
                rules_store.move(connection, row["id"], event, why, now)

        await self._database.run(later)

    async def _follow(self) -> None:
        """Bring rules' states up to their orders', and try again what is stuck."""
        now = self._clock()
        for row in await self._database.run(lambda c: c.all("rules_at_work")):
            event: RuleEvent | None = None
            if row["stuck"]:
                event = "fail" if row["state"] != "STUCK" else None
                await self._repair(row["id"], now)
            elif not row["open"] and not row["attempts"]:
                event = "complete" if row["state"] != "OK" else None
            elif row["open"] and row["state"] == "OK":
                event = "ran"
            if event is not None:
                why = f"{row['stuck']} runs did not end well" if row["stuck"] else ""
                await self._database.run(
                    lambda c, row=row, event=event, why=why: rules_store.move(c, row["id"], event, why, now)  # type: ignore[misc] # defaults bind the loop's values
                )

    async def _repair(self, rule_id: str, now: float) -> None:
        values = {"most": MAX_REPAIRS, "pause": self._pause}
        for row in await self._database.run(lambda c: c.all("rule_repairable", rule=rule_id, now=now, **values)):
            await self._control.retry(row["id"], repair=True)

    async def _expire(self) -> None:
        """End rules whose time is over."""
        now = self._clock()

        def end(connection: Connection) -> None:
            for row in connection.all("rules_expired", now=now):
                rules_store.move(connection, row["id"], "expire", "its time is over", now)
                end_orders(connection, row["id"], purge=rules_store.request_of(row).purge, now=now)

        await self._database.run(end)


def end_orders(connection: Connection, rule_id: str, *, purge: bool, now: float) -> None:
    """End the orders of a rule; with ``purge`` its copies go, unless somebody else counts on them."""
    for row in connection.all("rule_open_orders", rule=rule_id):
        if row["state"] not in ENDED_ORDERS or row["state"] == "STUCK":
            orders.cancel(connection, row["id"], now, "its rule has ended")
    if purge:
        for row in connection.all("rule_holding_orders", rule=rule_id):
            connection.change("order_let_go", id=row["id"], now=now)
