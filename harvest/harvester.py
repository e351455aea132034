"""Orders from end to end: taken in, carried out by workers, settled with the ledger."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Self, TypedDict

import msgspec

from harvest import orders, stats
from harvest.admission import Admission
from harvest.audit import Audits
from harvest.background import Background
from harvest.beside.clerk import Clerk
from harvest.beside.crew import CrewFigures
from harvest.beside.together import crew_of, near
from harvest.bookkeeping import Bookkeeping
from harvest.bucket_keys import Bucket
from harvest.carrier import Carrier
from harvest.carrying import CarryingTerms
from harvest.control import Control
from harvest.database import Connection, Journal
from harvest.database_thread import DatabaseThread
from harvest.desk_counter import Counter
from harvest.desk_own import OwnDesk
from harvest.desk_wire import Terms
from harvest.errors import HarvestError, OrderGone
from harvest.estimate import with_rate
from harvest.intake import Bounds, Intake
from harvest.links import linked
from harvest.means import is_near_only
from harvest.meter import Meter
from harvest.model import Estimate, JobFilter, Order, OrderRequest, Results
from harvest.orders import NewOrder
from harvest.outbox import Outbox
from harvest.planner import Planner, fingerprint
from harvest.politeness import Manners, Politeness
from harvest.registrar import Registrar
from harvest.rules_book import RuleBook
from harvest.rules_keeper import RulesKeeper
from harvest.runs import Elsewhere, Runs, nowhere
from harvest.seams import Checkpoint, Place, World, unobserved
from harvest.settings import HarvestSettings
from harvest.stats import Stats
from harvest.turns import DatabaseTurns
from harvest.upkeep import Upkeep
from quotas.model import Charge

REGISTERING = 2
"""Catalogues that are told of items at once, at most: a slow one does not keep the others waiting."""


class _Shared(TypedDict):
    """What those who deal with rules share."""

    journal: Journal
    intake: Intake
    control: Control
    places: Mapping[str, Place]


class Harvester:
    """Takes orders and carries them out; entering it starts the workers, leaving it stops them.

    Work that is cut off, by leaving or by the death of the process, goes on where it was when a harvester
    with the same database is entered again. ``lease_seconds`` is how long quota stays reserved without us.
    ``checkpoint`` is told of each write. ``elsewhere`` is what carries far from here.
    """

    def __init__(
        self,
        *,
        database: DatabaseThread,
        settings: HarvestSettings,
        world: World,
        lease_seconds: float = 60.0,
        elsewhere: Elsewhere | None = None,
        checkpoint: Checkpoint = unobserved,
    ) -> None:
        self._settings = settings
        self._world = world
        self._places = world.places
        self._clock: Callable[[], float] = time.time
        self._meter = Meter()
        self._carrying = 0
        self._background = background = Background(settings.idle_seconds)
        self._database = database
        self._journal = journal = Journal(database=self._database, clock=self._clock, checkpoint=checkpoint)
        self._elsewhere = elsewhere = elsewhere or nowhere()
        self._admission = Admission(
            ledger=world.ledger, database=self._database, lease_seconds=lease_seconds, clock=self._clock
        )
        planner = Planner(
            search=world.search,
            places=self._places,
            max_items=settings.max_items,
            assumed_bytes=settings.assumed_bytes,
            folders=world.folders,
            near_only=partial(is_near_only, ways=world.ways),
        )
        self._intake = Intake(
            journal=journal,
            planner=planner,
            admission=self._admission,
            places=self._places,
            bounds=Bounds(approval_bytes=settings.approval_bytes, choice=elsewhere.choice),
            changed=background.progressed,
        )
        self.control = Control(journal=journal, admission=self._admission, changed=self._woken)
        shared: _Shared = {"journal": journal, "intake": self._intake, "control": self.control, "places": self._places}
        self.rules = RuleBook(**shared, changed=background.progressed)
        self._keeper = RulesKeeper(**shared, pause_seconds=settings.pause_seconds)
        self.audits = Audits(journal=journal, places=self._places, changed=background.progressed)
        self.outbox = Outbox(journal=journal, world=world, bucket_of=lambda target: self._places[target].bucket)
        self._runs = Runs(journal=journal, elsewhere=elsewhere)
        self._turns = DatabaseTurns(journal=journal, sites=world.politeness, seconds=settings.claim_seconds)
        self._manners = Manners(world.politeness, origins=world.origins, turns=self._turns)
        desk = OwnDesk(journal=journal, admission=self._admission, claim_seconds=settings.claim_seconds)
        self._crew = crew_of(settings, world, Clerk(desk=desk, turns=self._turns))
        self._carrier = Carrier(
            desk=desk,
            settling=self._crew.settling(near(settings, world, desk, self._manners, checkpoint)),
            claim_seconds=settings.claim_seconds,
            recorded=world.recorded,
            found=background.call,
            progressed=background.progressed,
        )
        self._books = Bookkeeping(
            journal=journal,
            registrar=Registrar(
                journal=journal, places=world.places, describe=world.describe, attempts=settings.attempts
            ),
            claim_seconds=settings.claim_seconds,
            progressed=self._registered,
        )
        self._upkeep = Upkeep(
            journal=journal,
            admission=self._admission,
            lease_seconds=lease_seconds,
            claim_seconds=settings.claim_seconds,
            pause_seconds=settings.pause_seconds,
        )

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        background = self._background
        for number in range(self._settings.workers):
            background.share(self._carry, f"harvest-carrier-{number}")
        if self._settings.workers:
            background.start(self._books.enlist, "harvest-enlisting")
            for number in range(min(self._settings.workers, REGISTERING)):
                background.start(self._books.register, f"harvest-registering-{number}")
        background.start(self._keep_up, "harvest-upkeep")
        background.start(self._keep_rules, "harvest-rules")
        background.start(self.audits.turn, "harvest-audits")
        background.start(self.outbox.turn, "harvest-outbox")
        background.start(self._runs.turn, "harvest-runs")
        background.start(self._turns.turn, "harvest-turns")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._background.leave()
        await self._crew.leave()
        with contextlib.suppress(HarvestError):  # what cannot be told lapses by itself
            await self._turns.leave()
        await self._database.__aexit__(kind, error, trace)

    # -- what users do -------------------------------------------------------------------------------------

    async def submit(self, request: OrderRequest, charge: Charge, *, idempotency_key: str | None = None) -> Order:
        """Plan an order, reserve its quota, and take it in; the copying goes on in the background.

        The same idempotency key with the same order returns the order of the first time.

        Raises:
            InvalidInput, TargetRefused: the target cannot be written to.
            OrderRefused: too much matches.
            QuotaExceeded: a policy stands in the way; nothing was written.
            KeyReused, OrderInFlight: the idempotency key came before.
            EdgeError, QuotaError: a site or the ledger does not answer.
        """
        if request.temporary and request.lifetime is None:
            request = msgspec.structs.replace(request, lifetime=self._settings.temporary_seconds)
        new = NewOrder(
            id=uuid.uuid4().hex,
            user=charge.user,
            group=charge.group,
            idempotency=idempotency_key,
            fingerprint=fingerprint(request),
            request=request,
        )
        return await self.status(await self._intake.take(new))

    def check(self, request: OrderRequest, charge: Charge) -> None:
        """Check that an order's copies can go where it says.

        Raises:
            InvalidInput, TargetRefused: they cannot.
        """
        self._intake.check(request, charge)

    async def at_rest(self, target: str) -> bool:
        """Tell whether nothing is left to be written or deleted at a target: its keys are not needed any more."""
        return not await self._database.run(lambda c: c.all("objects_at_work", target=target))

    async def estimate(self, request: OrderRequest, charge: Charge) -> Estimate:
        """Tell what an order would cost and whether there is quota for it; nothing is written.

        Raises:
            InvalidInput, TargetRefused, OrderRefused: as :meth:`submit`.
            EdgeError, QuotaError: a site or the ledger does not answer.
        """
        return await self._intake.estimate(request, charge)

    async def status(self, order_id: str) -> Order:
        """Return an order as it stands; raise OrderNotFound where there is none."""
        return self._measured(await self._database.run(lambda c: orders.order_of(c, orders.row_of(c, order_id))))

    async def jobs(self, wanted: JobFilter, *, limit: int = 100) -> tuple[Order, ...]:
        """Return orders, the latest first, as a filter says."""
        now = self._clock()
        found = await self._database.run(lambda c: orders.jobs(c, wanted, now, limit))
        return tuple(self._measured(order) for order in found)

    async def results(self, order_id: str, *, after: int = 0, limit: int = 1000) -> Results:
        """Return one page of what an order brought, object by object, and what failed."""
        order = await self.status(order_id)
        place = self._places[order.request.target]
        results = await self._database.run(lambda c: orders.results(c, order_id, place.bucket, after, limit))
        place = self._places[order.request.target]  # a user's bucket may have been closed since
        return linked(results, place) if order.request.temporary or place.owner else results

    def politeness(self) -> tuple[Politeness, ...]:
        """Return how the sites that want to be read politely are read by this process."""
        return self._manners.told()

    def crew(self) -> CrewFigures:
        """Return what is to be told of the processes beside this one."""
        return self._crew.figures()

    async def stats(self) -> Stats:
        """Return the figures of all harvests."""
        now = self._clock()
        return await self._database.run(lambda c: stats.read(c, now))

    async def cancel(self, order_id: str) -> Order:
        """End an order. What is whole already stays, is registered and charged; the rest is discarded.

        Raises:
            OrderNotFound: there is no such order.
            OrderGone: it was cancelled before.
        """
        now = self._clock()

        def end(connection: Connection) -> None:
            if orders.row_of(connection, order_id)["state"] == "CANCELLED":
                raise OrderGone(f"order {order_id} was cancelled before")
            orders.cancel(connection, order_id, now)

        await self._database.run(end)
        self._carrier.nudge()
        self._background.progressed()
        return await self.status(order_id)

    def counter(self, *, buckets: Callable[[str], Bucket | None], allowed: Iterable[str]) -> Counter:
        """Return what serves far workers; ``buckets`` gives keys, ``allowed`` are private addresses they may call."""
        settings = self._elsewhere.settings
        terms = Terms(
            carrying=CarryingTerms.of(self._settings),
            allowed=tuple(allowed),
            workers=settings.objects,
            politeness=self._world.politeness,
            origins=self._world.origins,
        )
        return Counter(
            journal=self._journal,
            admission=self._admission,
            tokens=self._elsewhere.tokens,
            terms=terms,
            buckets=buckets,
            turns=self._turns,
        )

    # -- in the background ---------------------------------------------------------------------------------

    def _measured(self, order: Order) -> Order:
        rate = 0.0
        if order.state == "ACTIVE":
            done, now = order.progress.bytes_done, self._clock()
            rate = self._meter.rate(order.id, done, now=now, started=order.started)
        return order.measured(with_rate(order.progress, rate))

    def _woken(self) -> None:
        """Let workers look at their claims, and for work."""
        self._carrier.nudge()
        self._background.progressed()

    def _registered(self) -> None:
        """Let an order whose last item was told be settled at once, where nothing more is to be waited for."""
        self._background.progressed()
        if not self._carrying:
            self._background.hurry()

    async def _carry(self) -> bool:
        self._carrying += 1
        try:
            worked = await self._carrier.step()
        finally:
            self._carrying -= 1
        if worked:
            self._background.hurry()
        return worked

    async def _keep_rules(self) -> bool:
        await self._keeper.turn()
        return False

    async def _keep_up(self) -> bool:
        await self._upkeep.turn()
        return False
