"""What catalogues tell of themselves beyond what every one can: seams beside that of a catalogue, since few can."""

from typing import Protocol, runtime_checkable

from edges.model import Json, Query
from edges.seams import Catalogue


@runtime_checkable
class Described(Protocol):
    """A catalogue that tells which properties its items can be asked for."""

    async def queryables(self) -> Json:
        """Return a schema with ``title`` and ``type`` by property; bounded, empty where the site tells none."""
        ...


@runtime_checkable
class Translating(Protocol):
    """A catalogue that is asked in other words than ours."""

    def said(self, query: Query) -> tuple[Query, bool]:
        """Return what it asks its site for, and whether that matches what the query matches and no more."""
        ...


async def queryables_of(catalogue: Catalogue) -> Json:
    """Let a catalogue tell what can be asked for, if it can.

    Raises:
        SiteUnavailable, SiteMisbehaved: it failed.
    """
    return await catalogue.queryables() if isinstance(catalogue, Described) else {}
