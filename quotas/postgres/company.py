"""Whether others write to the same ledger. No I/O: it counts what the batches of one gateway have found."""

FIRST_QUIET = 16
"""So many batches in a row must have found nothing of others, before one is decided without a look, by default."""

MOST_QUIET = 4_096
"""How many at most: it is doubled each time that a batch was decided in vain, which costs loading the state."""

RELIEF = 1_024
"""After so many batches that were right without a look, half as many will do the next time."""


class Company:
    """Tells when a batch may be decided without looking first what others wrote.

    ``first_quiet``: so many batches in a row must have found nothing of others.
    """

    def __init__(self, first_quiet: int = FIRST_QUIET) -> None:
        self._first = first_quiet
        self._quiet = 0
        self._needed = first_quiet
        self._right = 0

    @property
    def alone(self) -> bool:
        """Whether nobody else has written for long."""
        return self._quiet >= self._needed

    def met(self, *, others: bool) -> None:
        """Take note of a look, and whether it found what others wrote."""
        self._quiet = 0 if others else self._quiet + 1

    def right(self) -> None:
        """Take note of a batch that was rightly decided without a look."""
        self._right += 1
        if self._right >= RELIEF:
            self._right = 0
            self._needed = max(self._first, self._needed // 2)

    def wrong(self) -> None:
        """Take note of a batch that was decided in vain."""
        self._quiet = self._right = 0
        self._needed = min(MOST_QUIET, 2 * self._needed)
