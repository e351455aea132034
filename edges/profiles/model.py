"""What a profile says: frozen values, checked at construction. Pure.

In every rule ``native`` is the provider's word and ``ours`` the harmonised one; ``collections`` are native collection
ids that a rule is limited to, none for all.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Literal

from edges.model import Frozen

_FIXED = frozenset({"href", "alternate"})
"""What of an asset tells where its bytes are."""


class Linear(Frozen):
    """Another unit: ours = native * ``scale`` + ``offset``."""

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.scale == 0 or not math.isfinite(self.scale) or not math.isfinite(self.offset):
            raise ValueError("`linear` needs a finite scale other than 0, and a finite offset")


class Text(Frozen):
    """The same text with something around it; ``number`` tells that the native value is a whole number."""

    prefix: str = ""
    suffix: str = ""
    number: bool = False

    def __post_init__(self) -> None:
        if not self.prefix and not self.suffix and not self.number:
            raise ValueError("`text` changes nothing; give it a prefix, a suffix or number: true")


class PropertyRule(Frozen):
    """One property of items: its name, and at most one change of its value.

    ``ours`` is by default ``native``. ``keep`` leaves the native property beside ours. ``exclusive`` says that no item
    has the property ``ours`` of its own, so that filters become shorter and the site can sort by it; an item that has
    it all the same keeps its own. ``values`` is a table from native to ours; what it does not name stays as it is.
    ``unit`` is that of ours, for the reader.
    """

    native: str
    ours: str = ""
    collections: tuple[str, ...] = ()
    values: Mapping[str, str] = {}
    linear: Linear | None = None
    text: Text | None = None
    keep: bool = False
    exclusive: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        _check_name("native", self.native)
        _check_name("ours", self.target)
        if sum((bool(self.values), self.linear is not None, self.text is not None)) > 1:
            raise ValueError(f"{self.native}: give one of `values`, `linear` and `text`")
        if not self.moves and not self.values and self.linear is None and self.text is None:
            raise ValueError(f"{self.native}: the rule changes neither name nor value")
        if not self.moves and (self.keep or self.exclusive):
            raise ValueError(f"{self.native}: `keep` and `exclusive` need another name in `ours`")

    @property
    def target(self) -> str:
        """Return the harmonised name."""
        return self.ours or self.native

    @property
    def moves(self) -> bool:
        """Tell whether the name changes."""
        return self.target != self.native


class AssetField(Frozen):
    """One field of assets, or of their bands: its name, and at most one change of its value, as of a property.

    ``within`` is the asset itself, or the list of bands that each have it, as the provider calls that list. ``assets``
    are native keys that the rule is limited to, none for all. ``unit`` is that of ours, for the reader.
    """

    native: str
    ours: str = ""
    within: Literal["asset", "eo:bands", "raster:bands", "bands"] = "asset"
    assets: tuple[str, ...] = ()
    values: Mapping[str, str] = {}
    linear: Linear | None = None
    text: Text | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.within == "asset" and {self.native, self.target} & _FIXED:
            raise ValueError(f"{self.native}: {', '.join(sorted(_FIXED))} of an asset stay as they are")
        self.rule()

    def rule(self) -> PropertyRule:
        """Return the same as the rule of a property.

        Raises:
            ValueError: it cannot be used.
        """
        return PropertyRule(
            native=self.native, ours=self.ours, values=self.values, linear=self.linear, text=self.text, unit=self.unit
        )

    @property
    def target(self) -> str:
        """Return the harmonised name."""
        return self.ours or self.native


class AssetRule(Frozen):
    """The keys of assets: ``keys`` from native to ours, one to one; and what their ``fields`` are called and hold."""

    keys: Mapping[str, str] = {}
    fields: tuple[AssetField, ...] = ()
    collections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        repeated = _repeated(self.keys.values())
        if repeated:
            raise ValueError(f"two native asset keys become {repeated!r}")
        if not self.keys and not self.fields:
            raise ValueError("an asset rule needs `keys` or `fields`")
        for one, other in itertools.combinations(self.fields, 2):
            if one.within == other.within and _overlap((one.assets, other.assets)):
                shared = {one.native, one.target} & {other.native, other.target}
                if shared:
                    raise ValueError(f"two rules of one asset name {min(shared)}")


class Profile(Frozen):
    """How one provider's words map to the harmonised ones.

    ``collections`` maps native collection ids to harmonised ones; what is not named keeps its id. ``bands`` is
    ``common`` where ``eo:bands`` and ``raster:bands`` of assets become the ``bands`` of STAC 1.1.
    """

    name: str
    title: str = ""
    source: str = ""
    collections: Mapping[str, str] = {}
    properties: tuple[PropertyRule, ...] = ()
    assets: tuple[AssetRule, ...] = ()
    bands: Literal["native", "common"] = "native"

    def __post_init__(self) -> None:
        for side in ("native", "target"):
            for name, rules in _grouped(self.properties, side).items():
                if _overlap(rule.collections for rule in rules):
                    word = "native" if side == "native" else "ours"
                    raise ValueError(f"two rules of one collection have the same `{word}`: {name}")
        chained = {rule.target for rule in self.properties if rule.moves} & {rule.native for rule in self.properties}
        if chained:
            raise ValueError(f"{min(chained)}: it is the `ours` of one rule and the `native` of another")
        if _overlap(rule.collections for rule in self.assets):
            raise ValueError("two asset rules are for the same collection")


def _check_name(field: str, name: str) -> None:
    if not name or name.startswith("properties.") or name in ("id", "collection", "geometry", "bbox"):
        raise ValueError(f"`{field}` {name!r} is no name of a property")


def _grouped(rules: Iterable[PropertyRule], side: str) -> dict[str, list[PropertyRule]]:
    found: dict[str, list[PropertyRule]] = {}
    for rule in rules:
        found.setdefault(getattr(rule, side), []).append(rule)
    return found


def _overlap(scopes: Iterable[tuple[str, ...]]) -> bool:
    return any(not one or not other or set(one) & set(other) for one, other in itertools.combinations(scopes, 2))


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
