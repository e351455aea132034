"""Hubs that EODAG searches: how they are set up, and what the provider that speaks OData holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odata_provider import product

from edges.catalogues.eodag_hub import EodagCatalogue
from edges.settings import CatalogueSettings, EodagSettings

DAYS = 12
ALL = [product(n, online=n % 3 != 0) for n in range(1, DAYS + 1)]
L2A = [product(n, "S2MSI2A") for n in range(1, DAYS + 1)]
NAMES = [f"S2A_S2MSI1C_2024{n:04}" for n in range(1, DAYS + 1)]


def stac_provider(url: str, products: Mapping[str, str], **pagination: Any) -> EodagSettings:
    """Return a provider that EODAG does not know: a STAC API, some of whose collections have ids of EODAG."""
    search = {
        "type": "StacSearch",
        "api_endpoint": f"{url}/search",
        "need_auth": False,
        "pagination": {"max_limit": 100, **pagination},
        "sort": {"sort_param_mapping": {"start_datetime": "properties.datetime"}},
    }
    definition = {
        "search": search,
        "products": {name: {"_collection": native} for name, native in products.items()},
        "download": {"type": "HTTPDownload"},
    }
    return EodagSettings(provider="local", definition=definition, collections=tuple(products))


def data_space(url: str, *collections: str, workers: int = 4) -> EodagSettings:
    """Return EODAG's own provider of the data space, at another address."""
    definition = {"search": {"api_endpoint": url}}
    names = collections or ("S2_MSI_L1C",)
    return EodagSettings(provider="cop_dataspace", definition=definition, collections=names, workers=workers)


def catalogue_of(settings: EodagSettings, state: Path, **more: Any) -> EodagCatalogue:
    return EodagCatalogue(site="hub", settings=CatalogueSettings(eodag=settings, **more), state=state)
