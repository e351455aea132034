"""Run stac-api-validator, unmodified, on a gateway; tell its errors as JSON.

Its command takes numbers for the Query extension as text only, and then misses them in the answers: so it is called.
"""

import json
import sys

from stac_api_validator.validations import QueryConfig, validate_api

CLASSES = [
    "core", "collections", "children", "features", "item-search", "filter", "item-search#sort", "item-search#fields",
    "item-search#query", "features#sort", "features#fields", "features#query",
]  # fmt: skip


def main(url: str) -> list[str]:
    _, errors = validate_api(
        root_url=url,
        ccs_to_validate=CLASSES,
        collection="sentinel-2-l2a",
        geometry='{"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]}',
        auth_bearer_token=None,
        auth_query_parameter=None,
        fields_nested_property="properties.eo:cloud_cover",
        validate_pagination=True,
        query_config=QueryConfig(
            "eo:cloud_cover", 5.0, 5.0, 50.0, 50.0, 5.0, 5.0, "platform", "sent", "2a", "inel", "platform", "s,e"
        ),
        transaction_collection=None,
        headers=None,
        open_assets_urls=False,
    )
    return list(errors)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
