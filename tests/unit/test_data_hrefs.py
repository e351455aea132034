"""Addresses of downloads name what they were made of, whatever it is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples
from yarl import URL

from edges.errors import NotFound
from gateway.data.hrefs import DataPlace, data_path, data_place, download_href

_PARTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@examples(100, slow=True)
@given(site=_PARTS, collection=_PARTS, item=_PARTS, asset=_PARTS)
def test_any_parts_come_back_as_they_were(site: str, collection: str, item: str, asset: str) -> None:
    path = data_path(site=site, collection=collection, item=item, asset=asset)
    assert data_place(path) == DataPlace(site=site, collection=collection, item=item, asset=asset)


@pytest.mark.parametrize(
    "part", ["a/b", "../../etc", "..", ".", "~", "~.", "", "Zürich 山", "100%", "%2e", "a?b#c", "a;b"]
)
def test_what_clients_do_to_addresses_does_not_change_what_they_name(part: str) -> None:
    href = download_href("https://gate.example/", site="hub", collection="s2", item=part, asset=part)
    url = URL(href)  # normalises steps up and encoding, as browsers do
    assert data_place(url.raw_path) == DataPlace(site="hub", collection="s2", item=part, asset=part)
    assert str(url).startswith("https://gate.example/data/hub/s2/")


def test_a_path_may_stand_below_the_gateways_own() -> None:
    href = download_href("https://gate.example/lake", site="hub", collection="s2", item="x", asset="B01.tif")
    assert href == "https://gate.example/lake/data/hub/s2/x/B01.tif"


@pytest.mark.parametrize(
    "path", ["/data/hub/s2/x", "/data/hub/s2/x/y/z", "/data/hub//x/y", "/elsewhere/hub/s2/x/y", "/data/hub/s2/x/%ff"]
)
def test_other_paths_are_no_downloads(path: str) -> None:
    with pytest.raises(NotFound):
        data_place(path)
