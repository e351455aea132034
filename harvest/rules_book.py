"""Rules as people act on them: taken in, changed, suspended, approved, explained, ended."""

import uuid
from collections.abc import Callable, Mapping

import msgspec

from harvest import orders, rules_store
from harvest.control import Control
from harvest.database import Connection, Journal
from harvest.errors import RuleGone
from harvest.intake import Intake
from harvest.model import Estimate, ObjectResult
from harvest.rules import order_request, query_at, targets_of
from harvest.rules_explain import explain_order, explain_rule
from harvest.rules_keeper import end_orders
from harvest.rules_model import Explained, Rule, RuleRequest, Watermark
from harvest.seams import Place
from harvest.states import RuleEvent, rule_after
from quotas.model import Charge


class RuleBook:
    """All rules. Methods that name a rule raise RuleNotFound; those that change it raise ImpossibleTransition."""

    def __init__(
        self,
        *,
        journal: Journal,
        intake: Intake,
        control: Control,
        places: Mapping[str, Place],
        changed: Callable[[], None],
    ) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._intake = intake
        self._control = control
        self._places = places
        self._changed = changed

    async def create(self, request: RuleRequest, charge: Charge, *, key: str | None = None) -> Rule:
        """Take a rule in; it is estimated and run in the background.

        Raises:
            InvalidInput, OrderRefused, TargetRefused: its search or target cannot be.
            KeyReused: the idempotency key came with another rule.
        """
        self._check(request, charge)
        now = self._clock()
        rule_id = await self._database.run(
            lambda c: rules_store.insert(c, uuid.uuid4().hex, charge, request, key=key, now=now)
        )
        self._changed()
        return await self.rule(rule_id)

    async def estimate(self, request: RuleRequest, charge: Charge) -> list[tuple[str, Estimate]]:
        """Tell, by target, what the first run of a rule would bring and cost; nothing is written."""
        self._check(request, charge)
        now = self._clock()
        query = query_at(request, Watermark(), now=now, created=now)
        targets = targets_of(request, self._intake.labels(charge.group))
        return [(each, await self._intake.estimate(order_request(request, query, each), charge)) for each in targets]

    def _check(self, request: RuleRequest, charge: Charge) -> None:
        query = query_at(request, Watermark(), now=self._clock(), created=self._clock())
        for target in targets_of(request, self._intake.labels(charge.group)):
            self._intake.check(order_request(request, query, target), charge)

    async def rule(self, rule_id: str) -> Rule:
        """Return a rule as it stands."""
        now = self._clock()
        return await self._database.run(lambda c: rules_store.rule_of(c, rules_store.row_of(c, rule_id), now))

    async def rules(
        self, group: str | None, *, before: float | None = None, state: str | None = None, limit: int = 100
    ) -> list[Rule]:
        """Return the rules of a charging group (None: of all), the latest first."""
        now = self._clock()

        def read(connection: Connection) -> list[Rule]:
            rows = connection.all("rules_of_group", charged=group, before=before, state=state, limit=limit)
            return [rules_store.rule_of(connection, row, now) for row in rows]

        return await self._database.run(read)

    async def change(self, rule_id: str, request: RuleRequest) -> Rule:
        """Replace what a rule asks for; where source or target are others, it begins anew."""
        before = await self.rule(rule_id)
        if before.state in ("CANCELLED", "EXPIRED"):
            raise RuleGone(f"rule {rule_id} has ended")
        self._check(request, before.charge)
        anew = _asked(before.request) != _asked(request)
        now = self._clock()
        await self._database.run(lambda c: rules_store.change(c, rule_id, request, anew=anew, now=now))
        self._changed()
        return await self.rule(rule_id)

    async def cancel(self, rule_id: str, *, purge: bool | None = None) -> Rule:
        """End a rule and its open orders; with ``purge`` (by default as the rule says) its copies go.

        Raises:
            RuleGone: it has ended before.
        """
        now = self._clock()

        def end(connection: Connection) -> None:
            row = rules_store.row_of(connection, rule_id)
            if row["state"] in ("CANCELLED", "EXPIRED"):
                raise RuleGone(f"rule {rule_id} has ended before")
            rules_store.move(connection, rule_id, "cancel", "cancelled", now)
            wanted = rules_store.request_of(row).purge if purge is None else purge
            end_orders(connection, rule_id, purge=wanted, now=now)

        await self._database.run(end)
        self._control.wake()
        return await self.rule(rule_id)

    async def suspend(self, rule_id: str) -> Rule:
        """Stop a rule's runs and the work on its orders."""
        await self._move(rule_id, "suspend", "suspended")
        for order_id, state in await self._orders(rule_id):
            if state == "ACTIVE":
                await self._control.suspend(order_id)
        return await self.rule(rule_id)

    async def resume(self, rule_id: str) -> Rule:
        """Go on with a suspended rule."""
        await self._move(rule_id, "resume", "", now_due=True)
        for order_id, state in await self._orders(rule_id):
            if state == "SUSPENDED":
                await self._control.resume(order_id)
        return await self.rule(rule_id)

    async def retry(self, rule_id: str) -> Rule:
        """Run a rule now, and try what failed of it once more."""
        await self._move(rule_id, "retry", "", now_due=True)
        for order_id, state in await self._orders(rule_id):
            if state == "STUCK":
                await self._control.retry(order_id)
        return await self.rule(rule_id)

    async def approve(self, rule_id: str, by: str) -> Rule:
        """Let a rule that waits for approval begin."""
        now = self._clock()

        def approve(connection: Connection) -> None:
            rules_store.move(connection, rule_id, "approve", f"approved by {by}", now)
            connection.change("rule_approved", id=rule_id, by=by, now=now)

        await self._database.run(approve)
        self._changed()
        return await self.rule(rule_id)

    async def reject(self, rule_id: str, why: str) -> Rule:
        """End a rule that waits for approval."""
        now = self._clock()

        def reject(connection: Connection) -> None:
            rule_after(rules_store.row_of(connection, rule_id)["state"], "approve")
            rules_store.move(connection, rule_id, "cancel", f"rejected: {why}", now)

        await self._database.run(reject)
        return await self.rule(rule_id)

    async def items(self, rule_id: str, *, after: int = 0, state: str | None = None, limit: int = 100) -> "RuleItems":
        """Return one page of a rule's copies, with where each stands."""

        def read(connection: Connection) -> RuleItems:
            rules_store.row_of(connection, rule_id)
            rows = connection.all("rule_items", rule=rule_id, after=after, state=state, limit=limit + 1)
            told = tuple(orders.result_of(row, self._places[row["target"]].bucket) for row in rows[:limit])
            return RuleItems(items=told, next=rows[limit - 1]["id"] if len(rows) > limit else None)

        return await self._database.run(read)

    async def explain(self, rule_id: str) -> Explained:
        """Tell why a rule is where it is."""
        return await self._database.run(lambda c: explain_rule(c, rules_store.row_of(c, rule_id)))

    async def explain_order(self, order_id: str) -> Explained:
        """Tell why an order is where it is."""
        return await self._database.run(lambda c: explain_order(c, orders.row_of(c, order_id)))

    async def _orders(self, rule_id: str) -> tuple[tuple[str, str], ...]:
        rows = await self._database.run(lambda c: c.all("rule_open_orders", rule=rule_id))
        return tuple((row["id"], row["state"]) for row in rows)

    async def _move(self, rule_id: str, event: RuleEvent, why: str, *, now_due: bool = False) -> None:
        now = self._clock()

        def move(connection: Connection) -> None:
            row = rules_store.row_of(connection, rule_id)
            rules_store.move(connection, rule_id, event, why, now)
            if now_due and (rules_store.request_of(row).mode != "once" or not row["runs"]):
                connection.change("rule_next_run", id=rule_id, next_run=now)

        await self._database.run(move)
        self._changed()


def _asked(request: RuleRequest) -> tuple[object, ...]:
    """Return what makes another rule of a rule."""
    return request.source, request.target, request.mode, request.retroactive


class RuleItems(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a rule's copies; ``next`` is where the following one begins."""

    items: tuple[ObjectResult, ...]
    next: int | None = None
