"""What a principal sees of the sites' collections, and that a search gives exactly what brute force would."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.memory import MemoryCatalogue
from edges.model import Frozen, Query
from edges.registry import Registry, Site
from edges.settings import AccessRule, CatalogueSettings, SiteSettings
from gateway.principal import Principal
from gateway.search.access import Access, DataRefused
from gateway.search.cursor import Cursors
from gateway.search.federation import AllSitesFailed, Federation
from gateway.search.sight import EVERYTHING, HeldCollections, sight_of


def principal(user: str, *groups: str, roles: tuple[str, ...] = ()) -> Principal:
    return Principal(user=user, groups=groups, charging_group="root", roles=roles)


class Owned(Frozen):
    """A user's collection, as far as sights care."""

    id: str
    owner: str = ""
    groups: tuple[str, ...] = ()
    public: bool = False

    def readable(self, who: Principal | None) -> bool:
        return self.public or (
            who is not None and (who.user == self.owner or not set(self.groups).isdisjoint(who.groups))
        )

    def owned(self, who: Principal | None) -> bool:
        return who is not None and who.user == self.owner


class Book:
    """Users' collections at one site."""

    def __init__(self, site: str, *collections: Owned) -> None:
        self.site = site
        self.changes = 1
        self.collections = list(collections)

    def shared(self) -> list[Owned]:
        return self.collections


def held(*collections: dict[str, Any], believes: bool = False, rules: tuple[AccessRule, ...] = ()) -> HeldCollections:
    return HeldCollections(site="dt", rules=rules, believes=believes, collections=collections)


CLIMATE = AccessRule(collections=("EO.*.DT_*",), role="DPAD_Direct_Access")
METADATA = AccessRule(collections=("EO.*.DT_*",), role="DPAD_Direct_Access", without="metadata")
DT, OTHER = {"id": "EO.ECMWF.DAT.DT_CLIMATE"}, {"id": "EO.CLMS.DAT.CORINE"}


def test_without_rules_everything_is_seen_and_nothing_is_narrowed():
    sight = sight_of(None)
    assert sight == EVERYTHING
    assert sight.seen("any", None) is None
    assert sight.degree("any", "c") == "full"


@pytest.mark.parametrize(
    ("rule", "roles", "degree"),
    [
        (CLIMATE, (), "none"),
        (CLIMATE, ("other",), "none"),
        (CLIMATE, ("DPAD_Direct_Access",), "full"),
        (METADATA, (), "metadata"),
        (METADATA, ("DPAD_Direct_Access",), "full"),
    ],
)
def test_a_collection_that_asks_for_a_role_is_seen_as_policy_says(rule, roles, degree):
    sight = sight_of(principal("ada", roles=roles), held=[held(DT, OTHER, rules=(rule,))])
    assert sight.degree("dt", DT["id"]) == degree
    assert sight.degree("dt", OTHER["id"]) == "full"
    assert sight.role("dt", DT["id"]) == ("DPAD_Direct_Access" if degree == "metadata" else "")


def test_of_several_rules_all_roles_are_needed():
    second = AccessRule(collections=("*CLIMATE",), role="hda-restricted")
    both = held(DT, rules=(METADATA, second))
    assert sight_of(principal("a", roles=("DPAD_Direct_Access",)), held=[both]).degree("dt", DT["id"]) == "none"
    assert sight_of(principal("a", roles=("hda-restricted",)), held=[both]).degree("dt", DT["id"]) == "metadata"
    roles = ("hda-restricted", "DPAD_Direct_Access")
    assert sight_of(principal("a", roles=roles), held=[both]).degree("dt", DT["id"]) == "full"


@pytest.mark.parametrize(
    ("scope", "open_roles", "degree"),
    [
        ({"search": "hda-public-data-access"}, (), "none"),
        ({"search": "hda-public-data-access"}, ("hda-public-data-access",), "full"),
        ({"download": "hda-restricted"}, (), "metadata"),
        ({"search": 7, "download": None}, (), "full"),
        ("nonsense", (), "full"),
    ],
)
def test_a_collection_asks_for_roles_by_its_own_scope_where_it_is_believed(scope, open_roles, degree):
    site = held(DT | {"scope": scope}, believes=True)
    assert sight_of(None, held=[site], open_roles=frozenset(open_roles)).degree("dt", DT["id"]) == degree
    assert sight_of(None, held=[msgspec.structs.replace(site, believes=False)]).degree("dt", DT["id"]) == "full"


def test_a_collection_that_appears_after_the_sight_was_made_is_not_seen_by_it():
    sight = sight_of(None, held=[held(OTHER, rules=(CLIMATE,))])
    assert not sight.sees("dt", "EO.NEW")
    assert sight.seen("dt", frozenset({"EO.NEW", OTHER["id"]})) == {OTHER["id"]}


