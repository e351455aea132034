"""Catalogues that count for themselves: a seam beside that of a catalogue, since few can, and fewer exactly."""

from typing import Protocol, runtime_checkable

from edges.errors import EdgeError
from edges.model import Query
from edges.seams import Catalogue
from edges.stac.aggregation import Tally, Wanted


class CannotAggregate(EdgeError):
    """The catalogue cannot count this exactly; its items can be counted instead."""

    status = 502
    title = "A site cannot aggregate"


@runtime_checkable
class Aggregating(Protocol):
    """A catalogue that counts its matches itself.

    Guarantees: the counts are exact, over all matches of the query, as ``edges.stac.aggregation_count`` counts them.
    """

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Count the matches of a query.

        Raises:
            CannotAggregate: it cannot do so exactly.
        """
        ...


async def aggregate(catalogue: Catalogue, query: Query, wanted: Wanted) -> Tally:
    """Let a catalogue count, if it can.

    Raises:
        CannotAggregate: it cannot.
        SiteUnavailable, SiteMisbehaved: it failed.
    """
    if not isinstance(catalogue, Aggregating):
        raise CannotAggregate("the catalogue has no aggregation")
    return await catalogue.aggregate(query, wanted)
