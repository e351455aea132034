"""How many downloads run at once: of one site, of one user. Who comes too many is told when to come again."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

RETRY_SECONDS = 5.0


class TooManyOfUser(Exception):
    """The user has as many downloads under way as one may have."""

    status: ClassVar[int] = 429
    title: ClassVar[str] = "Too many downloads at once"
    retry_after: ClassVar[float] = RETRY_SECONDS


class TooManyOfSite(Exception):
    """The site gives as many downloads as it may."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "The site's downloads are busy"
    retry_after: ClassVar[float] = RETRY_SECONDS


class InFlight:
    """Counts what is under way. ``sites`` are the limits by site; ``per_user`` is of all sites together."""

    def __init__(self, *, sites: Mapping[str, int], per_user: int) -> None:
        self._sites = dict(sites)
        self._per_user = per_user
        self._of_site: Counter[str] = Counter()
        self._of_user: Counter[str] = Counter()

    def at(self, site: str) -> int:
        """Return how many downloads of a site are under way."""
        return self._of_site[site]

    @contextmanager
    def place(self, *, site: str, user: str) -> Iterator[None]:
        """Hold a place for one download.

        Raises:
            TooManyOfUser, TooManyOfSite: there is none.
        """
        if self._of_user[user] >= self._per_user:
            raise TooManyOfUser(f"{self._per_user} downloads of yours are under way; wait for one of them to end")
        if self._of_site[site] >= self._sites.get(site, 0):
            raise TooManyOfSite(f"{site}: {self._of_site[site]} downloads are under way; come again in a few seconds")
        self._of_user[user] += 1
        self._of_site[site] += 1
        try:
            yield
        finally:
            self._of_site[site] -= 1
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]
