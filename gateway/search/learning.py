"""What the answers to a search say of the sites themselves: what they claim and do not do, what they hold."""

from collections.abc import Mapping

import msgspec

from edges.quirks import KINDS, example_request
from edges.registry import Site
from gateway.search.plan import Call
from gateway.search.reading import RowReader
from gateway.search.stages import Disproved

_PARTS = frozenset({"collections", "ids", "datetime", "bbox", "intersects", "filter"})
_ALL_BUT = 2
"""A part of a query counts as ignored where one of so many items, or more, does not match it."""


class CollectionsLearnt(Disproved):
    """A site holds more collections than it was known to: the page is made again with them."""

    def __init__(self) -> None:
        super().__init__("a site has new collections")

    def correct(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: the registry has learnt them."""


def note_faults(site: Site, call: Call, reader: RowReader) -> None:
    """Note what a site was caught at, and rely no more on what it ignores."""
    query = call.segments[0]
    if call.narrowed:  # who is told of it later may not know of these collections
        query = msgspec.structs.replace(query, collections=None)
    if reader.overfull:
        site.caught("limit", count=reader.overfull, example=example_request(_url(site), query, limit=call.share))
    for name, count in reader.faults.items():
        if name not in KINDS or (name == "filter" and not call.filtered):
            continue  # nobody asked the site to see to it
        example = example_request(_url(site), query, limit=call.share)
        site.caught(name, count=count, example=example)
        if name in _PARTS and count * _ALL_BUT >= reader.seen:
            site.ignores(name)


def _url(site: Site) -> str:
    return site.settings.catalogue.url
