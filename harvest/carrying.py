"""How objects are carried, put together: the same beside the database and far from it."""

from typing import Literal

from harvest.desk import Desk
from harvest.means import Means
from harvest.model import Value
from harvest.reading import Patience
from harvest.seams import Checkpoint, unobserved
from harvest.settings import HarvestSettings
from harvest.settling import Settling
from harvest.sources import Sources
from harvest.transfer import Manner, Transfer

SMALL_AT_ONCE = 8
"""Small objects that are on their way at once for each worker of a process."""


class CarryingTerms(Value, frozen=True):
    """How objects are carried; each field is of :class:`harvest.settings.HarvestSettings`."""

    part_bytes: int
    parts_at_once: int
    checksum: Literal["crc64nvme", "sha256"]
    stall_seconds: float
    claim_seconds: float
    attempts: int
    pause_seconds: float

    @classmethod
    def of(cls, settings: HarvestSettings) -> "CarryingTerms":
        """Return the terms that the configuration has."""
        return cls(**{name: getattr(settings, name) for name in cls.__struct_fields__})


def settling_of(
    desk: Desk, terms: CarryingTerms, means: Means, workers: int, checkpoint: Checkpoint = unobserved
) -> Settling:
    """Return what settles the claims that so many workers have in hand."""
    patience = Patience(stall=terms.stall_seconds, attempts=terms.attempts, pause=terms.pause_seconds)
    manner = Manner(
        part_bytes=terms.part_bytes,
        checksum=terms.checksum,
        parts_at_once=terms.parts_at_once,
        small_at_once=workers * SMALL_AT_ONCE,
    )
    transfer = Transfer(
        desk=desk,
        places=means.places,
        sources=Sources(means=means, patience=patience),
        manner=manner,
        checkpoint=checkpoint,
    )
    return Settling(desk=desk, transfer=transfer, attempts=terms.attempts, pause_seconds=terms.pause_seconds)
