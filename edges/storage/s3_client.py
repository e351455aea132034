"""Clients of S3 services for control calls, by boto3; what describes the service is read once for all of them."""

import functools
import threading
from typing import TYPE_CHECKING

from edges.settings import StorageSettings

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

_MAKING = threading.Lock()
"""A session makes one client at a time (boto3 developer guide, "Session", on threads)."""


def s3_client(settings: StorageSettings, *, stall_seconds: float) -> "S3Client":
    """Return a client for a store, which breaks off what stands still for so long; it may be made in any thread."""
    from botocore.config import Config  # noqa: PLC0415 - as boto3 below

    config = Config(
        signature_version="s3v4",  # with an own endpoint the default would be SigV2
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},  # who calls decides on repeats, once
        connect_timeout=min(10.0, stall_seconds),
        read_timeout=max(60.0, stall_seconds),  # completing a large upload takes its time
        max_pool_connections=settings.connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies={},  # a proxy of the environment must not see signed requests
    )
    with _MAKING:
        return _session().client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key.reveal(),
            aws_secret_access_key=settings.secret_key.reveal(),
            config=config,
        )


@functools.cache
def _session() -> "Session":
    """Return what all clients are made of. It keeps the service's description, 12 MB, and no keys."""
    from boto3.session import Session  # noqa: PLC0415 - 10 MB that processes without control calls have no use for

    return Session()
