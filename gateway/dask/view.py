"""How the clusters' side of the edges is, for placement. Implements :class:`gateway.placement.seam.ComputeView`."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from edges.errors import EdgeError
from edges.model import EdgeUser, Json
from edges.seams import DaskBackend
from gateway.dask.model import ClusterRoute
from gateway.dask.offers import Offers
from gateway.placement.seam import ComputeFacts, ComputeKind, Taken, added_up
from gateway.principal import Principal
from gateway.records import RecordTable

_log = logging.getLogger(__name__)

KEEP_SECONDS = 10.0
"""How long an edge's version, or its silence, is remembered."""
ANSWER_SECONDS = 3.0
"""An edge that does not tell its version within this is no choice for a new cluster."""
IMAGE_FIELDS = ("image", "cluster_image")
MAX_IMAGES = 200


class ClusterView:
    """Knows of each edge whether its Dask Gateway answers, its version and images, and what our clusters take."""

    def __init__(
        self, *, backends: Mapping[str, DaskBackend], offers: Offers, routes: RecordTable[ClusterRoute]
    ) -> None:
        self._backends = backends
        self._offers = offers
        self._routes = routes
        self._seen: dict[str, tuple[float, str, str]] = {}

    async def facts(self, principal: Principal, kind: ComputeKind) -> Mapping[str, ComputeFacts]:
        """Return what is known, by edge; nothing where kernels are asked for."""
        if kind == "kernel":
            return {}
        told = await asyncio.gather(*(self._alive(edge) for edge in self._backends))
        user = EdgeUser(name=principal.user, groups=principal.groups)
        offers = {} if principal.anonymous else await self._offers.of_all(user)
        return {
            edge: ComputeFacts(
                trouble=trouble,
                versions={"dask-gateway": version} if version else {},
                images=_images(offers.get(edge, [])),
                taken=self._taken(edge),
            )
            for edge, (version, trouble) in zip(self._backends, told, strict=True)
        }

    async def _alive(self, edge: str) -> tuple[str, str]:
        """Return an edge's version, and its trouble."""
        seen = self._seen.get(edge)
        if seen is not None and time.monotonic() - seen[0] < KEEP_SECONDS:
            return seen[1:]
        version = trouble = ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                version = await self._backends[edge].version()
        except (EdgeError, TimeoutError) as error:
            trouble = f"its Dask Gateway does not answer ({str(error) or 'too slow'})"
            _log.warning("a Dask Gateway does not answer", extra={"edge": edge, "reason": str(error)[:300]})
        # a silence is remembered for a short while only: the edge may be back
        kept = time.monotonic() - (KEEP_SECONDS * 0.8 if trouble else 0.0)
        self._seen[edge] = (kept, version[:64], trouble)
        return version[:64], trouble

    def _taken(self, edge: str) -> Taken:
        return added_up(route.takes for route in self._routes if route.edge == edge and route.holds)


def _images(fields: list[Json]) -> tuple[str, ...]:
    """Return the images that an edge lets users choose from."""
    for field in fields:
        spec: Any = field.get("spec")
        if field.get("field") in IMAGE_FIELDS and isinstance(spec, dict) and isinstance(spec.get("options"), list):
            return tuple(str(image)[:300] for image in spec["options"][:MAX_IMAGES])
    return ()
