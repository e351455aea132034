"""Catalogues that can remove a whole collection: a seam beside that of a writable catalogue, since few can."""

from typing import Protocol, runtime_checkable

from edges.errors import EdgeError
from edges.seams import Catalogue


class CannotRemove(EdgeError):
    """The catalogue keeps the collections that it has."""

    status = 501
    title = "A site cannot remove collections"


@runtime_checkable
class Removing(Protocol):
    """A catalogue that removes collections with all their items (Collection Transaction extension)."""

    async def delete_collection(self, collection: str) -> bool:
        """Remove a collection and its items; tell whether it was there. Idempotent."""
        ...


async def delete_collection(catalogue: Catalogue, collection: str) -> bool:
    """Let a catalogue remove a collection; tell whether it was there.

    Raises:
        CannotRemove: it cannot.
        SiteUnavailable, SiteMisbehaved: it failed.
    """
    if not isinstance(catalogue, Removing):
        raise CannotRemove("the catalogue does not remove collections")
    return await catalogue.delete_collection(collection)
