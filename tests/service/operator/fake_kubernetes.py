"""A small Kubernetes API server in this process: versions, conflicts, finalizers, watches, and their faults on demand.

Not a second implementation of the real one (schemas, rights and defaults are the real one's): what it is for is to
fail in the ways that the real one cannot be told to.
"""

import asyncio
import uuid
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from aiohttp import web


def _merged(before, patch):
    if not isinstance(before, dict) or not isinstance(patch, dict):
        return patch
    merged = dict(before)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(before.get(name), value)
    return merged


def _answer(found, status=200):
    return web.Response(body=msgspec.json.encode(found), status=status, content_type="application/json")


def _line(event):
    return msgspec.json.encode(event) + b"\n"


class FakeKubernetes:
    """``conflicts``: that many writes are refused with 409. ``hang``: requests are not answered."""

    def __init__(self):
        self.objects = {}
        self.version = 1
        self.history = []
        self.forgotten = 0
        self.conflicts = 0
        self.silent = False
        self.requests = []
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()

    def application(self):
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    def forget(self):
        """Have no watch go on from what was: 410."""
        self.forgotten = self.version
        self.history.clear()

    def cut(self):
        """Break all watches off."""
        self._cut.set()
        self._cut = asyncio.Event()

    async def _handle(self, request):
        path, status_of = request.path.rstrip("/"), False
        self.requests.append((request.method, path))
        if self.silent:
            await asyncio.Event().wait()
        if path.endswith("/status"):
            path, status_of = path.removesuffix("/status"), True
        if request.method == "GET":
            return await self._read(request, path)
        if self.conflicts and request.method in ("PUT", "PATCH"):
            self.conflicts -= 1
            return self._refuse(409)
        body = msgspec.json.decode(await request.read()) if request.can_read_body else {}
        return self._write(request, path, body, status_of=status_of)

    async def _read(self, request, path):
        if path in self.objects:
            return _answer(self.objects[path])
        if path.rsplit("/", 1)[-1] not in ("edgesites", "groupquotas", "harvestrequests", "secrets", "events"):
            return self._refuse(404)
        if request.query.get("watch"):
            response = web.StreamResponse()
            with suppress(ConnectionError):  # who watched has gone
                await self._watch(request, path, response)
            return response
        items = [each for place, each in self.objects.items() if self._below(place, path)]
        meta = {"resourceVersion": str(self.version)}
        return _answer({"metadata": meta, "items": items})

    def _below(self, place, path):
        root, _, plural = path.rpartition("/")
        return place.startswith(root) and place.split("/")[-2] == plural

    async def _watch(self, request, path, response):
        since = int(request.query["resourceVersion"])
        await response.prepare(request)
        if since < self.forgotten:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            await response.write(_line(gone))
            return None
        cut, told = self._cut, since
        while not cut.is_set():
            changed, until, history = self._changed, self.version, list(self.history)
            for version, place, line in history:
                if version > told and self._below(place, path):
                    await response.write(line)
            told = until  # not the version by now: what came while a large event was written is told next
            waits = [asyncio.create_task(each.wait()) for each in (changed, cut)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
        return response

    def _write(self, request, path, body, *, status_of):
        if request.method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return self._refuse(409)
        before = self.objects.get(path)
        if request.method == "DELETE":
            return self._delete(path, before)
        applied = request.content_type == "application/apply-patch+yaml"
        if before is None and not applied and request.method != "POST":
            return self._refuse(404)
        if before is None and status_of:
            return self._refuse(404)
        named = body["metadata"].get("resourceVersion")
        if before is not None and named not in (None, before["metadata"]["resourceVersion"]):
            return self._refuse(409)
        after = body if request.method != "PATCH" else _merged(before or {}, body)
        if status_of:
            after = {**before, "status": body["status"]}
        return _answer(self._store(path, before, after))

    def _store(self, path, before, after):
        if before is not None and before == after:
            return before
        self.version += 1
        meta = after["metadata"]
        old = (before or {}).get("metadata") or {}
        changed = (before or {}).get("spec") != after.get("spec")
        meta["uid"] = old.get("uid") or str(uuid.uuid4())
        meta["generation"] = int(old.get("generation") or 0) + (1 if changed else 0)
        meta["resourceVersion"] = str(self.version)
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            del self.objects[path]
            self._tell("DELETED", path, after)
            return after
        self.objects[path] = after
        self._tell("ADDED" if before is None else "MODIFIED", path, after)
        return after

    def _delete(self, path, before):
        if before is None:
            return self._refuse(404)
        gone = {"deletionTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        after = {**before, "metadata": {**before["metadata"], **gone}}
        return _answer(self._store(path, before, after))

    def _tell(self, kind, path, found):
        self.history.append((self.version, path, _line({"type": kind, "object": found})))
        self._changed.set()
        self._changed = asyncio.Event()

    def _refuse(self, code):
        return _answer({"kind": "Status", "code": code, "message": f"refused with {code}"}, code)
