"""Fields of assets and of their bands, from native to harmonised words and back. Pure.

What needs no change is given back as the same object, so that it need not be encoded again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edges.model import Json
from edges.profiles.conversions import conversion_of
from edges.profiles.model import AssetField

_ANY = msgspec.json.Decoder()


class AssetWords:
    """All fields of one collection's assets, compiled.

    ``keys`` are those of assets, from native to ours: a site may use either, and means the same asset.
    """

    def __init__(self, fields: Iterable[AssetField], keys: Mapping[str, str]) -> None:
        self._fields = tuple(_Field(field, keys) for field in fields)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def encoded(self, key: str, raw: msgspec.Raw) -> msgspec.Raw:
        """Return an asset, by its native key, in harmonised words."""
        body = bytes(raw)
        if not any(field.mark in body for field in self._fields):
            return raw
        asset = _ANY.decode(body)
        said = self.harmonised(key, asset)
        return raw if said is asset else msgspec.Raw(msgspec.json.encode(said))

    def harmonised(self, key: str, asset: Any) -> Any:
        """Return a decoded asset in harmonised words."""
        for field in self._fields:
            if field.covers(key):
                asset = field.within(asset, back=False)
        return asset

    def native(self, key: str, asset: Any) -> Any:
        """Return a decoded asset, by its native key, in native words."""
        for field in self._fields:
            if field.covers(key):
                asset = field.within(asset, back=True)
        return asset


class _Field:
    def __init__(self, field: AssetField, keys: Mapping[str, str]) -> None:
        self._native, self._ours = field.native, field.target
        self._place = "" if field.within == "asset" else field.within
        self._assets = frozenset((*field.assets, *(keys[key] for key in field.assets if key in keys)))
        self._conversion = conversion_of(field.rule())
        self.mark = msgspec.json.encode(field.native)
        """What the bytes of an asset hold that has the field, but for one whose name is written with escapes."""

    def covers(self, key: str) -> bool:
        return not self._assets or key in self._assets

    def within(self, asset: Any, *, back: bool) -> Any:
        """Return the asset with this field in other words, wherever in it the field stands."""
        if not isinstance(asset, dict) or not self._place:
            return self._turned(asset, back=back)
        bands = asset.get(self._place)
        if not isinstance(bands, list):
            return asset
        turned = [self._turned(band, back=back) for band in bands]
        same = all(one is other for one, other in zip(turned, bands, strict=True))
        return asset if same else asset | {self._place: turned}

    def _turned(self, told: Any, *, back: bool) -> Any:
        if not isinstance(told, dict):
            return told
        before, after = (self._ours, self._native) if back else (self._native, self._ours)
        value = told.get(before)
        if value is None or (before != after and told.get(after) is not None):
            return told  # there is none, or it is said in these words already
        change = self._conversion.backward if back else self._conversion.forward
        changed = change(value)
        if before == after and changed == value:
            return told
        return _renamed(told, before, after, changed)


def _renamed(told: Json, before: str, after: str, value: Any) -> Json:
    """Return an object with one member under another name, in its place."""
    return {
        after if name == before else name: value if name == before else member
        for name, member in told.items()
        if name == before or name != after
    }
