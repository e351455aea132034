"""The room of tracing: nothing at all, unless a collector is named."""

import os
import socket
from contextlib import AsyncExitStack
from importlib import import_module

from edges.http import origin_of
from gateway.settings import Settings
from gateway.tracing import Spans


async def add_tracing(settings: Settings, stack: AsyncExitStack) -> Spans | None:
    """Return what records spans, where the configuration names a collector.

    Raises:
        LookupError: the extra is not installed, or a secret cannot be read.
    """
    told = settings.tracing
    if not told.endpoint:
        return None
    try:
        # By name and here: an optional extra, which who does not trace neither has nor waits for.
        module = import_module("gateway.tracing_export")
    except ImportError as error:
        raise LookupError("tracing.endpoint needs the extra: pip install 'lakegate[tracing]'") from error
    export = await stack.enter_async_context(module.exporting(told, f"{socket.gethostname()}-{os.getpid()}"))
    return Spans(export=export, share=told.share, sites=sites_by_origin(settings))


def sites_by_origin(settings: Settings) -> dict[tuple[str, int], str]:
    """Return which site is meant by a host and port; where two share one, the first."""
    found: dict[tuple[str, int], str] = {}
    for site in settings.sites:
        urls = [site.catalogue.url, *site.catalogue.mirrors, *site.asset_origins]
        urls += [part.url for part in (site.dask, site.kernels) if part is not None]
        urls += [site.storage.endpoint] if site.storage is not None else []
        for url in filter(None, urls):
            found.setdefault(origin_of(url), site.id)
    return found
