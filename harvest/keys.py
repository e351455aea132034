"""Keys of objects: a safe, injective encoding of where an asset belongs. Pure."""

import hashlib
import re
from urllib.parse import unquote, urlsplit

MAX_KEY = 1024
"""Bytes of an S3 key (Amazon S3 User Guide, "Naming Amazon S3 objects")."""

MAX_SEGMENT = 200
"""Bytes of one segment: four of them and a prefix stay below MAX_KEY, and file systems stop at 255."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
_DIGEST = re.compile(r"!~[0-9a-f]{64}\Z")


def segment(text: str, limit: int = MAX_SEGMENT) -> str:
    """Encode one segment of a key: ``A-Za-z0-9._-`` stand for themselves, any other byte of UTF-8 is ``!XX``.

    Segments of dots only, and the empty one, are encoded too, so that no ``.``, ``..`` or ``//`` can arise.
    What would be longer than ``limit`` ends in the SHA-256 of the whole (``!~`` marks it; no encoded byte
    can).

    >>> segment("S2A_MSIL2A"), segment("a/b"), segment(".."), segment("")
    ('S2A_MSIL2A', 'a!2Fb', '!2E!2E', '!')
    """
    if not text:
        return "!"
    raw = text.encode("utf-8", "surrogatepass")
    encoded = _UNSAFE.sub(lambda found: b"!%02X" % found.group()[0], raw).decode("ascii")
    if not encoded.strip("."):
        encoded = encoded.replace(".", "!2E")
    if len(encoded) <= limit:
        return encoded
    return f"{encoded[: limit - 66]}!~{hashlib.sha256(raw).hexdigest()}"


def file_name(href: str) -> str:
    """Return the last segment of an address's path, decoded; the query is no part of it.

    >>> file_name("https://x.org/a/B02%20x.tif?sig=1")
    'B02 x.tif'
    """
    return unquote(urlsplit(href).path.rsplit("/", 1)[-1])


def object_key(prefix: str, collection: str, item_id: str, asset: str, href: str) -> str:
    """Return the key of an asset's copy below an encoded prefix.

    Two assets never share a key: collection, item and asset key are each a segment; the file name is there
    for people and for software that goes by it.

    >>> object_key("", "s2", "T32", "B02", "https://x.org/T32_B02.jp2")
    's2/T32/B02/T32_B02.jp2'
    """
    return prefix + "/".join(segment(text) for text in (collection, item_id, asset, file_name(href)))


def group_prefix(group: str, prefix: str | None) -> str:
    """Return the encoded folder of a group's own objects, or an empty text for the shared pool.

    ``~`` begins no encoded segment, so a group's folder and the pool never meet.

    >>> group_prefix("root/team", "alps/2024"), group_prefix("root/team", None)
    ('~root!2Fteam/alps!2F2024/', '')
    """
    if prefix is None:
        return ""
    half = MAX_SEGMENT // 2
    return f"~{segment(group, half)}/{segment(prefix.strip('/'), half)}/"
