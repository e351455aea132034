"""What is not yours is not there: in no face, count, aggregation, export, copy, cache or cursor."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from contributed_lake import Lake, User, a_collection, an_item, hub, lake, site_of

from edges.settings import AccessRule

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

BYTES = "1220" + "ab" * 32
"""A checksum (multihash, SHA-256) that a private copy shares with a public item: by it, copies are known."""


def copy_of(name: str, collection: str) -> dict[str, Any]:
    """Return an item of the same bytes and time as another one, under another name."""
    item = an_item(name, collection, day=5, marker="common")
    item["assets"]["data"] |= {"file:checksum": BYTES, "file:size": 10, "href": f"s3://{collection}/{name}.tif"}
    return item


SECRET = "secretword"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lake]:
    """Return a lake with a public site, one with collections that ask for a role, and a private collection of Ada's."""
    folder = tmp_path_factory.mktemp("visibility")
    role = "DPAD_Direct_Access"
    rules = (
        AccessRule(collections=("dt-hidden",), role=role),
        AccessRule(collections=("dt-bare",), role=role, without="metadata"),
    )
    twins = [
        an_item("h1", "dt-hidden", day=3, twinsonly=1),
        an_item("b1", "dt-bare", day=4),
        copy_of("c0", "dt-hidden"),
    ]
    async with (
        site_of([an_item("o1", "open", day=2), copy_of("c1", "open")], folder / "open.db") as open_url,
        site_of(twins, folder / "twins.db") as twins_url,
        lake(folder / "state", sites=[hub("open", open_url), hub("twins", twins_url, access=rules)]) as gateway,
    ):
        private = a_collection("private", description=f"A {SECRET} of Ada's", summaries={"hush": ["x"]})
        assert await gateway.ada.status("POST", "/collections", private) == 201
        features = [an_item("p1", "private", hush="x"), copy_of("c2", "private")]
        added = {"type": "FeatureCollection", "features": features}
        assert await gateway.ada.status("POST", "/collections/private/items", added) == 201
        yield gateway


Probe = Callable[[User], Awaitable[Any]]


def getting(path: str, **parameters: str) -> Probe:
    return lambda user: user.get(path, **parameters)


def posting(path: str, body: Any) -> Probe:
    async def post(user: User) -> Any:
        status, told, _ = await user.call("POST", path, body)
        assert status == 200, told
        return told

    return post


async def exported(user: User) -> Any:
    _, told, _ = await user.call("POST", "/search/export", {"records": "items"})
    return [msgspec.json.decode(line) for line in bytes(told).splitlines()]


EVERYWHERE: dict[str, Probe] = {
    "landing page": getting("/"),
    "children": getting("/children"),
    "catalogues": getting("/catalogs"),
    "collections": getting("/collections"),
    "collections by free text": getting("/collections", q=SECRET),
    "collections by id": getting("/collections", ids="private,dt-hidden,open"),
    "collections by post": posting("/collections", {"limit": 50}),
    "search": getting("/search", limit="100"),
    "search by post": posting("/search", {"limit": 100}),
    "search by name": posting("/search", {"collections": ["private", "dt-hidden"], "limit": 100}),
    "search by id": posting("/search", {"ids": ["p1", "h1", "c2", "c0"], "limit": 100}),
    "search by filter": posting("/search", {"filter": {"op": "=", "args": [{"property": "collection"}, "private"]}}),
    "search by free text": posting("/search", {"q": SECRET}),
    "every copy": posting("/search", {"limit": 100, "dedup": "none"}),
    "each product once": posting("/search", {"limit": 100, "dedup": "product"}),
    "each observation once": posting("/search", {"limit": 100, "dedup": "observation"}),
    "one item with its copies": getting("/collections/open/items/c1", dedup="observation"),
    "items of the open": getting("/collections/open/items"),
    "explanation": posting("/search/explain", {"limit": 100}),
    "aggregation": getting("/aggregate", aggregations="total_count,collection_frequency"),
    "queryables": getting("/queryables"),
    "sortables": getting("/sortables"),
    "export": exported,
    "placement": posting("/placement", {"collections": ["private", "dt-hidden"]}),
    "sites": getting("/sites"),
    "site of users": lambda user: user.call("GET", "/sites/users"),
    "site with roles": getting("/sites/twins"),
    "catalogue with roles": getting("/catalogs/twins/collections"),
    "search of one catalogue": posting("/catalogs/twins/search", {"limit": 100}),
    "data access collections": getting("/stac/v2/collections"),
}


SECRETS = ("p1", "c2", "hush", "s3://private", "h1", "c0", "s3://dt-hidden", "twinsonly", "A secretword")


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("who", ["nobody", "bob", "carl"])
async def test_nothing_of_what_is_not_theirs_shows_to_others(gate: Lake, where: str, who: str) -> None:
    ours = await EVERYWHERE[where](gate.ada)  # first: so that caches hold what she sees
    told = await EVERYWHERE[where](gate.all[who])
    text = msgspec.json.encode(told if not isinstance(told, tuple) else told[:2]).decode()
    asked = {"search by name", "search by filter", "placement", "explanation", "collections by id"}
    names = ("private", "dt-hidden") if where not in asked else ()
    shown = [each for each in (*SECRETS, *names) if f'"{each}' in text or f"/{each}" in text or f" {each}" in text]
    assert not [each for each in shown if not (each == SECRET and where.endswith("free text"))], text[:2000]
    assert ours is not None


