"""What the faces of HDA that give items share: who pays, and what items are seen through."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.hda.collections import HdaCollections, Naming
from gateway.hda.items import View
from gateway.quota.charging import Charges
from gateway.search.render import preference


@dataclass(frozen=True, kw_only=True)
class HdaWorld:
    """What these faces have in common, whichever is asked.

    ``charging`` asks the ledger, ``collections`` are those of all sites, ``naming`` is how backends are called, and
    ``view`` is what items are seen through where nobody in particular looks.
    """

    charging: Charges
    collections: HdaCollections
    naming: Naming
    view: View


def view_of_everybody(
    base: str, root: str, *, naming: Naming, collections: HdaCollections, orders: Collection[str]
) -> View:
    """Return what items are seen through by everybody; ``orders`` are the sites that take orders."""
    nothing: Mapping[str, int] = {}

    def title(name: str) -> str:
        return collections.seen_by(None).title(name)

    return View(
        base=base,
        root=root,
        names=naming.names,
        titles=title,
        prefer=preference(nothing),
        orders=frozenset(orders),
    )
