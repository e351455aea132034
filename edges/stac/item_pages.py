"""A page of items in its own bytes, found without reading all of it, and decoded item by item as far as it is used.

Where one item ends and the next begins is guessed by the text between them, which is cheap, and proved by decoding: a
stretch that starts where an item starts, and decodes as one whole object, is that item, whatever the guess was worth.
Where a guess fails, the page is decoded as a whole. Every item that is given out was decoded, so that no bytes of a
site get anywhere unless they are one complete JSON object.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import msgspec

from edges.errors import SiteMisbehaved
from edges.model import Bytes, Members

_ARRAY = re.compile(rb'"features"\s*:\s*\[\s*')
_HEAD = re.compile(rb'\{\s*"(?:type"\s*:\s*"Feature"|(?:[^"\\]|\\.){1,100}"\s*:)')
_BETWEEN = (b"},", b"}, ")
_FRAME = b'{"features":['
_WORTH = 32 * 1024
"""Bytes below which a page is decoded as a whole at once."""
_STRIDE = 7
"""Eighths of an item's length that are not looked at for the end of the next one: they are about as long."""

_NEAR = 4 * 1024
"""Bytes beyond twice an item's length within which the end of the next one is looked for first: in so short a stretch
the interpreter searches without tables that it would make anew for each item."""

Stretch = tuple[int, int]
"""Where an item starts in the content of its page, and where it ends."""

DecodeErrors = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PageLink(msgspec.Struct):
    """A link of a page, with what is needed to follow it."""

    rel: str = ""
    href: str = ""
    method: str = "GET"
    body: dict[str, Any] | None = None
    headers: dict[str, Any] | None = None
    merge: bool = False


class Frame(msgspec.Struct):
    """What stands around the items of a page."""

    features: list[Members]
    links: list[PageLink] = []
    numberMatched: int | None = None  # noqa: N815 - the name on the wire
    context: dict[str, Any] | None = None


_DECODE_FRAME = msgspec.json.Decoder(Frame).decode
_DECODE_ITEM = msgspec.json.Decoder(Members).decode


class ItemPage(Sequence[Members]):
    """The items of one page, each decoded where it is asked for.

    Raises, at any access:
        SiteMisbehaved: an item is not a JSON object.
    """

    __slots__ = ("_content", "_exact", "_head", "_last", "_site", "_stretches", "_view", "_whole")

    def __init__(self, *, site: str, content: Bytes, head: bytes, stretches: list[Stretch], last: Members) -> None:
        self._site = site
        self._content = content
        self._view = memoryview(content)
        self._head = head
        self._stretches = stretches
        self._exact = False
        self._last = last
        self._whole: list[Members] | None = None

    def __len__(self) -> int:
        return len(self._stretches) + 1 if self._whole is None else len(self._whole)

    def __iter__(self) -> Iterator[Members]:
        if self._whole is not None:  # somebody who reads the same page has found that its items cannot be guessed
            yield from self._whole
            return
        view, place = self._view, 0
        while place < len(self._stretches):
            start, end = self._stretches[place]
            try:
                item = _DECODE_ITEM(view[start:end])
            except DecodeErrors:
                if self._looked_closely(place):
                    continue
                yield from self._decoded()[place:]  # the items before this one were found rightly
                return
            yield item
            place += 1
        yield self._last

    def _looked_closely(self, place: int) -> bool:
        """Find anew where items end, from one that was not found rightly, leaving out nothing; but once only."""
        if self._exact:
            return False
        self._exact = True
        found = _stretches(self._content, self._stretches[place][0], self._head, stride=0)
        if len(found) > 1:  # else what was guessed stays for those who read this page, too, and fail here as well
            self._stretches[place:] = found[:-1]
        return len(found) > 1

    @overload
    def __getitem__(self, index: int) -> Members: ...
    @overload
    def __getitem__(self, index: slice) -> list[Members]: ...
    def __getitem__(self, index: int | slice) -> Members | list[Members]:
        """Return items as of a list: whole pages are decoded for it."""
        return self._decoded()[index]

    def _decoded(self) -> list[Members]:
        if self._whole is None:
            self._whole = _frame(self._site, self._content).features
        return self._whole


class ChangedItems(Sequence[Members]):
    """Items as something changes them, each where it is read. ``change`` must not change its argument in place."""

    __slots__ = ("_change", "_items")

    def __init__(self, items: Sequence[Members], change: Callable[[Members], Members]) -> None:
        self._items = items
        self._change = change

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Members]:
        return map(self._change, self._items)

    @overload
    def __getitem__(self, index: int) -> Members: ...
    @overload
    def __getitem__(self, index: slice) -> list[Members]: ...
    def __getitem__(self, index: int | slice) -> Members | list[Members]:
        if isinstance(index, slice):
            return [self._change(item) for item in self._items[index]]
        return self._change(self._items[index])


def read_page(site: str, content: Bytes) -> tuple[Sequence[Members], Frame]:
    """Return the items of an ItemCollection, which stay bytes, and what stands around them.

    Raises:
        SiteMisbehaved: it is not an ItemCollection.
    """
    if len(content) >= _WORTH:
        found = _found(site, content)
        if found is not None:
            return found
    frame = _frame(site, content)
    return frame.features, frame


def _frame(site: str, content: Bytes) -> Frame:
    try:
        return _DECODE_FRAME(content)
    except DecodeErrors as error:
        raise SiteMisbehaved(site, f"answer is not what STAC says: {error}") from error


def _found(site: str, content: Bytes) -> tuple[ItemPage, Frame] | None:
    """Return a page whose items are yet to be decoded; None where its shape is not a usual one."""
    array = _ARRAY.search(content)
    head = None if array is None else _HEAD.match(content, array.end())
    if array is None or head is None:
        return None
    stretches = _stretches(content, array.end(), head.group())
    if not stretches:
        return None
    try:
        before = _DECODE_FRAME(content[: array.end()] + b"]}")
        after = _DECODE_FRAME(_FRAME + content[stretches[-1][0] :])
    except DecodeErrors:
        return None
    if before.features or len(after.features) != 1:
        return None
    page = ItemPage(site=site, content=content, head=head.group(), stretches=stretches[:-1], last=after.features[0])
    return page, _joined(before, after)


def _joined(before: Frame, after: Frame) -> Frame:
    """Return what stood before the items and after them as one."""
    return Frame(
        features=[],
        links=after.links or before.links,
        numberMatched=before.numberMatched if after.numberMatched is None else after.numberMatched,
        context=before.context if after.context is None else after.context,
    )


def _stretches(content: Bytes, first: int, head: bytes, stride: int = _STRIDE) -> list[Stretch]:
    """Return where items seem to start and end, the last one at the end of all; nothing where there is but one."""
    find = content.find
    following = find(head, first + len(head))
    between = next((text for text in _BETWEEN if content.endswith(text, first, max(first, following))), None)
    if between is None:
        return []
    needle, width = between + head, len(between)
    found, start = [], first
    while following >= 0:
        found.append((start, following - width + 1))
        size, start = following - start, following
        place = find(needle, start + size * stride // 8, start + size * 2 + _NEAR)
        if place < 0:
            place = find(needle, start + size * stride // 8)
        following = place + width if place >= 0 else -1
    return [*found, (start, len(content))]
