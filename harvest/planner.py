"""From a request to a list of wishes: search, compare with what the target has, estimate."""

import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import msgspec

from edges.errors import InvalidInput
from edges.model import Json
from harvest.errors import OrderRefused, TargetRefused
from harvest.estimate import estimated_sizes
from harvest.keys import TEMPLATE_NAMES, group_prefix, template_flaw, template_prefix, temporary_prefix
from harvest.known_items import known_items
from harvest.model import Failure, FoundItem, Held, OrderRequest, Source, Value, Wanted
from harvest.replica import registered_alike
from harvest.seams import Place, Search
from harvest.wanted import Aim, ItemId, grouped, select

BATCH = 100
"""Items that are compared with the target's catalogue at once."""


class Wish(Value, frozen=True):
    """One asset to be copied, and its size as estimated (bytes)."""

    wanted: Wanted
    estimate: int


class PlannedItem(Value, frozen=True):
    """One item of which something is wanted, with the item as it was found."""

    doc: Json
    wishes: tuple[Wish, ...]

    @property
    def bytes(self) -> int:
        """Return the estimated bytes of all wishes."""
        return sum(wish.estimate for wish in self.wishes)


class PlannedBatch(Value, frozen=True):
    """What one batch of found items amounts to. ``near``: how many assets no far worker could read."""

    items: tuple[PlannedItem, ...]
    unknown: int
    held: tuple[Held, ...]
    skipped: tuple[Failure, ...]
    near: int = 0
    found: tuple[Json, ...] = ()

    @property
    def present(self) -> int:
        """Return how many assets (of a catalogue: items) were there already."""
        return len(self.held)


