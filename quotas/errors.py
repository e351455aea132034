"""The errors of ``quotas``, each with the HTTP status that a face should answer with."""

from quotas.model import Refusal


class QuotaError(Exception):
    """Root of everything this package raises on purpose."""

    status: int = 500
    title: str = "Quota error"


class InvalidAmount(QuotaError):
    """An amount is none: negative, not finite, or of a resource that was not reserved."""

    status = 400
    title = "Invalid amount"


class KeyReused(QuotaError):
    """The key stands for another reservation already: other lines, or somebody else's."""

    status = 409
    title = "The key is in use for something else"


class LedgerUnavailable(QuotaError):
    """The ledger cannot be read or written: nothing is granted (fail closed)."""

    status = 503
    title = "The quota ledger is not available"


class LeaseLost(QuotaError):
    """The lease has ended: expired, released or unknown."""

    status = 409
    title = "The reservation has ended"


class QuotaExceeded(QuotaError):
    """A refusal, raised where a caller cannot go on without the reservation.

    ``status`` is 429 where waiting may help, and 422 where the request is more than a whole limit.
    """

    status = 429
    title = "Quota exceeded"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence())
        self.refusal = refusal
        self.status = 422 if refusal.never else 429


class InvalidPolicies(QuotaError, ValueError):
    """Policies do not go together, or a grant does not go with its policy."""

    status = 400
    title = "Invalid policy"


class UnknownPolicy(QuotaError):
    """There is no policy of this name."""

    status = 404
    title = "No such policy"


class UnknownGrant(QuotaError):
    """There is no grant of this id, or it is over."""

    status = 404
    title = "No such grant"


class LineFull(QuotaError):
    """Too many are waiting already."""

    status = 503
    title = "Too many reservations are waiting"
