"""What harvests ask of the quota ledger."""

from typing import Protocol

from quotas.ledger import Ledger, WaitingLine


class HarvestLedger(Ledger, WaitingLine, Protocol):
    """A ledger in which one can wait."""
