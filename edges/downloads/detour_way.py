"""Addresses that a site's items name, but where it cannot be dialled: they are asked elsewhere, as through a tunnel."""

from collections.abc import Mapping, Sequence

from yarl import URL

from edges.downloads.ways import Call, Way
from edges.errors import NotFound


class DetourWay:
    """Implements :class:`edges.downloads.ways.Way` for some origins, by the ``ways`` that take where they lead to.

    ``detours`` are origins (scheme, host and port) by those that the items name.
    """

    def __init__(self, detours: Mapping[str, str], ways: Sequence[Way]) -> None:
        self._detours = {str(URL(told).origin()): URL(reached).origin() for told, reached in detours.items()}
        self._ways = ways

    def takes(self, href: str) -> bool:
        return self._way(self._reached(href)) is not None

    async def call(self, method: str, href: str) -> Call:
        reached = self._reached(href)
        way = self._way(reached)
        if way is None or reached is None:
            raise NotFound("the asset's address leads nowhere")
        return await way.call(method, reached)

    def _way(self, reached: str | None) -> Way | None:
        return None if reached is None else next((way for way in self._ways if way.takes(reached)), None)

    def _reached(self, href: str) -> str | None:
        """Return where an address is asked; None where there is no detour for it."""
        try:
            url = URL(href, encoded=href.isascii())
            told = str(url.origin())
        except ValueError:
            return None
        origin = self._detours.get(told)
        if origin is None:
            return None
        return f"{origin}{url.raw_path_qs}"
