"""The items of a collection at one site, for who asks for all of them."""

import msgspec

from edges.model import MAX_LIMIT, Members, Query
from gateway.principal import Principal
from gateway.search.federation import Federation


class CollectionItems:
    """Implements :class:`gateway.data.direct_face.ItemsOf` by the federated search."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation

    async def __call__(self, principal: Principal, *, site: str, collection: str, limit: int) -> tuple[list[str], bool]:
        """Return the ids of at most ``limit`` items that the principal sees, and whether there are more.

        Raises:
            AllSitesFailed: the site does not answer.
        """
        query = Query(collections=(collection,), sites=(site,), dedup="none", limit=min(limit, MAX_LIMIT))
        sight = self._federation.sight(principal)
        page = await self._federation.search(query, user=principal.user, sight=sight)
        return [_id_of(group[0].item) for group in page.groups], page.next is not None


def _id_of(item: Members) -> str:
    return str(msgspec.json.decode(item["id"]))
