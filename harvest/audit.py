"""Audits: bucket, catalogue and database compared, and brought together again. A job with a report."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from edges.errors import EdgeError, InvalidInput, NotFound
from edges.model import Json, ObjectInfo, Query
from edges.seams import WritableCatalogue
from harvest import multihash
from harvest.audit_model import MAX_TOLD, Audit, Finding, Kind, Known, Report
from harvest.database import Connection, Database, Journal, Row
from harvest.digest import Digest
from harvest.errors import AuditNotFound
from harvest.known_items import as_json
from harvest.publishing import VERSION
from harvest.replica import undangled
from harvest.seams import Place

logger = logging.getLogger(__name__)

PAGE = 500
CLAIM_SECONDS = 300.0
TOLD_AUDITS = 50


@dataclass(kw_only=True)
class _Findings:
    """What an audit has met so far."""

    counts: dict[str, int] = field(default_factory=dict)
    told: list[Finding] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    listed: int = 0
    items: int = 0

    def add(self, kind: Kind, key: str, detail: str = "", repaired: str = "") -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.told) < MAX_TOLD:
            self.told.append(Finding(kind=kind, key=key, detail=detail, repaired=repaired))

    def report(self, problem: str = "") -> Report:
        return Report(
            objects=self.objects,
            bytes=self.bytes,
            listed=self.listed,
            items=self.items,
            counts=self.counts,
            findings=tuple(self.told),
            problem=problem,
        )


class Audits:
    """Starts audits, tells of them, and carries them out one at a time; ``changed`` is called when there is work."""

    def __init__(self, *, journal: Journal, places: Mapping[str, Place], changed: Callable[[], None]) -> None:
        self._database = journal.database
        self._clock = journal.clock
        self._places = places
        self._changed = changed

    async def start(self, target: str, user: str, *, repair: bool = False, deep: bool = False) -> Audit:
        """Ask for an audit; ``deep`` reads every byte, ``repair`` mends what it can.

        Raises:
            InvalidInput: the target takes no copies.
        """
        place = self._places.get(target)
        if place is None or not place.takes_copies:
            raise InvalidInput("target", f"{target!r} takes no copies", "an edge that does")
        values = {"target": target, "user": user, "repair": int(repair), "deep": int(deep)}
        audit_id, now = uuid.uuid4().hex, self._clock()
        await self._database.run(lambda c: c.change("audit_insert", id=audit_id, now=now, **values))
        self._changed()
        return await self.audit(audit_id)

    async def audit(self, audit_id: str) -> Audit:
        """Return an audit as it stands; raise AuditNotFound where there is none."""
        row = await self._database.run(lambda c: c.one("audit_by_id", id=audit_id))
        if row is None:
            raise AuditNotFound(f"no audit {audit_id!r}")
        return _audit(row)

    async def latest(self) -> list[Audit]:
        """Return the latest audits."""
        return [_audit(row) for row in await self._database.run(lambda c: c.all("audits_latest", limit=TOLD_AUDITS))]

    async def turn(self) -> bool:
        """Carry the next audit out; tell whether there was one. One whose process died is begun anew."""
        now = self._clock()
        row = await self._database.run(lambda c: c.one("audit_due", now=now))
        until = now + CLAIM_SECONDS
        if row is None or not await self._database.run(
            lambda c: c.change("audit_claim", id=row["id"], now=now, until=until)
        ):
            return False
        findings, state, problem = _Findings(), "done", ""
        run = _Run(audit=_audit(row), place=self._places[row["target"]], database=self._database, clock=self._clock)
        try:
            await run.whole(findings)
        except EdgeError as error:
            state, problem = "failed", str(error)
        report = msgspec.json.encode(findings.report(problem)).decode()
        ended = self._clock()
        await self._database.run(lambda c: c.change("audit_ended", id=row["id"], state=state, now=ended, report=report))
        logger.info("audit ended", extra={"edge": row["target"], "state": state, "findings": findings.counts})
        self._changed()
        return True


class _Run:
    """One audit being carried out."""

    def __init__(self, *, audit: Audit, place: Place, database: Database, clock: Callable[[], float]) -> None:
        self._audit = audit
        self._place = place
        self._database = database
        self._clock = clock

    async def whole(self, findings: _Findings) -> None:
        await self._objects(findings)
        await self._uploads(findings)
        if self._place.catalogue is not None:
            await self._items(self._place.catalogue, findings)

    # -- bucket against database ---------------------------------------------------------------------------

    async def _objects(self, findings: _Findings) -> None:
        """Walk along bucket and database together, both by key."""
        known = self._known()
        here = await anext(known, None)
        async for info in self._place.store.list_objects():
            findings.listed += 1
            while here is not None and here.key < info.key:
                await self._lost(here, findings)
                here = await anext(known, None)
            if here is not None and here.key == info.key:
                await self._held(here, info, findings)
                here = await anext(known, None)
            else:
                await self._unknown(info, findings)
        while here is not None:
            await self._lost(here, findings)
            here = await anext(known, None)

    async def _known(self) -> AsyncIterator[Known]:
        after = ""
        while True:
            values = {"target": self._audit.target, "after": after, "limit": PAGE}
            rows = await self._database.run(lambda c, values=values: c.all("audited_objects", **values))  # type: ignore[misc] # a default binds the loop's value
            until = self._clock() + CLAIM_SECONDS
            await self._database.run(lambda c, until=until: c.change("audit_renew", id=self._audit.id, until=until))  # type: ignore[misc] # as above
            for row in rows:
                yield Known(id=row["id"], key=row["key"], size=row["size"], digest=row["digest"])
            if len(rows) < PAGE:
                return
            after = rows[-1]["key"]

    async def _lost(self, known: Known, findings: _Findings) -> None:
        findings.objects += 1
        if await self._place.store.head(known.key) is None:  # it may have come after that part was listed
            findings.add("lost", known.key, repaired=await self._again(known, "the object was lost"))

    async def _held(self, known: Known, info: ObjectInfo, findings: _Findings) -> None:
        findings.objects += 1
        findings.bytes += info.size
        detail = f"{info.size} bytes of {known.size}" if info.size != known.size else ""
        if not detail and self._audit.deep:
            detail = await self._read(known)
        if detail and await self._still(known):
            findings.add("corrupt", known.key, detail, await self._again(known, "the object was corrupt"))

    async def _read(self, known: Known) -> str:
        """Read a whole copy; return what is wrong with its bytes, or an empty text."""
        expected = multihash.parse(known.digest)
        if expected is None:
            return ""
        digest = Digest(expected)
        async for piece in self._place.store.get(known.key):
            await asyncio.to_thread(digest.update, piece)
        return "" if digest.matches() else f"the checksum is {digest.multihash()}"

    async def _still(self, known: Known) -> bool:
        """Tell whether a copy is still the one that was compared: it may have been replaced meanwhile."""
        values = {"target": self._audit.target, "key": known.key}
        row = await self._database.run(lambda c: c.one("audited_copy", **values))
        return row is not None and (row["state"], row["digest"]) == ("AVAILABLE", known.digest)

    async def _unknown(self, info: ObjectInfo, findings: _Findings) -> None:
        """Judge a key that is not written down as there: of a harvest, or the edge's own."""
        values = {"target": self._audit.target, "key": info.key}
        if await self._database.run(lambda c: c.one("audited_copy", **values)) is not None:
            return  # it is on its way in or out
        head = await self._place.store.head(info.key)
        if head is None or not (VERSION in head.metadata or info.key.startswith("~")):
            return
        if self._audit.repair:
            await self._place.store.delete(info.key)
        findings.add("dark", info.key, f"{info.size} bytes", "deleted" if self._audit.repair else "")

    async def _uploads(self, findings: _Findings) -> None:
        for key, upload_id in await self._place.store.list_uploads():
            values = {"target": self._audit.target, "key": key, "upload_id": upload_id}
            if await self._database.run(lambda c, values=values: c.one("audited_upload", **values)) is None:  # type: ignore[misc] # a default binds the loop's value
                if self._audit.repair:
                    await self._place.store.abort_upload(key, upload_id)
                findings.add("unfinished", key, repaired="aborted" if self._audit.repair else "")

    async def _again(self, known: Known, reason: str) -> str:
        """Let a copy be fetched again; return what was done about it."""
        if not self._audit.repair:
            return ""
        now, order_id = self._clock(), uuid.uuid4().hex

        def want(connection: Connection) -> bool:
            owner = connection.one("audit_owner", id=known.id)
            if owner is None or owner["order_id"] is None:
                return False
            connection.change("audit_order", id=order_id, like=owner["order_id"], now=now)
            wanted = connection.change("audit_lost", id=known.id, order_id=order_id, reason=reason)
            connection.change("object_link", order_id=order_id, object=known.id, estimate=0, reserved=0)
            connection.change("item_link_of_object", order_id=order_id, object=known.id)
            return bool(wanted)

        return "fetched again" if await self._database.run(want) else ""

    # -- catalogue against database ------------------------------------------------------------------------

    async def _items(self, catalogue: WritableCatalogue, findings: _Findings) -> None:
        after = 0
        while True:
            values = {"target": self._audit.target, "after": after, "limit": PAGE}
            rows = await self._database.run(lambda c, values=values: c.all("audited_items", **values))  # type: ignore[misc] # a default binds the loop's value
            by_collection: dict[str, list[Row]] = {}
            for row in rows:
                by_collection.setdefault(row["collection"], []).append(row)
            for collection, each in by_collection.items():
                await self._compare(catalogue, collection, each, findings)
            if len(rows) < PAGE:
                return
            after = rows[-1]["id"]

    async def _compare(
        self, catalogue: WritableCatalogue, collection: str, rows: Sequence[Row], findings: _Findings
    ) -> None:
        told = await _told(catalogue, collection, [row["item_id"] for row in rows])
        for row in rows:
            findings.items += 1
            copies = await self._database.run(lambda c, row=row: c.all("audited_copies", id=row["id"]))  # type: ignore[misc] # a default binds the loop's value
            known = {f"s3://{self._place.bucket}/{copy['key']}": copy["state"] for copy in copies}
            ours = {href for href, state in known.items() if state == "AVAILABLE"}
            item = told.get(row["item_id"])
            hrefs = _copies_in(item, self._place)
            for href in sorted(ours - hrefs):
                if self._audit.repair:
                    await self._database.run(lambda c, row=row: c.change("item_dirty", id=row["id"]))  # type: ignore[misc] # as above
                findings.add("untold", href, row["item_id"], "registered again" if self._audit.repair else "")
            dangling = sorted(hrefs - known.keys())
            if dangling and item is not None and self._audit.repair:
                await catalogue.put_items(collection, [undangled(item, frozenset(dangling), self._place.site)])
            for href in dangling:
                findings.add("dangling", href, row["item_id"], "taken out" if self._audit.repair else "")


def _copies_in(item: Json | None, place: Place) -> set[str]:
    """Return the addresses of copies that an item tells of."""
    assets = (item or {}).get("assets") or {}
    return {
        str(asset.get("href"))
        for asset in assets.values()
        if isinstance(asset, dict)
        and place.site in (asset.get("storage:refs") or ())
        and place.key_of(str(asset.get("href", ""))) is not None
    }


async def _told(catalogue: WritableCatalogue, collection: str, ids: Sequence[str]) -> dict[str, Json]:
    query = Query(collections=(collection,), ids=tuple(ids), limit=len(ids))
    found: dict[str, Json] = {}
    position: str | None = None
    while True:
        try:
            page = await catalogue.search(query, limit=len(ids), after=position)
        except NotFound:
            return found
        found |= {str(item["id"]): item for item in map(as_json, page.items) if item is not None}
        position = page.next
        if position is None:
            return found


def _audit(row: Row) -> Audit:
    kept = {name: row[name] for name in Audit.__struct_fields__}
    report = msgspec.json.decode(kept["report"], type=Report)
    return Audit(**kept | {"report": report, "repair": bool(kept["repair"]), "deep": bool(kept["deep"])})
