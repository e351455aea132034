"""Who looks on while sites are asked: a narrow seam, so that metrics are no business of the calls themselves."""

from typing import Literal, Protocol

Outcome = Literal["answered", "refused", "throttled", "error", "timeout", "unreachable", "broken", "too_large"]
"""How one request ended: ``refused`` is another 4xx or a redirect, ``error`` a 5xx, ``broken`` a body cut off."""


class CallObserver(Protocol):
    """Is told of every request to a site. Its methods return at once and raise nothing."""

    def called(self, site: str, outcome: Outcome, seconds: float) -> None:
        """Note that a request has ended after so many seconds."""
        ...

    def waited(self, site: str, seconds: float) -> None:
        """Note that a request waited for its turn under the site's rate."""
        ...

    def spared(self, site: str, code: str) -> None:
        """Note that a request was not made: ``budget`` or ``resting``."""
        ...

    def repeated(self, site: str, trouble: str) -> None:
        """Note that a request is made again."""
        ...

    def hedged(self, site: str, *, won: bool) -> None:
        """Note that a mirror was asked, too; ``won`` tells that its answer came first."""
        ...


class NobodyLooksOn:
    """A :class:`CallObserver` that keeps nothing."""

    def called(self, site: str, outcome: Outcome, seconds: float) -> None:
        pass

    def waited(self, site: str, seconds: float) -> None:
        pass

    def spared(self, site: str, code: str) -> None:
        pass

    def repeated(self, site: str, trouble: str) -> None:
        pass

    def hedged(self, site: str, *, won: bool) -> None:
        pass
