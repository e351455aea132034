"""What processes beside tell is written down, and answered whatever happens: work that is not answered never ends."""

import asyncio
import time

import pytest
from harvest_rows import active, database, take_in, want

from harvest.admission import Admission
from harvest.beside.clerk import Clerk
from harvest.beside.tellers import failure, told_of
from harvest.beside.wire import Act
from harvest.database import Journal
from harvest.desk_own import OwnDesk
from harvest.desk_wire import Deed
from harvest.errors import ActUnknown, ClaimLost, DatabaseUnavailable, HarvestError
from harvest.seams import unobserved
from harvest.taking import claim_objects
from harvest.turns import DatabaseTurns
from quotas.errors import LeaseLost, LedgerUnavailable
from quotas.sqlite import SqliteLedger

__all__ = ["database"]

pytestmark = pytest.mark.seam

BEYOND = 1 << 63
"""A number that no database of ours can keep."""


def claimed(connection):
    take_in(connection, "a")
    want(connection, "a", "k1")
    active(connection, "a")
    return claim_objects(connection, 10.0, 20.0, 1)[0]


async def answer_to(there, folder, verb, **told):
    """Return what an act on a claim is answered."""
    claim = await there.run(claimed)
    journal = Journal(database=there, clock=time.time, checkpoint=unobserved)
    answers = asyncio.Queue()
    async with SqliteLedger(folder / "quota.db", []) as ledger, asyncio.timeout(20):
        admission = Admission(ledger=ledger, database=there, lease_seconds=30, clock=time.time)
        desk = OwnDesk(journal=journal, admission=admission, claim_seconds=5)
        clerk = Clerk(desk=desk, turns=DatabaseTurns(journal=journal, sites={}, seconds=5))
        act = Act(number=7, verb=verb, deed=Deed(id=claim.id, fence=claim.fence, **told))
        clerk.write([act], {(claim.id, claim.fence): claim}, lambda some: [answers.put_nowait(each) for each in some])
        answered = await answers.get()
        await clerk.leave()
    assert answered.number == 7
    return answered


@pytest.mark.parametrize(
    ("verb", "told"),
    [("began", {"upload_id": "u", "total": BEYOND}), ("checked", {"total": BEYOND}), ("available", {"moved": BEYOND})],
)
async def test_an_act_that_breaks_is_answered(database, tmp_path, verb, told):
    async with database() as there:
        answered = await answer_to(there, tmp_path, verb, **told)
    assert answered.failed


async def test_an_act_that_nobody_knows_is_answered(database, tmp_path):
    async with database() as there:
        answered = await answer_to(there, tmp_path, "jump")
    assert (answered.failed, answered.reason) == ("broken", "'jump' is nothing that can be done")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ClaimLost("gone"), ClaimLost),
        (DatabaseUnavailable("full"), DatabaseUnavailable),
        (LedgerUnavailable("locked"), LedgerUnavailable),
        (LeaseLost("late"), LedgerUnavailable),
        (ActUnknown("jump"), HarvestError),
    ],
)
def test_an_error_is_the_same_on_the_other_side(error, kind):
    told = failure(*told_of(error))
    assert (type(told), str(told)) == (kind, str(error))


def test_of_a_fault_of_ours_the_other_side_is_told_its_kind_alone():
    told = failure(*told_of(ValueError("something that was meant for nobody")))
    assert (type(told), str(told)) == (HarvestError, "ValueError")
