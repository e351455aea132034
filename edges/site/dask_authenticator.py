"""What an edge's own dask-gateway-server runs: trust in the gateway's signed claims, and caps that users cannot lift.

Named in ``dask_gateway_config.py`` (see :mod:`edges.site.dask_config`); imported by that server only.
"""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web
from dask_gateway_server.auth import Authenticator, unauthorized
from dask_gateway_server.models import User
from dask_gateway_server.options import Float, Integer, Options, String
from traitlets import Unicode

from edges.compute.claims import SCHEME, ClaimRefused, check_secret, read_claim
from edges.compute.model import MARK_FIELD
from edges.model import ClusterCap

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CappedUser(User):  # type: ignore[misc]  # the server's package has no types
    """A user of the server, with the cap of the claim (None where the claim may not create)."""

    def __init__(self, name: str, groups: tuple[str, ...], cap: ClusterCap | None) -> None:
        super().__init__(name, groups=groups)
        self.cap = cap


class LakegateAuthenticator(Authenticator):  # type: ignore[misc]  # the server's package has no types
    """Believes ``Authorization: Lakegate <claim>`` and nothing else: no cookie is read or set."""

    secret_file = Unicode(
        help="File of the secret that this edge and the gateway share (32 bytes or more)", config=True
    )
    audience = Unicode(help="This edge's id at the gateway", config=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if not self.audience:
            raise ValueError("LakegateAuthenticator.audience must be this edge's id at the gateway")
        self._key = check_secret(Path(self.secret_file).read_text(encoding="utf-8").strip())

    async def authenticate(self, request: web.Request) -> CappedUser:
        """Return the user of the claim.

        Raises:
            aiohttp.web.HTTPUnauthorized: there is no valid claim.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != SCHEME:
            raise unauthorized(SCHEME)
        try:
            claim = read_claim(token.strip(), key=self._key, audience=self.audience)
        except ClaimRefused as error:
            self.log.warning("Refused a claim: %s", error)
            raise unauthorized(SCHEME) from error
        return CappedUser(claim.user.name, claim.user.groups, claim.cap)

    async def authenticate_and_handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authenticate each request anew: the server's own way would believe its cookie first."""
        request["user"] = await self.authenticate(request)
        return await handler(request)


class WorkerGpus(NamedTuple):
    """GPUs of an edge's workers: so many at most each; none by default.

    ``resource`` is their name in Kubernetes (``nvidia.com/gpu``); empty where workers are processes, which see them all
    or, without any, none. ``environment`` is what all workers of the edge have.
    """

    most: int = 0
    resource: str = ""
    environment: Mapping[str, str] = MappingProxyType({})


NO_GPUS = WorkerGpus()


def capped_options(*, worker_cores: int, worker_memory_gib: float, gpus: WorkerGpus = NO_GPUS) -> Options:
    """Return the option fields of an edge: workers of up to so many cores and GiB, the cluster capped by the claim."""
    fields = [Integer("worker_gpus", default=0, min=0, max=gpus.most, label="Worker GPUs")] if gpus.most else []
    return Options(
        Integer("worker_cores", default=1, min=1, max=worker_cores, label="Worker cores"),
        Float(
            "worker_memory",
            default=min(1.0, worker_memory_gib),
            min=0.1,
            max=worker_memory_gib,
            label="Worker memory (GiB)",
        ),
        *fields,
        String(MARK_FIELD, default="", label="Set by the gateway"),
        handler=functools.partial(_configuration, gpus=gpus),
    )


def _configuration(options: Any, user: CappedUser, *, gpus: WorkerGpus = NO_GPUS) -> dict[str, Any]:
    if user.cap is None:
        raise ValueError("the claim holds no cap: clusters are created through the gateway only")
    if not re.fullmatch(r"[a-z0-9-]{0,64}", options[MARK_FIELD]):
        raise ValueError(f"{MARK_FIELD} is set by the gateway only")
    return {
        "worker_cores": options["worker_cores"],
        "worker_memory": int(options["worker_memory"] * (1 << 30)),
        "cluster_max_cores": user.cap.cores,
        "cluster_max_memory": user.cap.memory,
        **(_with_gpus(options["worker_gpus"], user.cap.gpus, gpus) if gpus.most else {}),
    }


def _with_gpus(each: int, cap: float, gpus: WorkerGpus) -> dict[str, Any]:
    """Return what gives workers their GPUs, and the cluster no more of them than its claim says."""
    if each == 0:
        hidden = dict(gpus.environment) | {"CUDA_VISIBLE_DEVICES": ""}
        return {} if gpus.resource else {"environment": hidden}
    if each > cap:
        raise ValueError(f"worker_gpus is {each}, but this cluster was granted {cap:g} GPUs in all")
    limits = {"resources": {"limits": {gpus.resource: each}}}
    given = {"worker_extra_container_config": limits} if gpus.resource else {}
    return {"cluster_max_workers": int(cap // each), **given}
