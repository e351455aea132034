import free_ports
import pytest
from running_site import TOKEN, running_site


@pytest.fixture
async def site(tmp_path):
    async with running_site(tmp_path, write_token=TOKEN) as one:
        yield one


@pytest.fixture
def make_item():
    def make(item_id, collection="c", **properties):
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": item_id,
            "collection": collection,
            "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
            "bbox": [1.0, 2.0, 1.0, 2.0],
            "properties": {"datetime": "2024-01-01T00:00:00Z"} | properties,
            "links": [{"rel": "self", "href": "https://elsewhere.example/i"}, {"rel": "license", "href": "l"}],
            "assets": {"a": {"href": "https://elsewhere.example/a.tif"}},
        }

    return make


@pytest.fixture
def make_collection():
    def make(name):
        return {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": "d",
            "license": "other",
            "extent": {
                "spatial": {"bbox": [[-180, -90, 180, 90]]},
                "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
            },
            "links": [],
        }

    return make


@pytest.fixture
def free_port():
    return free_ports.free_port()
