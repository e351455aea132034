"""Users' collections over the standard routes: made, filled, changed and removed, as the Transaction extensions say."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pystac_client
import pytest
import pytest_asyncio
from contributed_lake import Lake, a_collection, an_item, hub, lake, site_of

from gateway.settings import QuotaSettings
from quotas.model import Policy

pytestmark = pytest.mark.service


@pytest_asyncio.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Lake]:
    async with (
        site_of([an_item("f1", "federated")], tmp_path / "site.db") as url,
        lake(tmp_path / "state", sites=[hub("hub", url)]) as gateway,
    ):
        yield gateway


async def test_a_collection_is_made_private_and_told_where_it_is(gate: Lake) -> None:
    status, told, headers = await gate.ada.call("POST", "/collections", a_collection("mine"))
    assert status == 201, told
    assert headers["Location"] == f"{gate.url}/collections/mine"
    found = await gate.ada.call("GET", "/collections/mine")
    assert found[0] == 200
    assert found[2]["ETag"] == headers["ETag"]
    assert found[1]["federation:backends"] == ["users"]
    assert await gate.bob.status("GET", "/collections/mine") == 404
    sharing = await gate.ada.get("/collections/mine/sharing")
    assert (sharing["visibility"], sharing["owner"], sharing["you_may"]) == ("private", "ada", ["read", "write"])


async def test_a_post_without_a_type_stays_a_search(gate: Lake) -> None:
    status, page, _ = await gate.ada.call("POST", "/collections", {"ids": ["federated"]})
    assert status == 200
    assert [one["id"] for one in page["collections"]] == ["federated"]


async def test_ids_are_taken_once_by_users_and_sites_alike(gate: Lake) -> None:
    assert await gate.ada.status("POST", "/collections", a_collection("federated")) == 409
    assert await gate.ada.status("POST", "/collections", a_collection("mine")) == 201
    for user in (gate.ada, gate.bob):
        assert await user.status("POST", "/collections", a_collection("mine")) == 409


async def test_nobody_and_strangers_write_nothing(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    await gate.ada.call("POST", "/collections/mine/items", an_item("i1", "mine"))
    changes = [
        ("PUT", "/collections/mine", a_collection("mine")),
        ("PATCH", "/collections/mine", {"title": "x"}),
        ("DELETE", "/collections/mine", None),
        ("PUT", "/collections/mine/sharing", {"visibility": "private"}),
        ("POST", "/collections/mine/items", an_item("i2", "mine")),
        ("PUT", "/collections/mine/items/i1", an_item("i1", "mine")),
        ("PATCH", "/collections/mine/items/i1", {"properties": {"x": 1}}),
        ("DELETE", "/collections/mine/items/i1", None),
    ]
    for method, path, body in changes:
        assert await gate.nobody.status(method, path, body) == 401, (method, path)
        assert await gate.bob.status(method, path, body) == 404, (method, path)
        federated = path.replace("mine", "federated")
        assert await gate.ada.status(method, federated, body) in (400, 403), (method, federated)
    assert await gate.nobody.status("POST", "/collections", a_collection("x")) == 401
    assert await gate.ada.ids(collections=["mine"]) == ["i1"]


async def test_items_come_and_change_and_go(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    status, made, headers = await gate.ada.call("POST", "/collections/mine/items", an_item("i1", "mine", cloud=1))
    assert status == 201, made
    assert headers["Location"] == f"{gate.url}/collections/mine/items/i1"
    assert await gate.ada.status("POST", "/collections/mine/items", an_item("i1", "mine")) == 409
    read = await gate.ada.call("GET", "/collections/mine/items/i1")
    assert read[2]["ETag"] == headers["ETag"]
    status, _, after = await gate.ada.call(
        "PUT", "/collections/mine/items/i1", an_item("i1", "mine", cloud=2), {"If-Match": headers["ETag"]}
    )
    assert status == 200
    assert after["ETag"] != headers["ETag"]
    stale = {"If-Match": headers["ETag"]}
    for method, body in (("PUT", an_item("i1", "mine")), ("PATCH", {"properties": {"cloud": 9}}), ("DELETE", None)):
        assert (await gate.ada.call(method, "/collections/mine/items/i1", body, stale))[0] == 412
    patched = await gate.ada.call(
        "PATCH", "/collections/mine/items/i1", {"properties": {"cloud": None, "snow": 3}}, {"If-Match": after["ETag"]}
    )
    assert patched[0] == 200
    item = await gate.ada.get("/collections/mine/items/i1")
    assert item["properties"]["snow"] == 3
    assert "cloud" not in item["properties"]
    assert await gate.ada.status("PUT", "/collections/mine/items/none", an_item("none", "mine")) == 404
    assert await gate.ada.status("DELETE", "/collections/mine/items/i1") == 204
    assert await gate.ada.status("DELETE", "/collections/mine/items/i1") == 404
    assert (await gate.ada.get("/collections/mine/sharing"))["items"] == 0


async def test_what_was_read_can_be_written_back(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine", title="T"))
    await gate.ada.call("POST", "/collections/mine/items", an_item("i1", "mine"))
    for path in ("/collections/mine", "/collections/mine/items/i1"):
        _, document, headers = await gate.ada.call("GET", path)
        status, told, again = await gate.ada.call("PUT", path, document, {"If-Match": headers["ETag"]})
        assert status == 200, told
        if "items" in path:
            assert again["ETag"] == headers["ETag"]


async def test_a_collection_of_items_comes_whole_or_not_at_all(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    many = {"type": "FeatureCollection", "features": [an_item(f"i{n}", "mine", day=1 + n % 28) for n in range(300)]}
    status, told, _ = await gate.ada.call("POST", "/collections/mine/items", many)
    assert (status, told["added"]) == (201, 300)
    more = {"type": "FeatureCollection", "features": [an_item("new", "mine"), an_item("i7", "mine")]}
    status, told, _ = await gate.ada.call("POST", "/collections/mine/items", more)
    assert status == 409
    assert "'i7'" in told["detail"]
    wrong = {"type": "FeatureCollection", "features": [an_item("new", "mine"), an_item("other", "elsewhere")]}
    status, told, _ = await gate.ada.call("POST", "/collections/mine/items", wrong)
    assert status == 400
    assert "features[1].collection" in told["detail"]
    assert await gate.ada.status("GET", "/collections/mine/items/new") == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "Nonsense"}, "type"),
        ({"stac_version": "0.9"}, "stac_version"),
        ({"id": "a/b"}, "id"),
        ({"id": "x" * 300}, "id"),
        ({"properties": {"datetime": "yesterday"}}, "properties.datetime"),
        ({"properties": {"datetime": None}}, "properties.datetime"),
        ({"properties": {"datetime": None, "start_datetime": "2024-02-01T00:00:00Z",
                         "end_datetime": "2024-01-01T00:00:00Z"}}, "properties.end_datetime"),
        ({"geometry": {"type": "Polygon", "coordinates": "x"}}, "geometry"),
        ({"bbox": [1, 2]}, "bbox"),
        ({"assets": {"data": {"href": "javascript:alert(1)"}}}, "assets.data.href"),
        ({"assets": []}, "assets"),
        ({"links": ["x"]}, "links"),
    ],
)  # fmt: skip
async def test_an_item_that_nobody_could_read_is_refused_by_the_name_of_what_is_wrong(
    gate: Lake, change: dict[str, object], field: str
) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    status, told, _ = await gate.ada.call("POST", "/collections/mine/items", an_item("i1", "mine") | change)
    assert status == 400, told
    assert told["detail"].startswith(f"{field}:"), told["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "../etc"}, "id"),
        ({"description": ""}, "description"),
        ({"license": None}, "license"),
        ({"extent": None}, "extent"),
        ({"extent": {"spatial": {"bbox": [[0, 9, 0, 1]]}, "temporal": {"interval": [[None, None]]}}},
         "extent.spatial.bbox"),
        ({"extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [["x", None]]}}},
         "extent.temporal.interval"),
    ],
)  # fmt: skip
async def test_a_collection_that_nobody_could_read_is_refused_by_the_name_of_what_is_wrong(
    gate: Lake, change: dict[str, object], field: str
) -> None:
    status, told, _ = await gate.ada.call("POST", "/collections", a_collection("mine") | change)
    assert status == 400, told
    assert told["detail"].startswith(f"{field}:"), told["detail"]


async def test_bodies_are_bounded(tmp_path: Path) -> None:
    async with lake(tmp_path / "state", body_bytes=10_000) as gate:
        await gate.ada.call("POST", "/collections", a_collection("mine"))
        assert await gate.ada.status("POST", "/collections/mine/items", an_item("i", "mine", text="x" * 20_000)) == 413
        assert await gate.ada.status("PUT", "/collections/mine", a_collection("mine", title="x" * (2 << 20))) == 413


async def test_sharing_with_a_group_lets_it_read_or_write_and_no_more(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    await gate.ada.call("POST", "/collections/mine/items", an_item("i1", "mine"))
    assert await gate.bob.ids(collections=["mine"]) == await gate.carl.ids(collections=["mine"]) == []
    shared = {"visibility": "group", "groups": {"root/eo/flood": "read"}}
    assert await gate.ada.status("PUT", "/collections/mine/sharing", shared) == 200
    assert await gate.carl.ids(collections=["mine"]) == ["i1"]
    assert await gate.bob.ids(collections=["mine"]) == []
    assert await gate.carl.status("POST", "/collections/mine/items", an_item("i2", "mine")) == 403
    shared = {"visibility": "group", "groups": {"root/eo/flood": "write"}}
    assert await gate.ada.status("PUT", "/collections/mine/sharing", shared) == 200
    assert await gate.carl.status("POST", "/collections/mine/items", an_item("i2", "mine")) == 201
    assert await gate.carl.status("DELETE", "/collections/mine") == 403
    assert await gate.carl.status("PUT", "/collections/mine/sharing", {"visibility": "public"}) == 403
    assert [one["collection"] for one in (await gate.carl.get("/contributed"))["collections"]] == ["mine"]
    assert "groups" not in (await gate.carl.get("/collections/mine/sharing"))
    assert await gate.ada.status("PUT", "/collections/mine/sharing", {"visibility": "private"}) == 200
    assert await gate.carl.ids(collections=["mine"]) == []


async def test_only_who_has_the_role_publishes_and_only_ones_own_groups_are_shared_with(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    await gate.dora.call("POST", "/collections", a_collection("news"))
    assert await gate.ada.status("PUT", "/collections/mine/sharing", {"visibility": "public"}) == 403
    foreign = {"visibility": "group", "groups": {"root/eo/fire": "read"}}
    assert await gate.ada.status("PUT", "/collections/mine/sharing", foreign) == 403
    assert await gate.dora.status("PUT", "/collections/news/sharing", {"visibility": "public"}) == 200
    assert await gate.nobody.status("GET", "/collections/news") == 200
    assert await gate.root.status("PUT", "/collections/mine/sharing", {"visibility": "public"}) == 200
    assert await gate.nobody.status("GET", "/collections/mine") == 200
    for body in ({"visibility": "secret"}, {"visibility": "group"}, {"visibility": "private", "groups": {"a": "read"}},
                 {"visibility": "group", "groups": {"root/eo/flood": "own"}}, {}):  # fmt: skip
        assert await gate.ada.status("PUT", "/collections/mine/sharing", body) == 400


async def test_a_removed_collection_is_gone_for_everybody_and_its_id_free(gate: Lake) -> None:
    await gate.dora.call("POST", "/collections", a_collection("news"))
    await gate.dora.call("POST", "/collections/news/items", an_item("n1", "news"))
    await gate.dora.call("PUT", "/collections/news/sharing", {"visibility": "public"})
    assert await gate.bob.ids(collections=["news"]) == ["n1"]
    tag = (await gate.dora.call("GET", "/collections/news"))[2]["ETag"]
    assert await gate.dora.status("PATCH", "/collections/news", {"title": "News"}) == 200
    assert (await gate.dora.call("DELETE", "/collections/news", None, {"If-Match": tag}))[0] == 412
    assert await gate.dora.status("DELETE", "/collections/news") == 204
    assert await gate.bob.ids(collections=["news"]) == []
    assert await gate.dora.status("GET", "/collections/news") == 404
    assert await gate.bob.status("POST", "/collections", a_collection("news")) == 201
    assert await gate.bob.ids(collections=["news"]) == []


async def test_of_two_who_write_at_once_one_wins_and_the_other_is_told(gate: Lake) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    shared = {"visibility": "group", "groups": {"root/eo/flood": "write"}}
    await gate.ada.call("PUT", "/collections/mine/sharing", shared)
    made = [user.status("POST", "/collections/mine/items", an_item("i1", "mine")) for user in (gate.ada, gate.carl)]
    assert sorted(await asyncio.gather(*made)) == [201, 409]
    tag = (await gate.ada.call("GET", "/collections/mine/items/i1"))[2]["ETag"]
    changes = [
        user.status("PUT", "/collections/mine/items/i1", an_item("i1", "mine", by=number), **{"If-Match": tag})
        for number, user in enumerate((gate.ada, gate.carl))
    ]
    assert sorted(await asyncio.gather(*changes)) == [200, 412]
    both = [user.status("POST", "/collections", a_collection("both")) for user in (gate.ada, gate.bob)]
    assert sorted(await asyncio.gather(*both)) == [201, 409]


async def test_storage_is_charged_refused_and_given_back(tmp_path: Path) -> None:
    policy = Policy(name="disk", group="root/eo/flood", resource="storage_bytes", kind="stock", amount=4_000)
    async with lake(tmp_path / "state", quotas=QuotaSettings(policies=(policy,))) as gate:
        await gate.ada.call("POST", "/collections", a_collection("mine"))
        assert await gate.ada.status("POST", "/collections/mine/items", an_item("i1", "mine", text="x" * 3_000)) == 201
        status, told, _ = await gate.ada.call(
            "POST", "/collections/mine/items", an_item("i2", "mine", text="x" * 3_000)
        )
        assert status in (422, 429)
        assert "disk" in told["detail"]
        assert await gate.ada.ids() == ["i1"]
        assert await gate.ada.status("PUT", "/collections/mine/items/i1", an_item("i1", "mine")) == 200
        assert await gate.ada.status("POST", "/collections/mine/items", an_item("i2", "mine", text="x" * 3_000)) == 201
        assert await gate.ada.status("DELETE", "/collections/mine") == 204
        (standing,) = [one for one in (await gate.ada.get("/quotas/me"))["quotas"] if one["policy"] == "disk"]
        assert standing["used"] == 0


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    async with lake(tmp_path / "state") as gate:
        await gate.ada.call("POST", "/collections", a_collection("mine"))
        await gate.ada.call("POST", "/collections/mine/items", an_item("i1", "mine"))
    async with lake(tmp_path / "state") as gate:
        assert await gate.ada.ids() == ["i1"]
        assert await gate.bob.ids() == []


async def test_a_gateway_without_them_says_so(tmp_path: Path) -> None:
    async with lake(tmp_path / "state", site="") as gate:
        status, told, _ = await gate.ada.call("POST", "/collections", a_collection("mine"))
        assert status == 501, told
        assert "contributed" in told["detail"]
        assert not [uri for uri in (await gate.ada.get("/"))["conformsTo"] if "transaction" in uri]


async def test_pystac_client_reads_what_was_written(gate: Lake) -> None:
    assert [uri for uri in (await gate.ada.get("/conformance"))["conformsTo"] if "extensions/transaction" in uri]
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    features = [an_item(f"i{n}", "mine", day=1 + n % 28) for n in range(25)]
    await gate.ada.call("POST", "/collections/mine/items", {"type": "FeatureCollection", "features": features})

    def read(token: str | None) -> tuple[list[str], int | None, list[str]]:
        client = pystac_client.Client.open(gate.url, headers={"Authorization": f"Bearer {token}"} if token else {})
        search = client.search(collections=["mine"], limit=10)
        return [each.id for each in client.get_collections()], search.matched(), [each.id for each in search.items()]

    collections, matched, found = await asyncio.to_thread(read, gate.ada.token)
    assert collections == ["federated", "mine"]
    assert (matched, len(set(found))) == (25, 25)
    assert await asyncio.to_thread(read, gate.bob.token) == (["federated"], 0, [])
    assert await asyncio.to_thread(read, None) == (["federated"], 0, [])
