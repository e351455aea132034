"""Where an order's outputs go, as its options say. Pure."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from edges.errors import InvalidInput
from edges.model import Frozen
from gateway.hook.addresses import named, same_origin
from gateway.hook.model import Bucket
from harvest.settings import HookSettings, PrivateBucket

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")
"""Names of buckets: S3's own, and the older and longer ones that Ceph takes."""
_FOLDER = re.compile(r"[A-Za-z0-9!_.*'()=+@,: -]+\Z")
"""One segment of a folder: characters that every S3 service and client reads alike."""
MAX_FOLDER = 300
_KEYS = ("output_s3_access_key", "output_s3_secret_key")


class Output(Frozen):
    """Where outputs go.

    ``site`` is for temporary ones (empty: where the operator says). Others go to ``shared``, a group's bucket by name,
    there into the folder ``prefix``; or to ``bucket``, with keys that the order brought.
    """

    temporary: bool = False
    site: str = ""
    shared: str = ""
    prefix: str | None = None
    bucket: Bucket | None = None


def output_of(told: Mapping[str, str], settings: HookSettings, buckets: Sequence[PrivateBucket]) -> Output:
    """Read the options; ``buckets`` are those that the user's group has set up.

    Raises:
        InvalidInput: one is missing or wrong; it is named.
    """
    storage = told.get("output_storage", "").upper()
    if storage == "TEMPORARY":
        return Output(temporary=True, site=told.get("output_site", ""))
    if storage != "PRIVATE":
        raise InvalidInput("output_storage", "missing or not known", "TEMPORARY or PRIVATE")
    name, folder = _path(told.get("output_s3_path", ""))
    keys = [told.get(each, "") for each in _KEYS]
    if not any(keys):
        return _shared(told, name, folder, buckets)
    for key, value in zip(_KEYS, keys, strict=True):
        if not value:
            raise InvalidInput(key, "missing", "both keys, or none for a bucket that your group has set up")
    endpoint = named(told.get("output_s3_endpoint_url", ""), [each.url for each in settings.outputs], _ENDPOINT)
    region = next(each.region for each in settings.outputs if same_origin(endpoint, [each.url]))
    return Output(bucket=Bucket(endpoint=endpoint, bucket=name, folder=folder, region=region))


_ENDPOINT = "output_s3_endpoint_url"


def _shared(told: Mapping[str, str], name: str, folder: str, buckets: Sequence[PrivateBucket]) -> Output:
    endpoint = told.get(_ENDPOINT, "")
    for each in buckets:
        if each.storage.bucket == name and (not endpoint or same_origin(endpoint, [each.storage.endpoint])):
            return Output(shared=each.name, prefix=folder or None)
    raise InvalidInput(_KEYS[0], "missing", "your keys, or a bucket that your group has set up (harvest.buckets)")


def _path(path: str) -> tuple[str, str]:
    """Return bucket and folder of ``s3://bucket/folder``."""
    right = "s3://bucket/prefix, of letters, digits and - _ . ! * ' ( ) = + @ , : only"
    parts = urlsplit(path) if path.startswith("s3://") and "?" not in path and "#" not in path else None
    if parts is None or not _BUCKET.match(parts.netloc):
        raise InvalidInput("output_s3_path", "no path of a bucket", right)
    folder = parts.path.strip("/")
    segments = folder.split("/") if folder else []
    if len(folder) > MAX_FOLDER or any(not _FOLDER.match(each) or not each.strip(".") for each in segments):
        raise InvalidInput("output_s3_path", "a prefix that services read in different ways", right)
    return parts.netloc, folder
