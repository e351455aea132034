"""One edge's Jupyter kernel gateway (Kernel Gateway 3, Enterprise Gateway 3; Jupyter Server REST API).

The edge's token is ours alone; it never meets the user, and the user's credentials never meet the edge.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from edges.compute.calls import Answer, Rest
from edges.compute.errors import ComputeRefused
from edges.compute.model import KernelModel, Upstream
from edges.errors import NotFound, SiteMisbehaved
from edges.model import Json

_ID = re.compile(r"[0-9a-zA-Z-]{1,64}")


class JupyterGateway:
    """Adapter of :class:`edges.seams.KernelBackend` to one kernel gateway.

    The edge must list its kernels (``KG_LIST_KERNELS=True``, ``EG_LIST_KERNELS=True``).
    """

    def __init__(
        self,
        *,
        edge: str,
        url: str,
        token: str,
        session: aiohttp.ClientSession,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._rest = Rest(site=edge, base=url, session=session, timeout_seconds=timeout_seconds)
        self._headers = {"Authorization": f"token {token}"}

    async def specs(self) -> Json:
        """Return the kernelspecs: ``{"default": name, "kernelspecs": {name: {...}}}``."""
        value = self._object(await self._call("GET", "/api/kernelspecs"))
        if not isinstance(value.get("kernelspecs"), dict):
            raise SiteMisbehaved(self._rest.site, "kernelspecs are not an object")
        return value

    async def resource(self, spec: str, path: str) -> tuple[str, bytes]:
        """Return a kernelspec's file as (content type, bytes)."""
        answer = await self._call("GET", f"/kernelspecs/{quote(spec, safe='')}/{quote(path, safe='')}")
        return answer.content_type, answer.body

    async def kernels(self) -> dict[str, KernelModel]:
        """Return all kernels of the edge by id."""
        value = (await self._call("GET", "/api/kernels")).json(self._rest.site)
        if not isinstance(value, list):
            raise SiteMisbehaved(self._rest.site, "kernels are not a list")
        models = [self._model(entry) for entry in value]
        return {model.id: model for model in models}

    async def start(self, spec: str, env: Mapping[str, str]) -> KernelModel:
        """Start a kernel with these variables."""
        answer = await self._call("POST", "/api/kernels", {"name": spec, "env": dict(env)})
        return self._model(self._object(answer))

    async def kernel(self, kernel_id: str) -> KernelModel | None:
        """Return a kernel, or None where it is gone."""
        try:
            return self._model(self._object(await self._call("GET", self._path(kernel_id))))
        except NotFound:
            return None

    async def stop(self, kernel_id: str) -> None:
        """End a kernel. Idempotent."""
        try:
            await self._call("DELETE", self._path(kernel_id))
        except NotFound:
            return

    async def interrupt(self, kernel_id: str) -> None:
        """Interrupt what a kernel runs."""
        await self._call("POST", self._path(kernel_id) + "/interrupt", {})

    async def restart(self, kernel_id: str) -> KernelModel:
        """Restart a kernel under its id."""
        return self._model(self._object(await self._call("POST", self._path(kernel_id) + "/restart", {})))

    def channels(self, kernel_id: str, session_id: str | None) -> Upstream:
        """Return where the kernel's websocket is."""
        query = f"?{urlencode({'session_id': session_id})}" if session_id else ""
        return Upstream(url=f"{self._rest.base}{self._path(kernel_id)}/channels{query}", headers=self._headers)

    def _path(self, kernel_id: str) -> str:
        return f"/api/kernels/{quote(kernel_id, safe='')}"

    async def _call(self, method: str, path: str, body: Json | None = None) -> Answer:
        answer = await self._rest.call(method, path, headers=self._headers, body=body)
        if answer.status < 400:
            return answer
        said = _words(answer)
        if answer.status == 404:
            raise NotFound(said)
        if answer.status in (400, 403, 409, 422):
            raise ComputeRefused(f"{self._rest.site}: {said}")
        raise SiteMisbehaved(self._rest.site, f"answered {answer.status}: {said}")

    def _object(self, answer: Answer) -> Json:
        value = answer.json(self._rest.site)
        if not isinstance(value, dict):
            raise SiteMisbehaved(self._rest.site, "answered something else than a JSON object")
        return value

    def _model(self, value: Any) -> KernelModel:
        known = {key: value[key] for key in KernelModel.__struct_fields__ if key in value} if value else {}
        try:
            model = msgspec.convert(known, KernelModel)
        except msgspec.ValidationError as error:
            raise SiteMisbehaved(self._rest.site, f"kernel model: {error}") from error
        if not _ID.fullmatch(model.id):
            raise SiteMisbehaved(self._rest.site, "kernel id is not one that a path can carry")
        return model


def _words(answer: Answer) -> str:
    try:
        said = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"HTTP {answer.status}"
    return str(said.get("message") or said.get("reason") or f"HTTP {answer.status}")[:2000]
