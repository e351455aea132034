"""Where an asset is: looked up once at its site, and told to nobody who may not see it."""

import asyncio

import msgspec
import pytest

from edges.errors import NotFound
from edges.model import Members
from gateway.data.access import OpenAccess
from gateway.data.finding import Finder, Keep
from gateway.data.hrefs import DataPlace
from gateway.principal import Principal
from gateway.search.merge import Row
from gateway.search.sight import EVERYTHING, Sight

PLACE = DataPlace(site="hub", collection="c", item="i", asset="a")


def principal(user: str) -> Principal:
    return Principal(user=user, groups=("g",), charging_group="g")


def members(assets: object, links: object = ()) -> Members:
    item = {"id": "i", "collection": "c", "assets": assets, "links": links}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in item.items()}


class Catalogue:
    """A federation of one item, whose lookups are counted."""

    def __init__(self, item: Members | None) -> None:
        self.found = item
        self.asked = 0

    def sight(self, principal: Principal) -> Sight:
        return EVERYTHING

    async def item(self, collection: str, item_id: str, *, sites: tuple[str, ...], sight: Sight) -> list[Row]:
        self.asked += 1
        await asyncio.sleep(0)
        return [] if self.found is None else [Row(key=(), site=sites[0], item=self.found)]


class BobSeesNothing(OpenAccess):
    def view(self, principal: Principal) -> str:
        return principal.user

    async def check(self, principal: Principal, *, site: str, collection: str, item: Members) -> None:
        if principal.user == "bob":
            raise NotFound("no such item")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def finder_of(catalogue: Catalogue, **options) -> Finder:
    given = {"access": OpenAccess(), "bases": {"hub": "https://hub.example/stac"}, "keep": Keep(2, 60.0)}
    return Finder(federation=catalogue, **(given | options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("href", "self_link", "wanted"),
    [
        ("https://data.example/x.tif", "", "https://data.example/x.tif"),
        ("./x.tif", "https://cat.example/a/b/item.json", "https://cat.example/a/b/x.tif"),
        ("../x.tif", "s3://bucket/a/b/item.json", "s3://bucket/a/x.tif"),
        ("/x.tif", "https://cat.example/a/b/item.json", "https://cat.example/x.tif"),
        ("x.tif", "", "https://hub.example/stac/collections/c/items/x.tif"),
        ("x.tif", "file:///home/me/item.json", "https://hub.example/stac/collections/c/items/x.tif"),
        ("s3://bucket/x.tif", "https://cat.example/item.json", "s3://bucket/x.tif"),
    ],
)
async def test_relative_addresses_begin_where_the_item_is(href: str, self_link: str, wanted: str) -> None:
    links = [{"rel": "root", "href": "https://hub.example/"}, {"rel": "self", "href": self_link}] if self_link else []
    found = await finder_of(Catalogue(members({"a": {"href": href}}, links))).find(principal("ann"), PLACE)
    assert found.href == wanted


@pytest.mark.parametrize(
    "assets",
    [
        {},
        {"b": {"href": "https://x/"}},
        {"a": {}},
        {"a": {"href": 5}},
        {"a": {"href": ""}},
        {"a": "https://x/"},
        {"a": {"href": "javascript:alert(1)"}},
        {"a": {"href": "file:///etc/passwd"}},
        ["a"],
        None,
    ],
)
async def test_assets_that_are_none_are_not_there(assets: object) -> None:
    with pytest.raises(NotFound):
        await finder_of(Catalogue(members(assets))).find(principal("ann"), PLACE)


async def test_an_item_is_looked_up_once_also_where_many_ask_at_the_same_time() -> None:
    catalogue = Catalogue(members({"a": {"href": "https://x/1", "type": "image/tiff", "file:size": 5}}))
    finder = finder_of(catalogue)
    found = await asyncio.gather(*(finder.find(principal("ann"), PLACE) for _ in range(20)))
    assert {each.href for each in found} == {"https://x/1"}
    assert (found[0].media_type, found[0].size, catalogue.asked) == ("image/tiff", 5, 1)


async def test_it_is_looked_up_again_when_its_time_is_over_and_when_it_was_forgotten() -> None:
    catalogue, clock = Catalogue(members({"a": {"href": "https://x/1"}})), Clock()
    finder = finder_of(catalogue, keep=Keep(2, 60.0, clock))
    await finder.find(principal("ann"), PLACE)
    clock.now = 60.0
    await finder.find(principal("ann"), PLACE)
    assert catalogue.asked == 2
    assert not finder.forget(principal("ann"), PLACE), "it is as new as can be"
    clock.now = 66.0
    assert finder.forget(principal("ann"), PLACE)
    assert not finder.forget(principal("ann"), PLACE)
    await finder.find(principal("ann"), PLACE)
    assert catalogue.asked == 3


async def test_no_more_items_are_kept_than_may_be() -> None:
    catalogue = Catalogue(members({"a": {"href": "https://x/1"}}))
    finder = finder_of(catalogue)
    for item in ("1", "2", "3", "2", "1"):
        await finder.find(principal("ann"), msgspec.structs.replace(PLACE, item=item))
    assert catalogue.asked == 4


async def test_what_is_kept_for_one_is_not_given_to_who_may_not_see_it() -> None:
    catalogue = Catalogue(members({"a": {"href": "https://x/1"}}))
    finder = finder_of(catalogue, access=BobSeesNothing())
    await finder.find(principal("ann"), PLACE)
    for _ in range(2):
        with pytest.raises(NotFound):
            await finder.find(principal("bob"), PLACE)


async def test_what_was_staged_is_found_under_its_own_name_by_whose_it_is() -> None:
    class Orders:
        async def item(self, principal: Principal, *, site: str, collection: str, item: str) -> Members | None:
            return members({"a": {"href": "https://x/staged"}}) if principal.user == "ann" else None

    catalogue = Catalogue(None)
    finder = finder_of(catalogue, others=[Orders()])
    assert (await finder.find(principal("ann"), PLACE)).href == "https://x/staged"
    with pytest.raises(NotFound):
        await finder.find(principal("eve"), PLACE)
    assert catalogue.asked == 1
