"""A gateway that was installed without the extra for GeoParquet says so, before it reads a single item."""

import pytest

from edges import geoparquet
from edges.geoparquet import NotInstalled
from gateway.stac.export import kind_of


@pytest.fixture
def without_parquet(monkeypatch):
    monkeypatch.setattr(geoparquet, "find_spec", lambda _: None)


@pytest.mark.parametrize(("told", "accept"), [("geoparquet", ""), (None, "application/vnd.apache.parquet")])
def test_a_format_that_is_not_installed_is_refused_by_name(without_parquet, told, accept):
    with pytest.raises(NotInstalled, match="format=ndjson is always there"):
        kind_of(told, accept)


def test_lines_need_nothing(without_parquet):
    assert kind_of(None, "") == "ndjson"
