"""Objects given out to be worked on. Each function runs inside one transaction."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

from harvest.claims import SMALL, SMALL_TOGETHER, ObjectClaim, Scope, as_rows, object_from, object_of
from harvest.database import Connection, Row
from harvest.model import Value


class Asker(Value, frozen=True):
    """Who asks at ``now`` for an object, or up to ``most`` small ones, to be claimed ``until`` (epoch seconds).

    With a ``scope`` of one order nothing is given out to be discarded: that is done beside the database.
    """

    now: float
    until: float
    most: int = 1
    scope: Scope = None


def claim_objects(
    connection: Connection, now: float, until: float, most: int = 1, scope: Scope = None
) -> list[ObjectClaim]:
    """Take what one asker is given; see :func:`claim_together`."""
    (taken,) = claim_together(connection, [Asker(now=now, until=until, most=most, scope=scope)])
    return taken


def claim_together(connection: Connection, askers: Sequence[Asker]) -> list[list[ObjectClaim]]:
    """Take objects for all who ask at once; return those of each, in their order; none where nothing is left.

    What is to be discarded comes first, then what the most urgent orders want: of these, those with the least work in
    hand, in turns. Where an object is small, up to ``most`` small ones of the same order are taken, of
    :data:`harvest.claims.SMALL_TOGETHER` bytes.
    """
    taken: list[list[ObjectClaim]] = [[] for _ in askers]
    for scope in dict.fromkeys(asker.scope for asker in askers):
        alike = [number for number, asker in enumerate(askers) if asker.scope == scope]
        for number, hand in zip(alike, _claimed(connection, [askers[each] for each in alike]), strict=False):
            taken[number] = hand
    return taken


def _claimed(connection: Connection, askers: Sequence[Asker]) -> list[list[ObjectClaim]]:
    """Take objects for askers of one scope; return those of the first ones, where it is not enough for all."""
    hands = list(_hands(connection, askers))
    if not hands:
        return []
    ids = as_rows([(row["id"],) for hand in hands for row in hand])
    connection.change("objects_claim", rows=ids, until=max(asker.until for asker in askers))
    plain = {row["id"]: object_from(dict(row)) for row in connection.gathered("objects_claimed", rows=ids)}
    return [
        [plain.get(row["id"]) or object_of(connection.one("object_claimed", id=row["id"])) for row in hand]
        for hand in hands
    ]


def _hands(connection: Connection, askers: Sequence[Asker]) -> Iterator[list[Row]]:
    """Yield what askers of one scope are to be given."""
    now, scope = max(asker.now for asker in askers), askers[0].scope
    waiting = deque(askers)
    if scope is None:
        for row in connection.all("objects_deletable", now=now, limit=len(waiting)):
            waiting.popleft()
            yield [row]
    orders = connection.all("orders_working", now=now, scope=scope) if waiting else []
    for _, alike in groupby(orders, key=lambda order: order["priority"]):
        offers = deque(_Offer(connection, order["id"], now, waiting) for order in alike)
        while offers and waiting:
            offer = offers.popleft()
            hand = offer.hand(waiting[0].most)
            if hand:
                waiting.popleft()
                offers.append(offer)
                yield hand


class _Offer:
    """What of one order can be given out, looked up as somebody wants it."""

    def __init__(self, connection: Connection, order_id: str, now: float, waiting: Sequence[Asker]) -> None:
        self._connection = connection
        self._values = {"payer": order_id, "now": now}
        self._waiting = waiting
        self._next: deque[Row] | None = None
        self._small: deque[Row] = deque()

    def hand(self, most: int) -> list[Row]:
        """Return the next object, or up to ``most`` small ones."""
        if not self._small:
            if self._next is None:
                self._next = deque(self._connection.all("objects_claimable", **self._values, limit=len(self._waiting)))
            if not self._next:
                return []
            first = self._next.popleft()
            if most == 1 or first["size"] is None or first["size"] > SMALL:
                return [first]
            self._find_small(most)
        hand: list[Row] = []
        size = 0
        while self._small and len(hand) < most and size < SMALL_TOGETHER:
            hand.append(self._small.popleft())
            size += hand[-1]["size"]
        return hand

    def _find_small(self, most: int) -> None:
        """Look all small ones up that may be wanted, once: others that were found as well are large."""
        limit = most * len(self._waiting)
        self._small = deque(
            self._connection.gathered("objects_claimable_small", **self._values, size=SMALL, most=limit)
        )
        self._next = deque(row for row in self._next or () if row["size"] is None or row["size"] > SMALL)
