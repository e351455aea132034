"""What an S3 service's refusals mean: error code and HTTP status become one of our typed errors. Pure.

Source: Amazon S3 API Reference 2006-03-01, "Error responses".
"""

import re

from botocore.exceptions import ClientError

from edges.errors import Conflict, EdgeError, NotFound, SiteMisbehaved, SiteUnavailable

MAX_ERROR_BODY = 64 * 1024
"""An error document larger than this, in bytes, is not read further."""

_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,100})</Code>")

_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\"|)([A-Za-z0-9-]{1,128})(?:&quot;|&#34;|\"|)</ETag>")

_MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound"})
_CONTRADICTED = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_FULL = frozenset({"QuotaExceeded", "StorageFull", "InsufficientStorage", "XMinioStorageFull"})
_LATER = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"})
_LATER_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class StorageFull(EdgeError):
    """The store has no room for us: its own quota, or its disk."""

    status = 507
    title = "The site's storage is full"


def error_code(body: bytes) -> str:
    """Return the ``Code`` of an S3 error document, or an empty text.

    The document comes from a stranger: it is searched, never parsed as XML, so entities cannot expand.

    >>> error_code(b"<Error><Code>SlowDown</Code></Error>")
    'SlowDown'
    """
    found = _CODE.search(body)
    return found.group(1).decode("ascii") if found else ""


def copied_etag(body: bytes) -> str:
    """Return the ETag in the answer to a copy, quoted, or an empty text.

    >>> copied_etag(b"<CopyPartResult><ETag>&quot;abc&quot;</ETag></CopyPartResult>")
    '"abc"'
    """
    found = _ETAG.search(body)
    return f'"{found.group(1).decode("ascii")}"' if found else ""


def refusal(site: str, operation: str, status: int, code: str) -> EdgeError:
    """Return the typed error for a refused call; the key and the signed URL are not in its text."""
    said = f"{operation} was answered with HTTP {status}" + (f" {code}" if code else "")
    if code == "NoSuchBucket":
        return SiteMisbehaved(site, f"{said}: the configured bucket does not exist")
    if code in _FULL or status == 507:
        return StorageFull(f"{site}: {said}")
    if code in _LATER or status in _LATER_STATUS:
        return SiteUnavailable(site, said)
    if code in _CONTRADICTED or status == 412:
        return Conflict(f"{site}: {said}")
    if code in _MISSING or status == 404:
        return NotFound(f"{site}: {said}")
    return SiteMisbehaved(site, said)


def translated(site: str, operation: str, error: ClientError) -> EdgeError:
    """Return what an error of botocore means for the caller."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    return refusal(site, operation, status, "" if code.isdigit() else code)
