"""How many exports run at once: they are long, and must leave room for searches."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class TooManyExports(Exception):
    """All places are taken; worth trying again later."""

    status = 429
    title = "Too many exports"


class Places:
    """``most`` exports at once, at most half of them (rounded up) for one user."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, user: str) -> Iterator[None]:
        """Hold a place.

        Raises:
            TooManyExports: there is none, or the user has their share.
        """
        if self._taken.total() >= self._most:
            raise TooManyExports(f"{self._most} exports are running; try again when one has ended")
        if self._taken[user] >= (self._most + 1) // 2:
            raise TooManyExports(f"{self._taken[user]} exports of yours are running; try again when one has ended")
        self._taken[user] += 1
        try:
            yield
        finally:
            self._taken[user] -= 1
            self._taken += Counter()  # forget users who have none
