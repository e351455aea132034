"""Items in native words, said in harmonised ones; and back. Pure.

The way there is hot: members stay bytes, and what needs no change is not encoded again. The way back is for what is
written to a site, and takes decoded items.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from edges.model import Json, Members
from edges.profiles.asset_fields import AssetWords
from edges.profiles.bands import from_common, to_common
from edges.profiles.conversions import Conversion, LinearConversion, conversion_of
from edges.profiles.model import Profile, PropertyRule
from edges.profiles.queries import CollectionIds

_MEMBERS = msgspec.json.Decoder(Members)
_ANY = msgspec.json.Decoder()
_TEXT = msgspec.json.Decoder(str)
_NULL = b"null"
_MEMO = 10_000
"""Values remembered per rule: platforms, tiles and zones come again and again."""

_Convert = Callable[[msgspec.Raw], msgspec.Raw]


class _Step:
    """One property rule, compiled."""

    def __init__(self, rule: PropertyRule) -> None:
        self.rule = rule
        self.native = rule.native
        self.ours = rule.target
        self.moves = rule.moves
        self.keep = rule.keep
        self.conversion = conversion_of(rule)
        self.convert = _converter(self.conversion)

    def undo(self, properties: Json) -> None:
        """Say our value in native words, in place."""
        value = properties[self.ours]
        if self.moves and properties.get(self.native) is not None:
            if self.keep and self.conversion.forward(properties[self.native]) == value:
                del properties[self.ours]  # it is there in native words, too
        elif not self.keep or self.rule.exclusive:
            if self.moves:
                del properties[self.ours]
            properties[self.native] = self.conversion.backward(value)


def _converter(conversion: Conversion) -> _Convert:
    """Return the conversion on encoded values; the same object where a value does not change."""
    memo: dict[bytes, msgspec.Raw | None] = {}
    repeated = not isinstance(conversion, LinearConversion)

    def convert(raw: msgspec.Raw) -> msgspec.Raw:
        key = bytes(raw)
        if key in memo:
            return memo[key] or raw
        value = _ANY.decode(raw)
        ours = conversion.forward(value)
        result = None if ours == value else msgspec.Raw(msgspec.json.encode(ours))
        if repeated and len(memo) < _MEMO:
            memo[key] = result
        return result or raw

    return convert


class _Recipe:
    """What changes in the items of one native collection."""

    def __init__(self, profile: Profile, native: str) -> None:
        self.steps = [_Step(rule) for rule in profile.properties if not rule.collections or native in rule.collections]
        scoped = [rule for rule in profile.assets if not rule.collections or native in rule.collections]
        self.assets = dict(scoped[0].keys) if scoped else {}
        self.fields = AssetWords(scoped[0].fields if scoped else (), self.assets)
        self.bands = profile.bands == "common"

    def properties(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Return the properties; the same object where nothing changes."""
        told, changed = _MEMBERS.decode(raw), False
        for step in self.steps:
            value = told.get(step.native)
            if value is None or bytes(value) == _NULL:
                continue
            if step.moves and bytes(told.get(step.ours, _NULL)) != _NULL:
                continue  # the site says it in our words already
            ours = step.convert(value)
            if not step.moves and ours is value:
                continue
            told[step.ours], changed = ours, True
            if step.moves and not step.keep:
                del told[step.native]
        return msgspec.Raw(msgspec.json.encode(told)) if changed else raw

    def keyed(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Return the assets under our keys and with our bands; the same object where nothing changes."""
        came, names = _MEMBERS.decode(raw), self.assets
        told = came
        if self.fields:
            told = {key: self.fields.encoded(key, asset) for key, asset in came.items()}
            raw = raw if all(told[key] is asset for key, asset in came.items()) else _raw(told)
        if not self.bands:  # the usual case, at half the cost
            if names.keys().isdisjoint(told):
                return raw
            said = {names.get(key, key): asset for key, asset in told.items()}
            if len(said) == len(told):
                return _raw(said)
        moved = {key for key in told if key in names and names[key] not in told}
        banded = {key: _common_bands(asset) for key, asset in told.items()} if self.bands else told
        if not moved and all(banded[key] is asset for key, asset in told.items()):
            return raw
        return _raw({names[key] if key in moved else key: asset for key, asset in banded.items()})


class ItemWords:
    """Translates items by one profile."""

    def __init__(self, profile: Profile, ids: CollectionIds) -> None:
        self._profile = profile
        self._ids = ids
        self._recipes: dict[str, _Recipe] = {}
        self._default = _Recipe(profile, "")
        scopes = [rule.collections for rule in profile.properties] + [rule.collections for rule in profile.assets]
        self._named = {native for scope in scopes for native in scope}

    def harmonised(self, item: Members) -> Members:
        """Return an item in harmonised words; the same object where they are its own. What is no item stays."""
        try:
            native = _TEXT.decode(item["collection"])
            return self._said(item, native)
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return item  # whoever reads it finds that it is no item

    def _said(self, item: Members, native: str) -> Members:
        recipe = self._recipe(native)
        changed: Members = {}
        ours = self._ids.ours(native)
        if ours != native:
            changed["collection"] = _raw(ours)
        if recipe.steps:
            properties = recipe.properties(item["properties"])
            if properties is not item["properties"]:
                changed["properties"] = properties
        if (recipe.assets or recipe.bands or recipe.fields) and "assets" in item:
            assets = recipe.keyed(item["assets"])
            if assets is not item["assets"]:
                changed["assets"] = assets
        return item | changed if changed else item

    def _recipe(self, native: str) -> _Recipe:
        if native not in self._named:
            return self._default
        if native not in self._recipes:
            self._recipes[native] = _Recipe(self._profile, native)
        return self._recipes[native]

    def native(self, item: Json, collection: str) -> Json:
        """Return a decoded item in native words, for one of the site's own collections."""
        recipe = self._recipe(collection)
        properties = dict(item.get("properties") or {})
        for step in recipe.steps:
            if properties.get(step.ours) is not None:
                step.undo(properties)
        natives = {ours: native for native, ours in recipe.assets.items()}
        told = item.get("assets") or {}
        assets = {natives.get(key, key) if natives.get(key) not in told else key: told[key] for key in told}
        if recipe.bands:
            assets = {key: from_common(asset) for key, asset in assets.items()}
        assets = {key: recipe.fields.native(key, asset) for key, asset in assets.items()}
        return item | {"collection": collection, "properties": properties, "assets": assets}

    def collection(self, collection: Json) -> Json:
        """Return a collection in harmonised words: id, summaries, item assets."""
        native = str(collection.get("id"))
        recipe = self._recipe(native)
        said = collection | {"id": self._ids.ours(native)}
        if isinstance(collection.get("summaries"), dict):
            said["summaries"] = _summaries(recipe, collection["summaries"])
        if isinstance(collection.get("item_assets"), dict):
            assets = collection["item_assets"]
            said["item_assets"] = {
                (recipe.assets.get(key, key) if recipe.assets.get(key) not in assets else key): _item_asset(
                    recipe, key, asset
                )
                for key, asset in assets.items()
            }
        return said

    def changes(self, item: Members) -> list[Json]:
        """Return what :meth:`harmonised` changes in a native item, property by property and asset by asset.

        Raises:
            KeyError, msgspec.DecodeError: it is no item.
        """
        native = _TEXT.decode(item["collection"])
        recipe = self._recipe(native)
        before: Json = _ANY.decode(item["properties"])
        after: Json = _ANY.decode(self._said(item, native).get("properties", b"{}"))
        told = [_change("collection", "collection", native, self._ids.ours(native))]
        told += [
            _change(step.native, step.ours, before[step.native], after[step.ours])
            for step in recipe.steps
            if before.get(step.native) is not None and _acted(step, before)
        ]
        changed = [change for change in told if change["from"] != change["to"] or "native" in change]
        return changed + _moved_assets(recipe, item)


def _item_asset(recipe: _Recipe, key: str, asset: Any) -> Any:
    said = recipe.fields.harmonised(key, asset)
    return to_common(said) if recipe.bands and isinstance(said, dict) else said


def _changed_fields(recipe: _Recipe, key: str, raw: msgspec.Raw) -> Iterator[Json]:
    """Tell the fields of an asset that have other names or values in our words, before its bands are made common."""
    before = _ANY.decode(raw)
    after = recipe.fields.harmonised(key, before)
    if after is not before:
        name = recipe.assets.get(key, key)
        for field in sorted(before.keys() | after.keys()):
            if before.get(field) != after.get(field):
                yield {"field": f"assets.{name}.{field}", "from": before.get(field), "to": after.get(field)}


def _acted(step: _Step, before: Json) -> bool:
    return not step.moves or before.get(step.ours) is None


def _change(native: str, ours: str, before: Any, after: Any) -> Json:
    fields = {"field": ours} if native == ours else {"field": ours, "native": native}
    return fields | {"from": before, "to": after}


def _moved_assets(recipe: _Recipe, item: Members) -> list[Json]:
    told = _MEMBERS.decode(item.get("assets", b"{}"))
    fields = (
        [change for key, raw in told.items() for change in _changed_fields(recipe, key, raw)] if recipe.fields else []
    )
    return [
        *fields,
        *(
            {"field": f"assets.{recipe.assets[key]}", "native": f"assets.{key}"}
            for key in told
            if key in recipe.assets and recipe.assets[key] not in told
        ),
    ]


def _common_bands(asset: msgspec.Raw) -> msgspec.Raw:
    body = bytes(asset)
    if b'"eo:bands"' not in body and b'"raster:bands"' not in body:
        return asset
    decoded = _ANY.decode(body)
    said = to_common(decoded) if isinstance(decoded, dict) else decoded
    return asset if said is decoded else _raw(said)


def _summaries(recipe: _Recipe, summaries: Json) -> Json:
    said = dict(summaries)
    for step in recipe.steps:
        if step.native not in summaries or (step.moves and step.ours in summaries):
            continue
        summary = summaries[step.native]
        if step.moves and not step.keep:
            del said[step.native]
        said[step.ours] = _summary(step.conversion, summary)
    return said


def _summary(conversion: Conversion, summary: Any) -> Any:
    if isinstance(summary, list):
        found: list[Any] = []
        for value in summary:
            ours = conversion.forward(value)
            found += [] if ours in found else [ours]
        return found
    if isinstance(summary, dict) and {"minimum", "maximum"} <= summary.keys():
        ends = [conversion.forward(summary["minimum"]), conversion.forward(summary["maximum"])]
        low, high = ends if conversion.order >= 0 else reversed(ends)
        return summary | {"minimum": low, "maximum": high}
    return summary


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
