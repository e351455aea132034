"""What settles claims in one process, and the processes beside it, put together."""

import os

from harvest.beside.clerk import Clerk
from harvest.beside.crew import Crew, Reach
from harvest.carrying import CarryingTerms, settling_of
from harvest.claims import ObjectClaim
from harvest.desk_own import OwnDesk
from harvest.desk_wire import Terms
from harvest.means import Means, is_near_only
from harvest.politeness import Manners
from harvest.seams import Beside, Checkpoint, World
from harvest.settings import HarvestSettings
from harvest.settling import Settling


def near(settings: HarvestSettings, world: World, desk: OwnDesk, manners: Manners, checkpoint: Checkpoint) -> Settling:
    """Return what settles claims in this process."""
    means = Means(
        lines=world.lines,
        check=world.check,
        places=world.places,
        authorize=world.authorize,
        manners=manners,
        ways=world.ways,
        folders=world.folders,
    )
    return settling_of(desk, CarryingTerms.of(settings), means, settings.workers, checkpoint)


def crew_of(settings: HarvestSettings, world: World, clerk: Clerk) -> Crew:
    """Return the processes beside this one; none where the configuration wants none."""
    beside = world.beside or Beside(buckets=lambda _: None)
    most = 0 if world.beside is None else (settings.processes or min(2, processors())) - 1
    terms = Terms(
        carrying=CarryingTerms.of(settings),
        allowed=beside.allowed,
        workers=max(1, settings.workers // max(1, most)),
        politeness=world.politeness,
        origins=world.origins,
    )

    def near_only(claim: ObjectClaim) -> bool:
        return any(is_near_only(source, world.ways) for source in claim.sources)

    reach = Reach(terms=terms, buckets=beside.buckets, near_only=near_only)
    return Crew(most=most, reach=reach, clerk=clerk, patience=settings.claim_seconds)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
