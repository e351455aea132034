"""Many items at once: each line is an item; batches come whole or not at all, and every bad line is told.

A load that breaks off has written whole batches; sent again it replaces what is there by the same, and goes on.
"""

from collections.abc import AsyncIterator
from typing import ClassVar

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from edges.stac.limits import decode_object
from gateway.contributed.checks import item_checked
from gateway.contributed.items import ItemWriting
from gateway.principal import Principal

BATCH_ITEMS = 500
BATCH_BYTES = 8 << 20
"""How much is written at once."""
MAX_TOLD = 100
"""Bad lines that are told one by one; all are counted."""


class BadLine(Frozen):
    """A line that is no item of this collection, counted from 1, and what is wrong with it."""

    line: int
    detail: str


class Loaded(Frozen):
    """What a load did. ``replaced`` counts items that were there before, or came more than once."""

    lines: int = 0
    added: int = 0
    replaced: int = 0
    bad: int = 0
    told: tuple[BadLine, ...] = ()


class LoadStopped(Exception):
    """A load came to no end; ``members`` tell what was written before, and ``status`` is that of the reason."""

    title: ClassVar[str] = "The load stopped"

    def __init__(self, reason: Exception, done: "Loading") -> None:
        super().__init__(str(reason))
        self.status = int(getattr(reason, "status", 500))
        self.members = {"loaded": done.told_as_json()}


class LoadRefused(Exception):
    """Of an atomic load some lines are bad: nothing was written."""

    status: ClassVar[int] = 422
    title: ClassVar[str] = "Nothing was loaded"

    def __init__(self, done: "Loading") -> None:
        super().__init__(f"{done.bad} of {done.lines} lines are no items that can be kept; nothing was written")
        self.members = {"loaded": done.told_as_json()}


class Loading:
    """One load into one collection, by one principal."""

    def __init__(self, *, items: ItemWriting, principal: Principal, home: str, atomic: bool) -> None:
        self._items = items
        self._principal = principal
        self._home = home
        self._atomic = atomic
        self._batch: dict[str, Json] = {}
        self._size = 0
        self._told: list[BadLine] = []
        self.lines = self.bad = 0
        self._added = self._replaced = 0

    def report(self) -> Loaded:
        """Return what was done so far."""
        return Loaded(
            lines=self.lines, added=self._added, replaced=self._replaced, bad=self.bad, told=tuple(self._told)
        )

    def told_as_json(self) -> Json:
        """Return the report for a problem's members."""
        told = [{"line": each.line, "detail": each.detail} for each in self._told]
        return {
            "lines": self.lines, "added": self._added, "replaced": self._replaced, "bad": self.bad, "told": told,
        }  # fmt: skip

    async def run(self, lines: AsyncIterator[bytes]) -> Loaded:
        """Write all lines.

        Raises:
            LoadRefused: atomic, and some lines are bad.
            LoadStopped: a reason to stop came when something was written, or not all could be.
        """
        try:
            async for line in lines:
                await self._line(line)
            if not (self._atomic and self.bad):
                await self._write()
        except Exception as error:
            # the boundary of a load: whatever stops it, what was written until then is told; a defect stays one
            if not hasattr(error, "status"):
                raise
            raise LoadStopped(error, self) from error
        if self._atomic and self.bad:
            raise LoadRefused(self)
        return self.report()

    async def _line(self, line: bytes) -> None:
        self.lines += 1
        if line:
            self._take(line)
        if not self._atomic and (len(self._batch) >= BATCH_ITEMS or self._size >= BATCH_BYTES):
            await self._write()

    def _take(self, line: bytes) -> None:
        try:
            item = item_checked(decode_object("item", line), self._home)
        except InvalidInput as error:
            self.bad += 1
            if len(self._told) < MAX_TOLD:
                self._told.append(BadLine(line=self.lines, detail=str(error)))
            return
        name = str(item["id"])
        self._replaced += name in self._batch
        self._batch[name] = item
        self._size += len(line)

    async def _write(self) -> None:
        if not self._batch:
            return
        written = await self._items.load(self._principal, self._home, list(self._batch.values()))
        self._added += written.added
        self._replaced += written.replaced
        self._batch = {}
        self._size = 0
