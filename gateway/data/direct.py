"""What is asked for beside the gateway, and what is told of it. Pure.

``POST /access`` names items (or whole collections, up to a bound), and gets signed URLs or short-lived keys.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from edges.downloads.s3_way import S3Object
from edges.downloads.sts import ShortKeys
from edges.errors import InvalidInput
from edges.model import Frozen, Json

MAX_ASKED = 1_000
"""Items and collections in one request."""
_DIRECTORIES = (".zarr", ".zarr/", "/")


class AskedItem(Frozen):
    """An item (None: those of a collection), at a site (None: at the first that has it), and of which assets (all)."""

    collection: str
    item: str | None = None
    site: str | None = None
    assets: tuple[str, ...] | None = None


class AccessRequest(Frozen):
    """The body of ``POST /access``; ``seconds`` may be less than the site would give."""

    items: tuple[AskedItem, ...]
    give: Literal["urls", "keys"] = "urls"
    seconds: int | None = None


class Wanted(Frozen):
    """One asset in the store, as it was asked for."""

    site: str
    collection: str
    item: str
    asset: str
    bucket: str
    key: str
    named: bool = False
    """Whether the asset was asked for by name, rather than with all others of its item."""


def access_request(body: Any) -> AccessRequest:
    """Read a request.

    Raises:
        InvalidInput: it is none.
    """
    right = '{"items": [{"collection": ..., "item": ..., "site": ..., "assets": [...]}], "give": "urls" or "keys"}'
    try:
        asked = msgspec.convert(body, AccessRequest)
    except msgspec.ValidationError as error:
        raise InvalidInput("body", str(error), right) from error
    if not 1 <= len(asked.items) <= MAX_ASKED:
        raise InvalidInput("items", f"there are {len(asked.items)}", f"1 to {MAX_ASKED}")
    if asked.seconds is not None and asked.seconds < 1:
        raise InvalidInput("seconds", f"got {asked.seconds}", "at least 1")
    return asked


def objects_of(wanted: Iterable[Wanted]) -> set[str]:
    """Return what keys shall open, as ``bucket/key`` or ``bucket/prefix/*``: never more than what was asked for.

    Where all assets of an item are asked for, and lie below a folder that has the item's name, the folder is named in
    their stead; a folder that other items might share never is.
    """
    found = set()
    for each in wanted:
        steps = each.key.split("/")
        own = next((place for place, step in enumerate(steps[:-1], 1) if _is_own(step, each.item)), None)
        if own is not None and not each.named:
            found.add(f"{each.bucket}/{'/'.join(steps[:own])}/*")
        elif each.key.endswith(_DIRECTORIES):
            found |= {f"{each.bucket}/{each.key.rstrip('/')}/*"}
        else:
            found.add(f"{each.bucket}/{each.key}")
    return found


_TELLING = 8
"""Shorter names of items are no proof that a folder is an item's own: there may be many folders ``32``."""


def _is_own(folder: str, item: str) -> bool:
    return len(item) >= _TELLING and (folder == item or folder.startswith(f"{item}."))


def told_keys(site: str, keys: ShortKeys, *, endpoint: str, region: str, objects: Iterable[str]) -> Json:
    """Return keys with what programs need to use them: GDAL's and boto's environment, and s3fs's arguments."""
    parts = urlsplit(endpoint)
    environment: Mapping[str, str] = {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.session_token,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
        "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    }
    return {
        "site": site,
        "endpoint": endpoint,
        "region": region,
        "path_style": True,
        "objects": [f"s3://{each}" for each in sorted(objects)],
        "expires": keys.expiration,
        "environment": environment,
        "s3fs": {
            "key": keys.access_key,
            "secret": keys.secret_key,
            "token": keys.session_token,
            "client_kwargs": {"endpoint_url": endpoint, "region_name": region},
        },
    }


def place_of(wanted: AskedItem, found: S3Object, *, site: str, item: str, asset: str) -> Wanted:
    """Return an asset that was found."""
    return Wanted(
        site=site,
        collection=wanted.collection,
        item=item,
        asset=asset,
        bucket=found.bucket,
        key=found.key,
        named=wanted.assets is not None,
    )
