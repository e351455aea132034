"""What each site holds of a set of items: counted over scenes, replicas once in the total. Pure."""

from collections.abc import Iterable, Sequence
from itertools import islice

from edges.model import Frozen
from gateway.placement.sizing import Averages, Copy, Scene


class Holding(Frozen):
    """Items and bytes at one site.

    ``estimated`` bytes are those that no ``file:size`` tells; ``slow_items`` and ``slow_bytes`` have to be ordered
    first, as from tape.
    """

    site: str
    items: int = 0
    bytes: int = 0
    estimated: int = 0
    slow_items: int = 0
    slow_bytes: int = 0


class Holdings(Frozen):
    """What the sites hold of a set of ``items`` distinct items of ``bytes`` in all.

    ``estimated`` bytes of all are guesses; of ``unmeasured`` items nothing is known, they count as 0 bytes. ``cut``:
    there were more.
    """

    items: int
    bytes: int
    sites: tuple[Holding, ...]
    estimated: int = 0
    unmeasured: int = 0
    cut: bool = False

    def at(self, site: str) -> Holding:
        """Return one site's holding, which may be empty."""
        return next((holding for holding in self.sites if holding.site == site), Holding(site=site))


class _Tally:
    __slots__ = ("bytes", "estimated", "items", "slow_bytes", "slow_items")

    def __init__(self) -> None:
        self.items = self.bytes = self.estimated = self.slow_items = self.slow_bytes = 0

    def add(self, count: int, size: int, estimated: int, slow: int) -> None:
        self.items += count
        self.bytes += size
        self.estimated += estimated
        if slow:
            self.slow_items += count
            self.slow_bytes += size


def weigh(scenes: Sequence[Scene], *, limit: int, averages: Averages | None = None) -> Holdings:
    """Count items and bytes per site, over at most ``limit`` items.

    What tells no size weighs as its other copies, else as an average item of its collection (``averages``; learned
    from the scenes themselves where not given).
    """
    known = Averages().with_scenes(scenes) if averages is None else averages
    tallies: dict[str, _Tally] = {}
    whole = _Tally()
    unmeasured = 0
    alike: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    for scene in islice(scenes, limit):
        if scene.alike:
            first = scene.copies[0]
            # replicas that all tell the same: summed up once for all sites that hold the same set
            sums = alike.setdefault((scene.sites, first.slow), [0, 0])
            sums[0] += 1
            sums[1] += first.known
        else:
            unmeasured += _add(scene, known.of(scene.collection), whole, tallies)
    for (sites, slow), (count, size) in alike.items():
        whole.add(count, size, 0, slow)
        for site in sites:
            tallies.setdefault(site, _Tally()).add(count, size, 0, slow)
    return _holdings(whole, tallies, unmeasured, cut=len(scenes) > limit)


def _add(scene: Scene, average: int | None, whole: _Tally, tallies: dict[str, _Tally]) -> int:
    """Add one scene; return 1 where nothing is known of its size, else 0."""
    size, estimated = _size(scene.copies, average)
    whole.add(1, size, estimated, slow=0)
    for site, copy in zip(scene.sites, scene.copies, strict=True):
        own = (copy.known, 0) if copy.exact else (size, estimated)
        tallies.setdefault(site, _Tally()).add(1, *own, copy.slow)
    return int(size == 0 and any(copy.unknown for copy in scene.copies))


def _size(copies: Iterable[Copy], average: int | None) -> tuple[int, int]:
    """Return an item's bytes, and how many of them are guessed: by the best told of its copies."""
    exact = [copy.known for copy in copies if copy.exact]
    if exact:
        return max(exact), 0
    by_grid = [copy for copy in copies if not copy.unknown]
    if by_grid:
        best = max(by_grid, key=lambda copy: copy.bytes)
        return best.bytes, best.estimated
    told = max(copies, key=lambda copy: copy.bytes)
    size = max(told.bytes, average or 0)
    return size, size - told.known


def _holdings(whole: _Tally, tallies: dict[str, _Tally], unmeasured: int, *, cut: bool) -> Holdings:
    sites = tuple(
        Holding(
            site=site,
            items=tally.items,
            bytes=tally.bytes,
            estimated=tally.estimated,
            slow_items=tally.slow_items,
            slow_bytes=tally.slow_bytes,
        )
        for site, tally in sorted(tallies.items())
    )
    return Holdings(
        items=whole.items, bytes=whole.bytes, sites=sites, estimated=whole.estimated, unmeasured=unmeasured, cut=cut
    )


def added(all_of: Sequence[Holdings]) -> Holdings:
    """Add up holdings of things that have nothing in common."""
    whole, tallies = _Tally(), dict[str, _Tally]()
    for one in all_of:
        whole.add(one.items, one.bytes, one.estimated, slow=0)
        for at in one.sites:
            tally = tallies.setdefault(at.site, _Tally())
            tally.add(at.items - at.slow_items, at.bytes - at.slow_bytes, at.estimated, slow=0)
            tally.add(at.slow_items, at.slow_bytes, 0, slow=1)
    unmeasured = sum(one.unmeasured for one in all_of)
    return _holdings(whole, tallies, unmeasured, cut=any(one.cut for one in all_of))
