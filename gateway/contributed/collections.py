"""Making, changing, sharing and removing users' collections: each in one turn under the collection's own lock."""

import time
from collections.abc import Callable

import msgspec

from edges.catalogues.removing import delete_collection
from edges.errors import Conflict, NotFound
from edges.model import Frozen, Json
from gateway.contributed.changes import check_match, replaced_members
from gateway.contributed.checks import collection_checked
from gateway.contributed.ground import Ground
from gateway.contributed.model import Collection, Forbidden, Sharing, check_owned, check_sharing, check_writable
from gateway.contributed.storage import StorageCharge
from gateway.principal import Principal
from gateway.settings import ContributedSettings


class Conditions(Frozen):
    """The preconditions of a change: ``If-Match`` and ``If-None-Match`` as they came."""

    match: str | None = None
    none_match: str | None = None


class CollectionWriting:
    """Writes collections; what a failure leaves half done is done by doing it again.

    A collection is in the book before it is in the catalogue, and goes out of the catalogue before it leaves the book:
    what is in the catalogue alone is seen by nobody.
    """

    def __init__(
        self,
        *,
        ground: Ground,
        storage: StorageCharge,
        settings: ContributedSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ground = ground
        self._storage = storage
        self._settings = settings
        self._clock = clock

    async def create(self, principal: Principal, body: Json) -> tuple[Collection, Json]:
        """Make a private collection; return its record and its document.

        Raises:
            InvalidInput: the document is no collection.
            Forbidden: the principal may make none, or has as many as they may.
            Conflict: its id is taken.
        """
        document = collection_checked(body)
        self._check_maker(principal)
        name = str(document["id"])
        self._ground.check_free(name)
        async with self._ground.book.locked(name) as known:
            if known is not None:
                raise Conflict(f"the id {name!r} is taken; choose another one")
            record = Collection(
                id=name, owner=principal.user, charge=principal.charging_group, created_at=self._clock()
            )
            await self._ground.book.put(record)
            try:
                await self._ground.catalogue.put_collection(document)
            except BaseException:  # also where the request is given up: a record tells of a collection that is there
                await self._ground.book.forget(name)
                raise
        await self._ground.told_anew()
        return record, document

    def _check_maker(self, principal: Principal) -> None:
        role = self._settings.role
        if role and role not in principal.roles and not principal.admin:
            raise Forbidden(f"making collections asks for the role {role!r}, which you have not")
        own = sum(record.owned(principal) for record in self._ground.book.shared())
        if own >= self._settings.per_user:
            raise Forbidden(f"{principal.user} has {own} collections, and may have {self._settings.per_user}")

    async def replace(
        self, principal: Principal, name: str, body: Json, conditions: Conditions
    ) -> tuple[Collection, Json]:
        """Give a collection other metadata; see :meth:`patch` for what it raises."""
        async with self._ground.book.locked(name) as known:
            record = self._changeable(known, name, principal, conditions)
            return await self._written(record, collection_checked(body, name))

    async def patch(
        self, principal: Principal, name: str, patch: Json, conditions: Conditions
    ) -> tuple[Collection, Json]:
        """Change a collection's metadata by a JSON Merge Patch (RFC 7396).

        Raises:
            InvalidInput: what comes of it is no collection, or has another id.
            NotFound, Forbidden: it is not seen, or not theirs to fill.
            PreconditionFailed: it has changed since it was read.
        """
        async with self._ground.book.locked(name) as known:
            record = self._changeable(known, name, principal, conditions)
            document = replaced_members(await self._document(name), patch, ("id", "type"))
            return await self._written(record, collection_checked(document, name))

    def _changeable(
        self, known: Collection | None, name: str, principal: Principal, conditions: Conditions
    ) -> Collection:
        record = self._ground.seen(known, name, principal)
        check_writable(record, principal)
        check_match(conditions.match, conditions.none_match, record.tag)
        return record

    async def _document(self, name: str) -> Json:
        for one in await self._ground.catalogue.collections():
            if one.get("id") == name:
                return one
        raise NotFound(f"no site tells of a collection {name!r}")

    async def _written(self, record: Collection, document: Json) -> tuple[Collection, Json]:
        await self._ground.catalogue.put_collection(document)
        changed = msgspec.structs.replace(record, revision=record.revision + 1)
        await self._ground.book.put(changed)
        await self._ground.told_anew()
        return changed, document

    async def remove(self, principal: Principal, name: str, conditions: Conditions) -> None:
        """Remove a collection with all its items, and give back what they cost.

        Raises:
            NotFound, Forbidden: it is not seen, or not theirs.
            PreconditionFailed: it has changed since it was read.
        """
        async with self._ground.book.locked(name) as known:
            record = self._ground.seen(known, name, principal)
            check_owned(record, principal)
            check_match(conditions.match, conditions.none_match, record.tag)
            await delete_collection(self._ground.catalogue, name)
            await self._ground.book.forget(name)
            await self._storage.give_back(record.payer, record.bytes, why=f"collection {name} was removed")
        await self._ground.told_anew()

    async def share(self, principal: Principal, name: str, wanted: Sharing) -> Collection:
        """Share a collection with others, or no longer.

        Raises:
            NotFound, Forbidden: it is not seen, not theirs, or not to be shared so.
        """
        async with self._ground.book.locked(name) as known:
            record = self._ground.seen(known, name, principal)
            check_owned(record, principal)
            check_sharing(wanted, record.sharing, principal, self._settings.public_role)
            changed = msgspec.structs.replace(record, sharing=wanted)
            await self._ground.book.put(changed)
            return changed

    def sharing(self, principal: Principal, name: str) -> Collection:
        """Return the record of a collection that is seen.

        Raises:
            NotFound, Forbidden: it is not seen, or a site's.
        """
        return self._ground.seen(self._ground.book.get(name), name, principal)

    def fillable(self, principal: Principal, name: str) -> None:
        """Check that somebody may fill a collection, before they send what it is to be filled with.

        Raises:
            NotFound, Forbidden: they may not.
        """
        check_writable(self.sharing(principal, name), principal)

    def mine(self, principal: Principal) -> list[Collection]:
        """Return the collections that somebody owns or that are shared with their groups, by id."""
        found = [
            record
            for record in self._ground.book.shared()
            if record.owned(principal) or (record.readable(principal) and record.sharing.groups)
        ]
        return sorted(found, key=lambda record: record.id)
