"""The ledger on PostgreSQL: for several gateways at once.

Each gateway holds the whole state in memory, as the ledger on SQLite does, and decides there. The database holds
the same state as rows, and a version that counts the batches of changes: a batch is written only by who has seen
all before it (one function call, one round trip, one disk flush for all that wait), and takes over what others
wrote since. So all gateways decide one after the other on one state, whatever the number of policies is.
"""

from quotas.postgres.ledger import PostgresLedger
from quotas.postgres.upkeep import Upkeep

__all__ = ["PostgresLedger", "Upkeep"]
