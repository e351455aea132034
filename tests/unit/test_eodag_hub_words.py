"""What a query asks of a provider, and what its products become."""

from typing import Any

import msgspec
import pytest

from edges.catalogues.eodag_hub_items import NOT_AVAILABLE, Product, collection_of, item_of
from edges.catalogues.eodag_hub_provider import EodagConfigError, check_provider, told
from edges.catalogues.eodag_hub_query import NOTHING, reach_of
from edges.model import Interval, Json, Query
from edges.settings import CatalogueSettings, EodagSettings
from gateway.config import ConfigError, parse_settings
from gateway.flaws import flaws

DAY = 24 * 3600 * 1_000_000


def at(sign: str, day: int) -> Json:
    return {"op": sign, "args": [{"property": "datetime"}, {"timestamp": f"1970-01-{day:02}T00:00:00Z"}]}


def test_the_narrowest_bounds_go_to_the_provider_with_some_slack() -> None:
    filter_ = {"op": "and", "args": [at("<=", 9), {"op": "and", "args": [at(">", 3), at("<", 8)]}]}
    reach = reach_of(Query(datetime=Interval(start=0, end=30 * DAY), filter=filter_))
    assert (reach.start, reach.end) == ("1970-01-02T23:59:59Z", "1970-01-08T00:00:01Z")


def test_what_may_be_wider_than_a_bound_is_no_bound() -> None:
    either = {"op": "or", "args": [at("<", 3), at(">", 9)]}
    others = {"op": "and", "args": [either, {"op": "<", "args": [{"property": "eo:cloud_cover"}, 3]}, at("<>", 3)]}
    reach = reach_of(Query(filter=others))
    assert (reach.start, reach.end, reach.geometry) == (None, None, None)


def test_an_empty_time_is_not_asked_for() -> None:
    assert reach_of(Query(filter={"op": "and", "args": [at("<", 3), at(">", 9)]})) is NOTHING
    assert reach_of(Query(filter={"op": "isNull", "args": [{"property": "datetime"}]})) is NOTHING


def test_a_box_across_the_antimeridian_has_two_parts() -> None:
    reach = reach_of(Query(bbox=(170.0, -1.0, -170.0, 1.0)))
    assert reach.geometry is not None
    assert reach.geometry.startswith("MULTIPOLYGON")


def product(assets: dict[str, Any] | None = None, **properties: Any) -> Json:
    made = item_of(Product(collection="C", properties={"id": "a"} | properties, assets=assets or {}, geometry=None))
    assert made is not None
    return dict(msgspec.json.decode(msgspec.json.encode(made)))


@pytest.mark.parametrize(
    ("status", "tier"),
    [("succeeded", "online"), ("orderable", "offline"), ("ordered", "staging"), ("shipping", "staging")],
)
def test_the_tier_follows_from_the_order(status: str, tier: str) -> None:
    assert product(**{"order:status": status})["properties"]["storage:tier"] == tier


def test_what_is_internal_or_not_available_is_left_out() -> None:
    one = product(
        assets={
            "kept": {"href": "https://a/b.tif", "eodag:x": 1, "title": NOT_AVAILABLE},
            "local": {"href": "/home/me/b.tif"},
            "open": {"href": "https://a/%(base)s"},
            "script": {"href": "javascript:alert(1)"},
        },
        title=NOT_AVAILABLE,
        start_datetime="2024-01-01T00:00:00Z",
        gone=None,
        **{"eodag:provider": "x", "_secret": "y", "order:status": NOT_AVAILABLE, "federation:backends": ["x"]},
    )
    assert one["properties"] == {"start_datetime": "2024-01-01T00:00:00Z", "datetime": "2024-01-01T00:00:00Z"}
    assert one["assets"] == {"kept": {"href": "https://a/b.tif"}}


def test_the_whole_product_and_its_picture_are_assets() -> None:
    one = product(**{"eodag:download_link": "https://a/all.zip", "eodag:quicklook": "https://a/b.png"})
    assert one["assets"]["downloadLink"]["href"] == "https://a/all.zip"
    assert one["assets"]["thumbnail"] == {"href": "https://a/b.png", "roles": ["thumbnail"]}


