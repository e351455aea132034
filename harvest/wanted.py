"""Which assets of found items have to be copied, and from where. Pure.

What stands in an item was written by strangers: nothing in it is believed to have the right type.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from edges.model import Json
from harvest import multihash
from harvest.keys import file_name, object_key, templated_key
from harvest.model import Failure, FoundItem, Held, Integrity, Selection, Source, Value, Wanted
from harvest.places import is_external
from harvest.zip_address import container_of, is_member, parted

SCHEMES = frozenset({"http", "https", "s3", "file"})
"""What a catalogue may point at, also within a ``zip:``; the last two only of itself."""

MAX_SOURCES = 8
"""Places remembered for one asset."""

MAX_HREF = 8192
_BLANK = re.compile(r"[\x00-\x20]")
"""Characters of an address; longer ones are not addresses of files."""

_ORDINARY = re.compile(r"(?:https?|s3)://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/(?:[^?#]*[^/?#])(?:[?#].*)?")
"""An absolute address of a file as nearly all are: nothing of it has to be looked at more closely."""

ItemId = tuple[str, str]
"""Collection and id: what names an item."""


class Aim(Value, frozen=True):
    """Where copies go: the target site, its bucket, the encoded prefix, and which assets, how surely.

    ``template`` is put below the prefix, for each item (``harvest.keys.templated_key``). ``always``: what the target
    has already is copied all the same, for the copy is for somebody. ``folders`` are the sites whose own files can be
    read.
    """

    target: str
    bucket: str
    prefix: str = ""
    template: str | None = None
    assets: tuple[str, ...] | None = None
    integrity: Integrity = "prefer"
    always: bool = False
    folders: frozenset[str] = frozenset()


def item_id_of(item: Json) -> ItemId | None:
    """Return collection and id of an item, or None where it names itself badly."""
    collection, item_id = item.get("collection"), item.get("id")
    if isinstance(collection, str) and isinstance(item_id, str) and collection and item_id:
        return collection, item_id
    return None


def grouped(found: Iterable[FoundItem]) -> dict[ItemId, list[FoundItem]]:
    """Put the copies of one item together, in the order in which they came."""
    groups: dict[ItemId, list[FoundItem]] = {}
    for each in found:
        name = item_id_of(each.item)
        if name is not None:
            groups.setdefault(name, []).append(each)
    return groups


def select(found: Iterable[FoundItem], existing: Mapping[ItemId, Json], aim: Aim) -> Selection:
    """Tell which assets are to be copied, given what the target's catalogue has already."""
    wanted: list[Wanted] = []
    skipped: list[Failure] = []
    held: list[Held] = []
    for name, copies in grouped(found).items():
        here = existing.get(name) or next((copy.item for copy in copies if copy.site == aim.target), None)
        here = None if aim.always else here
        for asset in _asked(copies, aim.assets):
            outcome = _judge(name, asset, copies, here, aim)
            if isinstance(outcome, Wanted):
                wanted.append(outcome)
            elif isinstance(outcome, Failure):
                skipped.append(outcome)
            else:
                held.append(Held(collection=name[0], item_id=name[1], asset=asset))
    return Selection(wanted=tuple(wanted), held=tuple(held), skipped=tuple(skipped))


def _asked(copies: Sequence[FoundItem], assets: tuple[str, ...] | None) -> list[str]:
    if assets is not None:
        return list(dict.fromkeys(assets))
    return list(dict.fromkeys(name for copy in copies for name in _assets(copy.item)))


def _judge(
    name: ItemId, asset: str, copies: Sequence[FoundItem], here: Json | None, aim: Aim
) -> Wanted | Failure | None:
    """Return what to copy, why not, or None where the target has it already."""
    collection, item_id = name
    elsewhere = [copy for copy in copies if copy.site != aim.target]
    described = [copy for copy in elsewhere or copies if _asset(copy.item, asset) is not None]
    if not described:
        return None if _held(here, asset, aim) else _failed(name, asset, "the item has no such asset")
    first = described[0].item["assets"][asset]
    checksum, size = _checksum(first), _size(first)
    held = _held(here, asset, aim)
    if held is not None and _same(held, checksum, size, aim.integrity):
        return None
    sources = sources_of(described, asset, aim)
    if not sources:
        return _failed(
            name,
            asset,
            "no address that may be read (http, https; s3, file of the item's own site; zip)",
        )
    if aim.integrity == "require" and checksum is None:
        return _failed(name, asset, "no checksum is announced, and the order requires one")
    media_type = first.get("type")
    return Wanted(
        collection=collection,
        item_id=item_id,
        asset=asset,
        key=_key(aim, name, asset, _named_href(first, sources[0].href), described[0].item),
        media_type=media_type if isinstance(media_type, str) else "",
        sources=sources,
        size=size,
        checksum=checksum,
    )


