"""How fast an order moves. Pure but for what it remembers."""

from collections import OrderedDict, deque

RATE_SECONDS = 30.0
"""Seconds of the past by which the present speed is told."""

MAX_ORDERS = 1_000
"""Orders whose speed is remembered at once."""


class Meter:
    """Tells the speed of orders from how far they were when last asked about."""

    def __init__(self) -> None:
        self._samples: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    def rate(self, order_id: str, done: int, *, now: float, started: float | None) -> float:
        """Return bytes per second over the last seconds, else since the start.

        >>> meter = Meter()
        >>> meter.rate("a", 100, now=10.0, started=0.0), meter.rate("a", 300, now=20.0, started=0.0)
        (10.0, 20.0)
        """
        samples = self._samples.setdefault(order_id, deque(maxlen=256))
        self._samples.move_to_end(order_id)
        while len(self._samples) > MAX_ORDERS:
            self._samples.popitem(last=False)
        while len(samples) > 1 and now - samples[0][0] > RATE_SECONDS:
            samples.popleft()
        samples.append((now, done))
        since, before = samples[0]
        if now - since >= 1.0:
            return max(0.0, (done - before) / (now - since))
        return done / (now - started) if started is not None and now > started else 0.0