class Planner:
    """Plans orders; writes nothing. ``assumed_bytes`` stands for an asset of which no size is known.

    ``folders`` are the sites whose own files can be read; ``near_only`` tells of a source whether the gateway's own
    processes alone can read it.
    """

    def __init__(
        self,
        *,
        search: Search,
        places: Mapping[str, Place],
        max_items: int,
        assumed_bytes: int,
        folders: Collection[str] = (),
        near_only: Callable[[Source], bool],
    ) -> None:
        self._near_only = near_only
        self._folders = frozenset(folders)
        self._search = search
        self._places = places
        self._max_items = max_items
        self._assumed = assumed_bytes

    def aim(self, request: OrderRequest, group: str, order_id: str = "") -> Aim:
        """Return where the copies go.

        Raises:
            InvalidInput: the target is no site that can take copies, or the prefix cannot be.
            TargetRefused: the bucket is not the target's own, or another group's.
        """
        place = self._place(request, group)
        if request.temporary:
            prefix, template = temporary_prefix(order_id), None
        elif place.folder is not None:
            prefix, template = "", f"{place.folder}/{{item_id}}"
        elif request.prefix is not None and "{" in request.prefix:
            prefix, template = "", template_prefix(group, request.prefix)
        else:
            prefix, template = group_prefix(group, request.prefix), None
        flaw = template_flaw(request.prefix or "")
        if flaw is not None:
            raise InvalidInput("prefix", flaw, f"braces around one of {', '.join(TEMPLATE_NAMES)}")
        return Aim(
            target=request.target,
            bucket=place.bucket,
            prefix=prefix,
            template=template,
            assets=request.assets,
            integrity=request.integrity,
            always=request.temporary,
            folders=self._folders,
        )

    def _place(self, request: OrderRequest, group: str) -> Place:
        place = self._places.get(request.target)
        if place is None or not place.takes_copies:
            able = sorted(site for site, each in self._places.items() if each.takes_copies and not each.owner)
            raise InvalidInput("target", f"{request.target!r} takes no copies", f"one of {', '.join(able) or '(none)'}")
        if place.owner and not f"{group}/".startswith(f"{place.owner}/"):
            raise TargetRefused(f"the bucket {request.target!r} belongs to another group")
        if request.bucket is not None and request.bucket != place.bucket:
            raise TargetRefused(f"bucket {request.bucket!r} at {request.target} is not open to harvests")
        if request.content == "catalogue" and place.catalogue is None:
            raise InvalidInput(
                "target", f"{request.target!r} has no catalogue that can be written", "an edge that has one"
            )
        return place

    async def batches(self, request: OrderRequest, aim: Aim) -> AsyncIterator[PlannedBatch]:
        """Walk over the search and tell, batch by batch, what is wanted.

        Raises:
            OrderRefused: more than ``max_items`` items match.
            EdgeError: a site that is needed does not answer.
        """
        seen = 0
        pending: list[FoundItem] = []
        async for found in self._search(msgspec.structs.replace(request.query, limit=BATCH)):
            seen += 1
            if seen > self._max_items:
                raise OrderRefused(f"more than {self._max_items} items match; narrow the search or split the order")
            pending.append(found)
            if len(pending) >= BATCH:
                yield await self._batch(pending, aim, request)
                pending = []
        if pending:
            yield await self._batch(pending, aim, request)

    async def _batch(self, found: Sequence[FoundItem], aim: Aim, request: OrderRequest) -> PlannedBatch:
        groups = grouped(found)
        existing = {} if request.temporary else await self._existing(groups, aim.target)
        if request.content == "catalogue":
            return _entries(groups, existing, aim.target)
        selection = select(found, existing, aim)
        sizes = estimated_sizes(selection.wanted, self._assumed)
        wishes: dict[ItemId, list[Wish]] = {}
        for wanted, size in zip(selection.wanted, sizes, strict=True):
            wishes.setdefault((wanted.collection, wanted.item_id), []).append(Wish(wanted=wanted, estimate=size))
        items = [
            PlannedItem(doc=_best(groups[name], aim.target).item, wishes=tuple(each)) for name, each in wishes.items()
        ]
        unknown = sum(wanted.size is None for wanted in selection.wanted)
        return PlannedBatch(
            items=tuple(items),
            unknown=unknown,
            held=selection.held,
            skipped=selection.skipped,
            near=sum(all(map(self._near_only, wanted.sources)) for wanted in selection.wanted),
            found=tuple(each.item for each in found),
        )

    async def _existing(self, groups: Mapping[ItemId, Sequence[FoundItem]], target: str) -> dict[ItemId, Json]:
        """Return what the target's catalogue has of these items."""
        catalogue = self._places[target].catalogue
        if catalogue is None:
            return {}
        by_collection: dict[str, list[str]] = {}
        for collection, item_id in groups:
            by_collection.setdefault(collection, []).append(item_id)
        existing: dict[ItemId, Json] = {}
        for collection, ids in by_collection.items():
            known = await known_items(catalogue, collection, ids)
            existing |= {(collection, item_id): item for item_id, item in known.items()}
        return existing


def _entries(
    groups: Mapping[ItemId, Sequence[FoundItem]], existing: Mapping[ItemId, Json], target: str
) -> PlannedBatch:
    """Plan items for a catalogue, without their bytes: those that are new there, or have changed."""
    items: list[PlannedItem] = []
    held: list[Held] = []
    for name, copies in groups.items():
        best = _best(copies, target)
        if best.site == target or registered_alike(best.item, existing.get(name)):
            held.append(Held(collection=name[0], item_id=name[1], asset=""))
        else:
            items.append(PlannedItem(doc=best.item, wishes=()))
    found = tuple(each.item for copies in groups.values() for each in copies)
    return PlannedBatch(items=tuple(items), unknown=0, held=tuple(held), skipped=(), found=found)


def fingerprint(request: OrderRequest) -> str:
    """Return what tells two requests apart."""
    return hashlib.sha256(msgspec.json.encode(request, order="sorted")).hexdigest()


def _best(copies: Sequence[FoundItem], target: str) -> FoundItem:
    return next((copy for copy in copies if copy.site != target), copies[0])