def _named_href(asset: Json, href: str) -> str:
    """Return the address whose last segment names the file: that of OData (``$value``) says nothing.

    ``file:local_path`` (STAC File extension v2.1.0) does, where there is one. That of an archive's member is its name.
    """
    if is_member(href):
        return f"local:/{quote(unquote(parted(href)[0]), safe='/')}"
    told = asset.get("file:local_path")
    if file_name(href) != "$value" or not isinstance(told, str) or not told or told.endswith("/"):
        return href
    return f"local:/{quote(told, safe='/')}"


def _key(aim: Aim, name: ItemId, asset: str, href: str, item: Json) -> str:
    if aim.template is None:
        return object_key(aim.prefix, *name, asset, href)
    told = _mapping(item.get("properties")).get("datetime")
    return templated_key(aim.prefix + aim.template, (*name, asset), href, told if isinstance(told, str) else "")


def sources_of(copies: Sequence[FoundItem], asset: str, aim: Aim) -> tuple[Source, ...]:
    """Return where an asset can be read: each copy's own address, then the alternates; the target's last.

    An ``s3:`` or ``file:`` address is taken only from the site that tells it of itself: we would read it with what
    that site gave us, and no other catalogue may choose what that opens. For the same reason nobody names a source of
    an order's own (``harvest.places.is_external``) but itself.
    """
    told_of = [(copy, copy.item["assets"][asset]) for copy in copies]
    own = [(True, copy.site, _address(copy.item, told)) for copy, told in told_of]
    others = [
        (False, site, _address(copy.item, told))
        for copy, named in told_of
        for site, told in _mapping(named.get("alternate")).items()
        if isinstance(told, dict) and not is_external(site)
    ]
    open_to_all = ("http:", "https:")
    usable = [told for told in own if told[2] and (told[1] in aim.folders or not _is_file(told[2]))]
    usable += [told for told in others if container_of(told[2]).startswith(open_to_all)]
    usable.sort(key=lambda told: told[1] == aim.target)
    unique: dict[tuple[str, str], Source] = {}
    for itself, site, href in usable:
        unique.setdefault((site, href), Source(site=site, href=href, own=itself))
    return tuple(unique.values())[:MAX_SOURCES]


def _is_file(href: str) -> bool:
    return container_of(href).startswith("file:")


def _address(item: Json, asset: Json) -> str:
    """Return the absolute address of one file, or an empty text where there is none that we may read."""
    href = asset.get("href")
    if not isinstance(href, str) or len(href) > MAX_HREF or _BLANK.search(href):
        return ""
    if _ORDINARY.fullmatch(href):
        return href
    try:
        absolute = href if is_member(href) or urlsplit(href).scheme else urljoin(_base(item), href)
        parts = urlsplit(container_of(absolute))
        nowhere = not parts.hostname and parts.scheme != "file"
        refused = parts.scheme not in SCHEMES or nowhere or parts.username is not None
    except ValueError:
        return ""
    return "" if refused or parts.path.endswith("/") or parts.path == "" else absolute


def absolute_href(item: Json, href: str) -> str:
    """Return an asset's address made absolute by the item's own; as it is where that cannot be."""
    return href if urlsplit(href).scheme else urljoin(_base(item), href) or href


def _base(item: Json) -> str:
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            return str(link["href"])
    return ""


def _held(here: Json | None, asset: str, aim: Aim) -> Json | None:
    """Return the asset as the target holds it, or None where its bytes are not there.

    An item that was registered by a harvest may name assets that still lie elsewhere; the storage scheme
    tells.
    """
    held = None if here is None else _asset(here, asset)
    if here is None or held is None:
        return None
    ours = aim.target in _mapping(_mapping(here.get("properties")).get("storage:schemes"))
    copied = str(held.get("href", "")).startswith(f"s3://{aim.bucket}/")
    return held if copied or not ours else None


def _same(held: Json, checksum: str | None, size: int | None, integrity: Integrity) -> bool:
    held_checksum, held_size = _checksum(held), _size(held)
    if checksum is not None and held_checksum is not None:
        return checksum == held_checksum
    if integrity == "require":
        return False
    return size is None or held_size is None or size == held_size


def _checksum(asset: Json) -> str | None:
    told = asset.get("file:checksum")
    return told.lower() if isinstance(told, str) and multihash.parse(told) is not None else None


def _size(asset: Json) -> int | None:
    told = asset.get("file:size")
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < 1 << 50 else None


def _assets(item: Json) -> dict[str, Json]:
    return {name: asset for name, asset in _mapping(item.get("assets")).items() if isinstance(asset, dict)}


def _asset(item: Json, name: str) -> Json | None:
    assets = item.get("assets")
    asset = assets.get(name) if isinstance(assets, dict) else None
    return asset if isinstance(asset, dict) else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _failed(name: ItemId, asset: str, reason: str) -> Failure:
    return Failure(collection=name[0], item_id=name[1], asset=asset, reason=reason)