def test_of_a_site_whose_collections_are_not_known_only_those_see_something_who_lack_no_role():
    unknown = HeldCollections(site="dt", rules=(CLIMATE,), believes=False, collections=None)
    assert sight_of(None, held=[unknown]).blind == {"dt"}
    assert sight_of(principal("a", roles=("DPAD_Direct_Access",)), held=[unknown]) == EVERYTHING_OF_A_NAMED_USER


EVERYTHING_OF_A_NAMED_USER = msgspec.structs.replace(EVERYTHING, public=False)


def test_who_comes_for_the_data_does_not_see_what_gives_none():
    sight = sight_of(None, held=[held(DT, OTHER, rules=(METADATA,))]).with_data()
    assert not sight.sees("dt", DT["id"])
    assert sight.sees("dt", OTHER["id"])


def test_the_check_for_downloads_names_the_role():
    catalogue = MemoryCatalogue()
    site = Site(settings("dt", access=(METADATA,)), catalogue)
    site.collections = (DT, OTHER)
    access = Access(registry=Registry([site], probe_seconds=1e6))
    assert access.visible(None, "dt", DT["id"]) == "metadata"
    with pytest.raises(DataRefused, match="DPAD_Direct_Access"):
        access.check_data(None, "dt", DT["id"])
    assert access.check_data(principal("a", roles=("DPAD_Direct_Access",)), "dt", DT["id"])
    assert not access.check_data(None, "dt", "EO.NEW")


def test_sights_are_kept_until_something_changes():
    book = Book("own", Owned(id="x", owner="ada"))
    access = Access(registry=Registry([], probe_seconds=1e6), book=book)
    ada = principal("ada")
    first = access.sight(ada)
    assert access.sight(ada) is first
    assert access.visible(principal("bob"), "own", "x") == "none"
    book.collections.append(Owned(id="y", owner="ada"))
    book.changes += 1
    assert access.visible(ada, "own", "y") == "full"


def settings(name: str, **more: Any) -> SiteSettings:
    return SiteSettings(id=name, kind="hub", catalogue=CatalogueSettings(url="http://x.example", max_page=7), **more)


def item(collection: str, number: int, day: int) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i{number}", "collection": collection, "geometry": None,
        "properties": {"datetime": f"2024-01-{day:02}T00:00:00Z"}, "links": [],
        "assets": {"data": {"href": f"s3://secret/{number}", "alternate": {"x": {"href": "s3://secret/2"}}}},
    }  # fmt: skip


async def test_a_shared_collection_whose_id_a_site_comes_to_use_is_left_to_its_owner():
    site = Site(settings("hub"), MemoryCatalogue())
    site.collections = ({"id": "other"},)
    access = Access(
        registry=Registry([site], probe_seconds=1e6), book=Book("own", Owned(id="x", owner="ada", public=True))
    )
    assert access.visible(None, "own", "x") == "full"
    site.collections = ({"id": "other"}, {"id": "x"})
    assert access.visible(None, "own", "x") == access.visible(principal("bob"), "own", "x") == "none"
    assert access.visible(principal("ada"), "own", "x") == access.visible(None, "hub", "x") == "full"
    site.collections = ({"id": "other"},)
    assert access.visible(None, "own", "x") == "full"


NAMES = ("a", "b", "dt1", "dt2")
ITEMS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.integers(1, 5)), max_size=20)
OWNERS = st.dictionaries(
    st.sampled_from(["p1", "p2", "p3"]),
    st.tuples(st.sampled_from(["ada", "bob"]), st.sampled_from([(), ("root/eo",)]), st.booleans()),
)
VIEWERS = st.sampled_from([None, principal("ada"), principal("bob", "root/eo"), principal("eve", roles=("role",))])


async def world(guarded: Any, open_: Any, owned: Any, without: Any) -> tuple[Federation, set[tuple[str, str, str]]]:
    """Return a federation of a guarded site, an open one and one of users' collections, and all that they hold."""
    rule = AccessRule(collections=("dt*",), role="role", without=without)
    sites, held_items = [], set()
    book = Book("own", *(Owned(id=n, owner=o, groups=g, public=p) for n, (o, g, p) in owned.items()))
    contents = {
        "guarded": guarded,
        "open": open_,
        "own": [(name, number, 1 + number) for name in ("p1", "p2", "p3") for number in range(2)],
    }
    for name, items in contents.items():
        catalogue = MemoryCatalogue()
        for each in {one[0] for one in items} | ({"a"} if name != "own" else set()):
            await catalogue.put_collection({"id": each})
        for collection, number, day in items:
            await catalogue.put_items(collection, [item(collection, number, day)])
            held_items.add((name, collection, f"i{number}"))
        sites.append(Site(settings(name, access=(rule,) if name == "guarded" else ()), catalogue))
    registry = Registry(sites, probe_seconds=1e6)
    await registry.probe()
    access = Access(registry=registry, book=book, address=lambda *names: "http://gate/data/" + "/".join(names))
    cursors = Cursors(key=b"k" * 32, lifetime_seconds=60)
    return Federation(registry=registry, cursors=cursors, deadline_seconds=5.0, access=access), held_items


