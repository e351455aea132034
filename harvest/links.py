"""Signed links to copies that nothing else leads to."""

import msgspec

from harvest.model import ObjectResult, Results
from harvest.seams import Place

LINK_SECONDS = 600
"""How long a signed link can be used; asking for the results again gives new ones."""


def linked(results: Results, place: Place) -> Results:
    """Return results with a signed link to each copy."""

    def with_link(each: ObjectResult) -> ObjectResult:
        key = None if each.href is None else place.key_of(each.href)
        if key is None:
            return each
        return msgspec.structs.replace(each, link=place.store.presign_get(key, expires=LINK_SECONDS))

    return msgspec.structs.replace(results, objects=tuple(map(with_link, results.objects)))
