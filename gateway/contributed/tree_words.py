"""Bucket trees of user-generated data: what their objects are, and their items with absolute addresses. Pure.

Source: the layout of the Destination Earth Data Lake,
``<collection>/{metadata/collection.json, metadata/items/*.json, data/...}``.
"""

from collections.abc import Mapping
from urllib.parse import quote

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from gateway.search.rewriting import SAFE_SCHEMES

_STEPS_UP = ("..", ".")


class Seen(Frozen):
    """An object that was read: its entity tag, and the item that came of it (empty for the collection)."""

    etag: str
    item: str = ""


class Known(Frozen):
    """What was read of a collection's tree, by key: what has not changed is not read again.

    ``id`` is the collection's.
    """

    id: str
    tree: str
    seen: Mapping[str, Seen] = {}


def home_of(prefix: str, collection: str) -> str:
    """Return where a collection's tree begins, in keys."""
    return f"{prefix}{collection}/"


def collection_key(home: str) -> str:
    """Return the key of the collection's document."""
    return f"{home}metadata/collection.json"


def is_item(home: str, key: str) -> bool:
    """Tell whether a key is that of an item's document."""
    return key.startswith(f"{home}metadata/items/") and key.endswith(".json")


def with_addresses(document: Json, base: str) -> Json:
    """Return an item whose assets have absolute addresses; ``base`` is where its tree begins.

    Raises:
        InvalidInput: an address leads out of the tree, or there is none.
    """
    assets = document.get("assets")
    if not isinstance(assets, dict):
        return document
    return document | {"assets": {name: _addressed(name, asset, base) for name, asset in assets.items()}}


def _addressed(name: str, asset: object, base: str) -> object:
    href = asset.get("href") if isinstance(asset, dict) else None
    if not isinstance(asset, dict) or not isinstance(href, str) or href.startswith(SAFE_SCHEMES):
        return asset  # what is wrong with it is told where the item is checked
    steps = href.removeprefix("./").split("/")
    if href.startswith("/") or "\\" in href or any(step in _STEPS_UP for step in steps) or not all(steps):
        raise InvalidInput(f"assets.{name}.href", repr(href)[:80], "a path in the tree, as data/2024/11/17/x.tif")
    path = quote("/".join(steps), safe="/!$&'()*+,;=:@-._~") if base.startswith("http") else "/".join(steps)
    return asset | {"href": base + path}