def may_see(who: Principal | None, owned: Any, without: str, site: str, collection: str) -> bool:
    """Say by the words of the rules, and by nothing else, whether somebody sees a collection."""
    if site == "guarded":
        return not collection.startswith("dt") or without == "metadata" or (who is not None and "role" in who.roles)
    if site == "open":
        return True
    if collection not in owned:
        return False
    owner, groups, public = owned[collection]
    return public or (who is not None and (who.user == owner or not set(groups).isdisjoint(who.groups)))


@examples(60)
@given(guarded=ITEMS, open_=ITEMS, owned=OWNERS, who=VIEWERS, without=st.sampled_from(["nothing", "metadata"]))
async def test_a_walk_gives_exactly_what_is_seen(guarded, open_, owned, who, without):
    federation, everything = await world(guarded, open_, owned, without)
    seen = {
        (site, collection, name)
        for site, collection, name in everything
        if may_see(who, owned, without, site, collection)
    }
    found, matched, token = set(), [], None
    sight = federation.sight(who)
    while True:
        query = Query(limit=4, dedup="none")
        page = await federation.search(query, user="u", token=token, sight=sight, strict=True)
        matched.append(page.at_least)
        for group in page.groups:
            for row in group:
                found.add((row.site, msgspec.json.decode(row.item["collection"]), msgspec.json.decode(row.item["id"])))
                if (
                    row.site == "guarded"
                    and b"dt" in bytes(row.item["collection"])
                    and "role" not in (who.roles if who else ())
                ):
                    assert b"s3://secret" not in msgspec.json.encode(row.item)
        token = page.next
        if token is None:
            break
    covered = {("guarded", collection, name) for site, collection, name in found if site == "open"}
    assert found - covered == seen - covered  # a copy without its data is not told beside one that has it
    assert matched[0] <= len(seen)
    for site, collection, name in everything:
        group = await federation.item(collection, name, sites=(site,), sight=sight)
        assert bool(group) is ((site, collection, name) in seen)


async def test_forgetting_the_sight_shows_what_everybody_sees():
    federation, _ = await world([("dt1", 1, 1)], [], {"p1": ("ada", (), False)}, "nothing")
    page = await federation.search(Query(), user="ada")
    assert page.groups == []
    assert "own" not in {report.site for report in page.reports}
    assert len((await federation.search(Query(), user="ada", sight=federation.sight(principal("ada")))).groups) == 2


async def test_a_cursor_of_one_shows_another_nothing():
    federation, _ = await world([], [], {"p1": ("ada", (), False)}, "nothing")
    page = await federation.search(Query(limit=1), user="x", sight=federation.sight(principal("ada")))
    assert page.next is not None
    stolen = await federation.search(
        Query(limit=1), user="x", token=page.next, sight=federation.sight(principal("bob"))
    )
    assert stolen.groups == []


async def test_items_without_their_data_keep_what_they_tell_and_lose_every_address():
    federation, _ = await world([("dt1", 1, 1)], [], {}, "metadata")
    (group,) = (await federation.search(Query(), user="x")).groups
    told = msgspec.json.decode(msgspec.json.encode(group[0].item))
    assert told["assets"] == {"data": {"href": "http://gate/data/guarded/dt1/i1/data"}}
    assert told["properties"]["federation:access"] == {"granted": "metadata", "role": "role"}


async def test_a_copy_whose_data_may_be_had_stands_for_one_whose_data_may_not():
    federation, _ = await world([("dt1", 1, 1)], [("dt1", 1, 1)], {}, "metadata")
    (group,) = (await federation.search(Query(), user="x")).groups
    assert [row.site for row in group] == ["open"]
    assert [row.site for row in await federation.item("dt1", "i1")] == ["open"]


async def test_a_site_of_which_nothing_can_be_judged_is_told_as_missing():
    federation, _ = await world([("dt1", 1, 1)], [], {}, "nothing")
    guarded = federation.access._registry.get("guarded")
    assert guarded is not None
    guarded.collections = None
    with pytest.raises(AllSitesFailed, match="not known yet"):
        await federation.search(Query(sites=("guarded",)), user="x", strict=True)
