"""Use eodag, unmodified, on a gateway whose address is the first argument; tell what it found as JSON."""

import json
import os
import sys
import tempfile
from typing import Any

CONFIGURATION = """
lakegate:
  search:
    type: StacSearch
    api_endpoint: {url}/search
    need_auth: false
    discover_collections:
      fetch_url: {url}/collections
  products:
    GENERIC_COLLECTION:
      _collection: '{{collection}}'
  download:
    type: HTTPDownload
    base_uri: {url}
"""


def main(url: str) -> dict[str, Any]:
    # eodag keeps its configuration at home, and would look for collections of other providers on the network
    os.environ |= {"HOME": tempfile.mkdtemp(), "EODAG_EXT_COLLECTIONS_CFG_URI": ""}
    from eodag import EODataAccessGateway  # noqa: PLC0415 - it reads its environment when imported

    dag = EODataAccessGateway()
    dag.update_providers_config(CONFIGURATION.format(url=url))
    dag.set_preferred_provider("lakegate")
    asked: dict[str, Any] = {"provider": "lakegate", "collection": "sentinel-2-l2a"}
    page = dag.search(limit=5, count=True, raise_errors=True, **asked)
    clear = dag.search(limit=20, raise_errors=True, **asked, **{"eo:cloud_cover": 20})
    whole = dag.search_all(
        limit=5, start="2024-01-02T00:00:00Z", end="2024-01-09T00:00:00Z", geom=[0, 0, 5, 5], **asked
    )
    other = dag.search(limit=20, count=True, raise_errors=True, provider="lakegate", collection="sea-ice")
    dag.fetch_collections_list("lakegate")
    return {
        "page": [product.properties["id"] for product in page],
        "clear": [product.properties["id"] for product in clear],
        "whole": [product.properties["id"] for product in whole],
        "other": [other.number_matched, [product.properties["id"] for product in other]],
        "collections": [collection.id for collection in dag.list_collections(provider="lakegate")],
        "queryables": list(dag.list_queryables(**asked)),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