def test_values_that_json_has_no_words_for_become_text() -> None:
    one = product(tags={"a"}, nested={"x": NOT_AVAILABLE, "y": (1, 2)}, odd=1j)
    assert one["properties"]["tags"] == ["a"]
    assert one["properties"]["nested"] == {"y": [1, 2]}
    assert one["properties"]["odd"] == "1j"


def test_what_has_no_id_is_no_item() -> None:
    assert item_of(Product(collection="C", properties={}, assets={}, geometry=None)) is None


def test_a_collection_of_which_little_is_told_is_a_collection() -> None:
    made = collection_of({"id": "X", "platform": "S2A,S2B", "instruments": None})
    assert made["summaries"] == {"platform": ["S2A", "S2B"]}
    assert made["extent"]["temporal"] == {"interval": [[None, None]]}
    assert made["description"] == "X"


def test_messages_hold_no_query_and_no_password() -> None:
    message = told(ValueError("GET https://me:pass@host/path?token=secret failed\nmore"))
    assert message == "GET https://host/path failed"


@pytest.mark.parametrize(
    ("eodag", "said"),
    [
        (
            {"provider": "no_such", "collections": ["a"]},
            "$.sites[0].catalogue.eodag.provider: 'no_such' is none of EODAG's",
        ),
        (
            {"provider": "cop_dataspace", "config": "/nowhere.yml", "collections": ["a"]},
            "$.sites[0].catalogue.eodag.config: no file",
        ),
    ],
)
def test_the_check_names_the_path_of_what_is_wrong(eodag: Json, said: str) -> None:
    content = {"sites": [{"id": "a", "kind": "hub", "catalogue": {"eodag": eodag}}]}
    (line,) = flaws(parse_settings(content, {}, source="x"))
    assert line.startswith(said)


@pytest.mark.parametrize(
    "catalogue",
    [
        {},
        {"url": "http://a", "eodag": {"provider": "a", "collections": ["a"]}},
        {"eodag": {"provider": "a/b", "collections": ["a"]}},
        {"eodag": {"provider": "a", "collections": ["a"], "workers": 0}},
        {"eodag": {"provider": "a"}},
        {"eodag": {"provider": "a", "collections": []}},
        {"eodag": {"provider": "a", "collections": ["a"], "foo": 1}},
    ],
)
def test_what_cannot_be_is_refused_with_its_path(catalogue: Json) -> None:
    content = {"sites": [{"id": "a", "kind": "hub", "catalogue": catalogue}]}
    with pytest.raises(ConfigError, match=r"\$\.sites\[0\]\.catalogue"):
        parse_settings(content, {}, source="x")


def test_an_environment_that_would_change_the_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EodagSettings(provider="cop_dataspace", collections=("S2_MSI_L1C",))
    check_provider(settings)
    monkeypatch.setenv("EODAG__COP_DATASPACE__SEARCH__API_ENDPOINT", "http://elsewhere")
    with pytest.raises(EodagConfigError, match="EODAG__COP_DATASPACE__SEARCH__API_ENDPOINT"):
        check_provider(settings)


def test_a_wrong_profile_is_named_with_its_path() -> None:
    content = {"sites": [{"id": "a", "kind": "hub", "catalogue": {"url": "http://a", "profile": "nothing"}}]}
    (line,) = flaws(parse_settings(content, {}, source="x"))
    assert line.startswith("$.sites[0].catalogue.profile: no profile 'nothing'")


def test_a_catalogue_is_one_or_the_other() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        CatalogueSettings()


def test_a_credential_that_cannot_be_read_is_named_with_its_path() -> None:
    eodag = {
        "provider": "cop_dataspace",
        "collections": ["a"],
        "credentials": {"password": {"env": "NOT_SET_ANYWHERE"}},
    }
    content = {"sites": [{"id": "a", "kind": "hub", "catalogue": {"eodag": eodag}}]}
    (line,) = flaws(parse_settings(content, {}, source="x"))
    assert line.startswith("$.sites[0].catalogue.eodag.credentials.password: ")
