"""The errors of ``quotas``, each with the HTTP status that a face should answer with."""

from typing import ClassVar

from quotas.model import Refusal


class QuotaError(Exception):
    """Root of everything this package raises on purpose."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Quota error"


class LedgerUnavailable(QuotaError):
    """The ledger cannot be written: nothing is granted (fail closed)."""

    status = 503
    title = "The quota ledger is not available"


class LeaseLost(QuotaError):
    """The lease has ended: expired, released or unknown."""

    status = 409
    title = "The reservation has ended"


class QuotaExceeded(QuotaError):
    """A refusal, raised where a caller cannot go on without the reservation."""

    status = 429
    title = "Quota exceeded"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence())
        self.refusal = refusal
