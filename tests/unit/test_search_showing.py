"""Which of an item's copies stands, as the sites are now."""

from copies_scene import ABLE, Counted, registry_of

from edges.registry import Registry
from gateway.search.merge import Row
from gateway.search.showing import Showing

ROWS = [Row(key=(), site=name, item={}) for name in ("first", "second")]


def registry() -> Registry:
    return registry_of({row.site: Counted(can=ABLE) for row in ROWS})


def test_a_copy_at_a_site_that_has_just_failed_stands_behind_one_that_is_well() -> None:
    sites = registry()
    showing = Showing(sites)
    assert min(ROWS, key=showing.prefer(None)).site == "first"
    sites.failed("first", "no answer")
    assert min(ROWS, key=showing.prefer(None)).site == "second"


def test_a_copy_near_the_user_stands_before_all_others() -> None:
    assert min(ROWS, key=Showing(registry()).prefer("second")).site == "second"
