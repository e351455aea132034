"""Orders as items: the answer to an order, and what clients ask for again and again until it is there. Pure."""

import re
from typing import Any

import msgspec

from edges.model import Json, Members
from edges.stac.datetimes import format_instant
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, link, url_of
from gateway.data.hrefs import download_href
from gateway.hda.items import ORDER_EXTENSION, View, with_downloads
from gateway.hda.order_bodies import ITEM, PREFIX, VIA
from gateway.orders.model import Order, Staging
from gateway.search.alternates import ALTERNATE_EXTENSION

_WORLD: Json = {
    "type": "Polygon",
    "coordinates": [[[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0], [-180.0, -90.0]]],
}
_EXTENSIONS = (ALTERNATE_EXTENSION, ORDER_EXTENSION)
ORDER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIMESTAMPS = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"


def order_item(order: Order, staging: Staging, view: View) -> Json:
    """Return an order as an item: of what was staged once it succeeded, of what was asked for until then."""
    told = staging.item or {}
    own = url_of(view.base, "collections", order.collection, "items", order.id)
    above = url_of(view.base, "collections", order.collection)
    geometry = told.get("geometry") if staging.item is not None else _WORLD
    item: Json = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [*_EXTENSIONS, _TIMESTAMPS] if staging.ended else list(_EXTENSIONS),
        "id": order.id,
        "collection": order.collection,
        "geometry": geometry,
        "properties": _properties(order, staging, view),
        "assets": _assets(order, staging, view),
        "links": [
            link("collection", above, JSON_TYPE, view.titles(order.collection)),
            link("self", own, GEOJSON_TYPE, "Original item link"),
        ],
    }
    if geometry is not None:
        item["bbox"] = told.get("bbox") or [-180.0, -90.0, 180.0, 90.0]
    return item


def _properties(order: Order, staging: Staging, view: View) -> Json:
    told = (staging.item or {}).get("properties")
    status = "canceled" if order.withdrawn else staging.status
    own: Json = {
        "order:status": status,
        "order:id": order.id,
        "order:date": _moment(order.made_at),
        "updated": _moment(staging.changed_at),
        "storage:tier": "online" if status == "succeeded" else "offline",
        "federation:backends": [view.names.get(staging.site, staging.site)],
    }
    if staging.ended:
        own["expires"] = _moment(staging.ends_at)
    if staging.reason and status != "succeeded":
        own["order:message"] = staging.reason
    base = {"datetime": None, "start_datetime": None, "end_datetime": None, "title": order.id} | _asked(staging)
    base |= told if isinstance(told, dict) else {}
    if base["start_datetime"] is None or base["end_datetime"] is None:
        moment = base["datetime"] or _moment(order.made_at)
        base |= {"datetime": moment}
        base = {name: value for name, value in base.items() if value is not None or name == "datetime"}
    return base | own


def _asked(staging: Staging) -> Json:
    """Return the parameters of an order as properties."""
    return {
        name if ":" in name else f"{PREFIX}{name}": value
        for name, value in staging.parameters.items()
        if name not in (ITEM, VIA) and not isinstance(value, dict)
    }


def _assets(order: Order, staging: Staging, view: View) -> Any:
    assets = (staging.item or {}).get("assets")
    if not isinstance(assets, dict) or order.withdrawn or staging.status != "succeeded":
        return {}
    front = download_href(view.root, site=staging.site, collection=order.collection, item=order.id, asset="x")[:-1]
    return with_downloads(msgspec.Raw(msgspec.json.encode(assets)), front)


def staged_members(order: Order, staging: Staging) -> Members | None:
    """Return what was staged as its site tells of it, under the order's own name; None until it is there."""
    if staging.item is None or staging.status != "succeeded" or order.withdrawn:
        return None
    named = staging.item | {"id": order.id, "collection": order.collection}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in named.items()}


def _moment(seconds: float) -> str:
    return format_instant(int(seconds * 1e6) // 1_000 * 1_000)
