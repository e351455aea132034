"""What a ledger does by itself."""

from quotas.model import Frozen
from quotas.postgres.company import FIRST_QUIET
from quotas.replay import KEEP_HISTORY_SECONDS


class Upkeep(Frozen):
    """What a ledger does by itself; times in seconds.

    ``sweep_seconds``: how often it looks through the leases whose time is over; any operation ends them too.
    ``keep_history_seconds``: how long the history is kept. ``quiet_batches``: after so many batches in a row that found
    nothing of other gateways, one is decided without a look, and written only if nobody came in between.
    """

    sweep_seconds: float = 5.0
    keep_history_seconds: float = KEEP_HISTORY_SECONDS
    quiet_batches: int = FIRST_QUIET


USUAL = Upkeep()
