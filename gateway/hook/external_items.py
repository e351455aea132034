"""Products of an OData catalogue as STAC items. Pure.

Source: the OData interface of the Copernicus Sentinels' data hubs (CSC): ``Products`` with ``Id``, ``Name``,
``ContentLength``, ``Checksum``, ``ContentDate``; ``Products(Id)/$value`` is the file.
"""

import re
from typing import Any

from edges.model import Json
from harvest import multihash

_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_MD5 = re.compile(r"[0-9a-fA-F]{32}\Z")


def products_filter(identifier: str, collection: str) -> str:
    """Return the filter that finds a product by its name.

    >>> products_filter("O'X", "")
    "Name eq 'O''X'"
    """
    name = f"Name eq {_quoted(identifier)}"
    return f"{name} and Collection/Name eq {_quoted(collection)}" if collection else name


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def item_of_product(page: Json, url: str, collection: str, identifier: str) -> Json | None:
    """Return the first product of an answer as an item with one asset, or None where there is none."""
    value = page.get("value")
    product = value[0] if isinstance(value, list) and value else None
    if not isinstance(product, dict) or product.get("Name") != identifier:
        return None
    number = product.get("Id")
    if not isinstance(number, str) or not _ID.match(number):
        return None
    asset: Json = {"href": f"{url}/Products({number})/$value", "roles": ["data"]}
    asset["file:local_path"] = f"{identifier}.zip"
    size = product.get("ContentLength")
    if isinstance(size, int) and size > 0:
        asset["file:size"] = size
    checksum = _checksum(product.get("Checksum"))
    if checksum is not None:
        asset["file:checksum"] = checksum
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "collection": collection or "products",
        "geometry": None,
        "properties": {"datetime": _start(product.get("ContentDate"))},
        "links": [],
        "assets": {"product": asset},
    }


def _checksum(told: Any) -> str | None:
    for each in told if isinstance(told, list) else []:
        if isinstance(each, dict) and str(each.get("Algorithm", "")).upper() == "MD5":
            value = each.get("Value")
            if isinstance(value, str) and _MD5.match(value):
                return multihash.text(multihash.Checksum("md5", bytes.fromhex(value)))
    return None


def _start(told: Any) -> str | None:
    start = told.get("Start") if isinstance(told, dict) else None
    return start if isinstance(start, str) else None
