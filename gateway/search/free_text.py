"""What the collections' texts already decide of a free text search, site by site. Pure.

A site looks into the texts of its own collections; here a collection's text is that of all its copies. So a site is
asked for free text only where the difference does not matter, and for collections only where something can be found.
"""

from collections.abc import Iterable, Mapping

from edges.model import Frozen, Json, Query
from edges.stac.free_text import decided, parse_text, terms, texts_of_collections


class TextScope(Frozen):
    """What is left of free text at one site.

    ``collections`` are those whose items can match; ``whole``: all of theirs do; ``agreed``: the site's own texts and
    those of all copies decide the same.
    """

    collections: frozenset[str]
    whole: bool
    agreed: bool


def text_scope(
    text: tuple[str, ...], holds: Iterable[str], own: Mapping[str, str], about: Mapping[str, str]
) -> TextScope:
    """Return what free text comes down to at a site that ``holds`` these collections.

    ``own`` is the folded text of its collections by id, ``about`` that of all copies.
    """
    node = parse_text(text)
    wanted = [term.phrase for term in terms(node)]
    verdicts = {name: decided(node, about.get(name, "")) for name in holds}
    possible = frozenset(name for name, verdict in verdicts.items() if verdict is not False)
    return TextScope(
        collections=possible,
        whole=all(verdicts[name] is True for name in possible),
        agreed=all(
            (phrase in own.get(name, "")) is (phrase in about.get(name, "")) for name in possible for phrase in wanted
        ),
    )


Told = tuple[Json, ...] | None
"""What a site tells of its collections; None while nothing is known."""


class CollectionTexts:
    """The folded texts of all collections, at each site and of all copies; kept until a site tells anew."""

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._own: dict[str, Mapping[str, str]] = {}
        self._about: Mapping[str, str] = {}

    def learn(self, told: Mapping[str, Told]) -> None:
        """Take over what the sites tell now."""
        if self._told.keys() == told.keys() and all(self._told[site] is told[site] for site in told):
            return
        self._told = dict(told)
        self._own = {site: texts_of_collections(each or ()) for site, each in told.items()}
        self._about = texts_of_collections(one for each in told.values() for one in each or ())

    @property
    def about(self) -> Mapping[str, str]:
        """Return the text of all copies of each collection, by its id."""
        return self._about

    def scope(self, query: Query, site: str) -> TextScope | None:
        """Return what a query's free text comes down to at a site; None where its collections are not known."""
        if query.text is None or self._told.get(site) is None:
            return None
        own = self._own[site]
        holds = own if query.collections is None else [name for name in query.collections if name in own]
        return text_scope(query.text, holds, own, self._about)
