"""How many bytes the copies of one item have: told by the assets, else by their grid. Pure.

Sources: STAC file extension v2.1.0 (``file:size``), projection v2.0.0 (``proj:shape``), raster v1.1.0
(``raster:bands[].data_type``) and STAC 1.1 (``bands``, ``data_type``).
"""

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from edges.model import Members
from gateway.search.availability import availability
from gateway.search.merge import Group

_BYTES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4, "uint32": 4, "float32": 4}
_DEFAULT_BYTES = 8
_NO_DATA = frozenset({"metadata", "thumbnail", "overview"})
LARGEST = 1 << 60
"""A hostile catalogue's sizes are cut here: sums stay numbers that JSON can carry."""


class Copy(msgspec.Struct, frozen=True, gc=False):
    """One copy's bytes: those told (``known``), those guessed from grids, and data assets of which nothing is known.

    ``slow`` copies have to be ordered first, as from tape.
    """

    known: int = 0
    estimated: int = 0
    unknown: int = 0
    slow: bool = False

    @property
    def exact(self) -> bool:
        """Tell whether every data asset tells its size."""
        return not self.estimated and not self.unknown

    @property
    def bytes(self) -> int:
        """Return all that is known or guessed."""
        return self.known + self.estimated


class Scene(msgspec.Struct, frozen=True, gc=False):
    """The copies of one item, one per site."""

    collection: str
    sites: tuple[str, ...]
    copies: tuple[Copy, ...]

    @property
    def alike(self) -> bool:
        """Tell whether all copies tell the same, and all of it."""
        first = self.copies[0]
        return not (first.estimated or first.unknown) and self.copies.count(first) == len(self.copies)

    @property
    def told(self) -> int:
        """Return the bytes that a copy tells of itself wholly, the most of them; 0 where none does."""
        if self.alike:
            return self.copies[0].known
        return max((copy.known for copy in self.copies if copy.exact), default=0)


class _Asset(msgspec.Struct, frozen=True, gc=False):
    size: Any = msgspec.field(default=None, name="file:size")
    shape: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="proj:shape")
    kind: Any = msgspec.field(default=None, name="data_type")
    raster: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="raster:bands")
    bands: msgspec.Raw = msgspec.Raw(b"null")
    roles: msgspec.Raw = msgspec.Raw(b"null")


class _Properties(msgspec.Struct, frozen=True, gc=False):
    shape: Any = msgspec.field(default=None, name="proj:shape")


_ASSETS = msgspec.json.Decoder(dict[str, _Asset])
_PROPERTIES = msgspec.json.Decoder(_Properties)
_MEMORY_ITEMS = 100_000
_TEXT = msgspec.json.Decoder(str)
_NOTHING = Copy(unknown=1)


def scene_of(group: Group) -> Scene:
    """Measure the copies of one item; the first one of a site that has several productions of its scene."""
    by_site = {row.site: row.item for row in reversed(group)}
    return Scene(
        collection=_collection(group[0].item),
        sites=tuple(by_site),
        copies=tuple(copy_of(item) for item in by_site.values()),
    )


def _collection(item: Members) -> str:
    try:
        return _TEXT.decode(item.get("collection", b'""'))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def copy_of(item: Members) -> Copy:
    """Measure one copy. What cannot be read is one asset of which nothing is known."""
    try:
        assets = _ASSETS.decode(item.get("assets", b"{}"))
        shape = _PROPERTIES.decode(item.get("properties", b"{}")).shape
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NOTHING
    known = estimated = unknown = 0
    for asset in assets.values():
        size = asset.size
        if type(size) is int and size >= 0:
            known += min(size, LARGEST)
        elif not any(role in _NO_DATA for role in _list(asset.roles) if _is_text(role)):
            guessed = _by_grid(asset, shape)
            estimated += guessed
            unknown += not guessed
    slow = availability(item) != "online"
    return Copy(known=min(known, LARGEST), estimated=min(estimated, LARGEST), unknown=unknown, slow=slow)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _by_grid(asset: _Asset, shape_of_item: Any) -> int:
    """Bound an asset's size from above by its grid: ``proj:shape`` x bands x bytes per sample; 0 if unknown."""
    shape = _list(asset.shape) or shape_of_item
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(side) is int and side > 0 for side in shape)):
        return 0
    bands = _list(asset.raster) or _list(asset.bands) or [{}]
    kinds = [asset.kind or (band.get("data_type") if isinstance(band, dict) else None) for band in bands]
    samples: int = math.prod(shape)
    return min(LARGEST, samples * sum(_BYTES.get(str(kind), _DEFAULT_BYTES) for kind in kinds))


def _list(raw: msgspec.Raw) -> list[Any]:
    value = msgspec.json.decode(raw)
    return value if isinstance(value, list) else []


class Averages(msgspec.Struct, frozen=True):
    """What items of a collection weigh on average, learned from those that tell all their sizes."""

    learned: dict[str, tuple[int, int]] = {}
    """Items and bytes seen, by collection."""

    def of(self, collection: str) -> int | None:
        """Return the bytes of an average item, None where none was ever measured."""
        items, total = self.learned.get(collection, (0, 0))
        return total // items if items else None

    @property
    def heavy(self) -> bool:
        """Tell whether so much was learned of a collection that news would hardly count any more."""
        return any(items > _MEMORY_ITEMS for items, _ in self.learned.values())

    def halved(self) -> "Averages":
        """Forget half the weight of what was learned, so that averages follow what changes."""
        return Averages(learned={name: (items // 2, total // 2) for name, (items, total) in self.learned.items()})

    def with_scenes(self, scenes: Iterable[Scene], *, most: int = 10_000) -> "Averages":
        """Learn from more scenes; of at most so many collections."""
        learned = dict(self.learned)
        for scene in scenes:
            size = scene.told
            if size and (scene.collection in learned or len(learned) < most):
                items, total = learned.get(scene.collection, (0, 0))
                learned[scene.collection] = (items + 1, total + size)
        return Averages(learned=learned)