async def test_owners_and_those_with_the_role_see_theirs(gate: Lake) -> None:
    assert set(await gate.ada.ids(dedup="none")) == {"o1", "c1", "b1", "p1", "c2"}
    assert set(await gate.dora.ids(dedup="none")) == {"o1", "c1", "b1", "h1", "c0"}
    assert set(await gate.bob.ids(dedup="none")) == {"o1", "c1", "b1"}


@pytest.mark.parametrize(
    ("who", "count"), [("nobody", 3), ("bob", 3), ("carl", 3), ("ada", 5), ("dora", 5)]
)  # fmt: skip
async def test_counts_are_of_what_is_seen(gate: Lake, who: str, count: int) -> None:
    user = gate.all[who]
    page = (await user.call("POST", "/search", {"limit": 1, "dedup": "none"}))[1]
    assert page["numberMatched"] == count
    counted = await user.get("/aggregate", aggregations="total_count", dedup="none")
    assert counted["aggregations"][0]["value"] == count


@pytest.mark.parametrize("who", ["nobody", "bob", "dora"])
@pytest.mark.parametrize(
    "path",
    [
        "/collections/private",
        "/collections/private/items",
        "/collections/private/items/p1",
        "/collections/private/queryables",
        "/collections/private/sortables",
        "/collections/private/aggregate?aggregations=total_count",
        "/collections/private/aggregations",
        "/catalogs/users",
        "/catalogs/users/collections",
        "/catalogs/users/collections/private/items/p1",
        "/stac/v2/collections/private",
        "/stac/v2/collections/private/items/p1",
        "/data/users/private/p1/data",
    ],
)
async def test_asking_by_name_answers_as_if_it_were_not_there(gate: Lake, who: str, path: str) -> None:
    status, told, _ = await gate.all[who].call("GET", path)
    assert status == (401 if path.startswith("/data") and who == "nobody" else 404), told


async def test_a_cursor_of_the_owner_shows_nobody_else_anything(gate: Lake) -> None:
    _, page, _ = await gate.ada.call("POST", "/search", {"limit": 1, "collections": ["private"]})
    (following,) = [link["body"] for link in page["links"] if link["rel"] == "next"]
    status, told, _ = await gate.bob.call("POST", "/search", following)
    assert (status, told.get("features")) == (400, None)


async def test_who_lacks_the_role_gets_items_without_their_data(gate: Lake) -> None:
    item = await gate.bob.get("/collections/dt-bare/items/b1")
    (asset,) = item["assets"].values()
    assert asset["href"] == f"{gate.url}/data/twins/dt-bare/b1/data"
    assert item["properties"]["federation:access"] == {"granted": "metadata", "role": "DPAD_Direct_Access"}
    status, told, _ = await gate.bob.call("GET", "/data/twins/dt-bare/b1/data")
    assert status == 403
    assert "DPAD_Direct_Access" in told["detail"]
    whole = await gate.dora.get("/collections/dt-bare/items/b1")
    assert whole["assets"]["data"]["href"] == "https://data.example/dt-bare/b1.tif"


async def test_a_private_copy_is_told_to_its_owner_alone(gate: Lake) -> None:
    for user, sees in ((gate.ada, True), (gate.bob, False)):
        _, page, _ = await user.call("POST", "/search", {"ids": ["c1", "c2"], "limit": 10})
        assert ("s3://private/c2.tif" in msgspec.json.encode(page).decode()) is sees


@pytest.mark.parametrize("dedup", ["replica", "product", "observation"])
async def test_nobody_slips_an_address_of_theirs_under_an_item_of_a_site(gate: Lake, dedup: str) -> None:
    """Ada's item tells the same checksum as the site's, and would be a copy of it by that."""
    for told in (
        (await gate.ada.call("POST", "/search", {"collections": ["open"], "dedup": dedup}))[1]["features"],
        (await gate.ada.call("POST", "/search", {"limit": 50, "dedup": dedup}))[1]["features"],
        [await gate.ada.get("/collections/open/items/c1", dedup=dedup)],
    ):
        (item,) = [one for one in told if one["id"] == "c1"]
        assert "s3://private" not in str(item)


async def test_caches_on_the_way_keep_no_answer_for_others(gate: Lake) -> None:
    for path in ("/", "/collections", "/search", "/collections/private"):
        _, _, headers = await gate.ada.call("GET", path)
        assert "private" in headers["Cache-Control"] or "no-store" in headers["Cache-Control"]
        assert "Authorization" in headers["Vary"]


async def test_a_harvest_brings_nothing_that_is_private(gate: Lake) -> None:
    body = {"inputs": {"collections": ["private"], "target": "nowhere"}}
    status, told, _ = await gate.ada.call("POST", "/processes/harvest-estimate/execution", body)
    assert status in (400, 404) or "p1" not in msgspec.json.encode(told).decode()
