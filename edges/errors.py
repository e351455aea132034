"""The errors of ``edges``: one root, each with the HTTP status that a face should answer with."""

from typing import ClassVar


class EdgeError(Exception):
    """Root of everything this package raises on purpose.

    ``status`` is the HTTP status a face should use; ``title`` is constant per class (RFC 9457 section 3.1.3).
    """

    status: ClassVar[int] = 502
    title: ClassVar[str] = "A site could not answer"


class InvalidInput(EdgeError):
    """The caller's value is wrong: names the field, what was wrong, and what would be right."""

    status = 400
    title = "Invalid request"

    def __init__(self, field: str, wrong: str, right: str) -> None:
        super().__init__(f"{field}: {wrong}; expected {right}")
        self.field = field
        self.wrong = wrong
        self.right = right


class NotFound(EdgeError):
    """The thing asked for does not exist (or is not visible, which reads the same)."""

    status = 404
    title = "Not found"


class Conflict(EdgeError):
    """The change contradicts the present state."""

    status = 409
    title = "Conflict"


class SiteUnavailable(EdgeError):
    """A site did not answer in time, refused the connection, or broke off.

    ``code`` is the kind of trouble, one of few: fit for the label of a metric, and for telling a stranger.
    """

    status = 503
    title = "Site unavailable"

    def __init__(self, site: str, reason: str, *, code: str = "unavailable") -> None:
        super().__init__(f"{site}: {reason}")
        self.site = site
        self.reason = reason
        self.code = code


class SiteNotAsked(SiteUnavailable):
    """A site was spared: its budget of requests is used up, or it asked for a pause. It did nothing wrong.

    ``retry_after`` is in seconds.
    """

    def __init__(self, site: str, reason: str, *, code: str, retry_after: float) -> None:
        super().__init__(site, reason, code=code)
        self.retry_after = retry_after


class SiteMisbehaved(EdgeError):
    """A site answered something that its protocol does not allow, or that is hostile."""

    status = 502
    title = "Site answered wrongly"

    def __init__(self, site: str, reason: str, *, code: str = "misbehaved") -> None:
        super().__init__(f"{site}: {reason}")
        self.site = site
        self.reason = reason
        self.code = code


class DestinationRefused(EdgeError):
    """An outbound address is not one that we may call (server-side request forgery guard)."""

    status = 403
    title = "Destination not allowed"
