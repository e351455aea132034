"""A session with EODAG's own provider ``dedl``, as a user runs it: only addresses and credentials come from outside.

Prints what it got as JSON on the last line.
"""

import json
import sys
from typing import Any

from eodag import EODataAccessGateway

OLCI, ERA5 = "S3_OLCI_L2WRR", "ERA5_SL"
CHOSEN = {"ecmwf:variable": ["t2m", "sst"], "ecmwf:year": ["2020"], "ecmwf:data_format": "grib"}
PERIOD = {"start": "2024-09-01", "end": "2024-10-01"}


def main() -> None:
    dag = EODataAccessGateway()
    told: dict[str, Any] = {}
    told["collections"] = sorted(each.id for each in dag.list_collections(provider="dedl", fetch_providers=False))
    discovered = dag.discover_collections(provider="dedl") or {}
    told["discovered"] = sorted(str(each) for each in (discovered.get("dedl") or {}).get("providers_config", {}))
    found = dag.search(provider="dedl", collection=OLCI, limit=10, raise_errors=True, **PERIOD)
    told["first"] = [product.properties["id"] for product in found]
    told["status"] = found[0].properties["order:status"]
    everything = dag.search_all(provider="dedl", collection=OLCI, limit=10, raise_errors=True, **PERIOD)
    told["all"] = [product.properties["id"] for product in everything]
    (one,) = dag.search(provider="dedl", collection=OLCI, id="S3A_05", raise_errors=True)
    told["one"] = one.properties["id"]
    told["path"] = dag.download(one)
    queryables = dag.list_queryables(provider="dedl", collection=ERA5)
    told["queryables"] = sorted(queryables)
    (order,) = dag.search(provider="dedl", collection=ERA5, raise_errors=True, **CHOSEN)
    told["orderable"] = (order.properties["id"], order.properties["order:status"])
    told["ordered path"] = dag.download(order, wait=0.01, timeout=1)
    print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
