"""The errors of ``harvest``, each with the HTTP status that a face should answer with."""

from typing import ClassVar


class HarvestError(Exception):
    """Root of everything this package raises on purpose."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Harvest failed"


class DatabaseUnavailable(HarvestError):
    """The orders' database cannot be read or written now."""

    status = 503
    title = "The harvests' database is not available"


class NewerDatabase(HarvestError, RuntimeError):
    """The orders' database was written by a newer release."""

    status = 503
    title = "The harvests' database is of a newer release"


class OrderNotFound(HarvestError):
    """There is no such order (or the caller may not see it, which reads the same)."""

    status = 404
    title = "No such order"


class OrderGone(HarvestError):
    """The order was cancelled before."""

    status = 410
    title = "The order was cancelled"


class TargetRefused(HarvestError):
    """The target edge, bucket or prefix is not one that the caller may write to."""

    status = 403
    title = "Target not allowed"


class OrderRefused(HarvestError):
    """The order asks for something that cannot be done as asked: nothing found, or far too much."""

    status = 422
    title = "Order not possible"


class KeyReused(HarvestError):
    """The idempotency key came before, with another order (Idempotency-Key draft-07, section 2.7)."""

    status = 422
    title = "Idempotency key used for another order"


class OrderInFlight(HarvestError):
    """The same order is being taken in right now (Idempotency-Key draft-07, section 2.7)."""

    status = 409
    title = "The same order is being processed"


class ClaimLost(HarvestError):
    """Another worker, or a cancellation, has taken over: stop, and write nothing more."""

    status = 409
    title = "The work was taken over"


class SourceFailed(HarvestError):
    """A source did not give the bytes.

    ``again`` tells whether trying once more can help, ``after`` (seconds) when.
    """

    status = 502
    title = "The source did not deliver"

    def __init__(self, reason: str, *, again: bool, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.after = after


class SourceChanged(SourceFailed):
    """The source no longer holds the bytes that were read before: begin anew."""

    def __init__(self) -> None:
        super().__init__("the source changed while it was read", again=True)


class NotYet(SourceFailed):
    """The source has to fetch the data itself first (from tape); it said when to come back, in seconds."""

    def __init__(self, after: float) -> None:
        super().__init__("the source is preparing the data", again=True, after=after)


class LeftAlone(NotYet):
    """The source's site is not to be read now, by its own hours."""

    def __init__(self, reason: str, after: float) -> None:
        super().__init__(after)
        self.args = (reason,)
        self.reason = reason


class WrongBytes(SourceFailed):
    """What came is not what was announced: another length, or another checksum."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, again=True)


class RuleNotFound(HarvestError):
    """There is no such rule (or the caller may not see it, which reads the same)."""

    status = 404
    title = "No such rule"


class RuleGone(HarvestError):
    """The rule was cancelled before, or has expired."""

    status = 410
    title = "The rule has ended"


class AuditNotFound(HarvestError):
    """There is no such audit."""

    status = 404
    title = "No such audit"


class ActUnknown(HarvestError):
    """A worker asks for an act that there is none of."""

    status = 404
    title = "No such act"


class RunUnknown(HarvestError):
    """A worker shows no token, or one of no run."""

    status = 403
    title = "No such run"


class RunOver(HarvestError):
    """The run that a worker works for has ended."""

    status = 410
    title = "The run has ended"
