"""What sources and targets are reached by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edges.downloads.ways import Way
from edges.lines.lines import Lines
from harvest.files import Folder
from harvest.model import Source
from harvest.places import is_external
from harvest.politeness import Manners
from harvest.seams import Authorize, Place, unauthorized
from harvest.zip_address import container_of


@dataclass(frozen=True, kw_only=True)
class Means:
    """The ways out; see :class:`harvest.seams.World`.

    ``check`` raises :class:`edges.errors.DestinationRefused` for an address that must not be called. ``ways`` are how
    sites are asked that want credentials, by name; ``folders`` those that sites name by ``file:``.
    """

    lines: Lines
    check: Callable[[str], None]
    places: Mapping[str, Place]
    authorize: Authorize = unauthorized
    manners: Manners | None = None
    ways: Mapping[str, Way] = field(default_factory=dict)
    folders: Mapping[str, Folder] = field(default_factory=dict)

    def way_of(self, source: Source) -> Way | None:
        """Return how a source is asked that wants credentials; None where it wants none.

        Only addresses that a site tells of itself are asked with its credentials: no other catalogue may choose what
        they open.
        """
        way = self.ways.get(source.site) if source.own else None
        return way if way is not None and way.takes(source.href) else None


def is_near_only(source: Source, ways: Mapping[str, Way]) -> bool:
    """Tell whether a source can be read by the gateway's own processes alone: files, and what wants credentials.

    An S3 bucket's keys are told to far workers, as long as their run lasts.
    """
    href = container_of(source.href)
    return href.startswith("file:") or is_external(source.site) or (source.own and source.site in ways)
