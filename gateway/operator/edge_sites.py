"""EdgeSite: sites of the gateway, written as one more file of its configuration.

All sites and the secrets that they refer to stand in one Secret, which the gateway's pods mount. When it changes, the
pods' template is told its version, so that the Deployment restarts them one after the other.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Iterable, Mapping

import yaml

from edges.model import Frozen, Json
from gateway.operator.api import KubernetesApi
from gateway.operator.conditions import Condition, Outcome
from gateway.operator.errors import Misconfigured
from gateway.operator.gateway_api import GatewayApi
from gateway.operator.harvest_requests import read_secret
from gateway.operator.model import WantedSite, wanted_site
from gateway.operator.resources import DEPLOYMENTS, EDGE_SITES, SECRETS, generation_of, name_of

FILE = "sites.yaml"
ANNOTATION = "lakegate.io/sites-version"
_FRESH_SECONDS = 60.0
"""For how long what was written is taken as still right: a Secret may change without telling us."""
_LOOK_SECONDS = 30.0
_PENDING_SECONDS = 5.0
_HEALTH: dict[str, tuple[str, str]] = {
    "up": ("True", "Answers"),
    "degraded": ("True", "Degraded"),
    "down": ("False", "Down"),
    "unknown": ("Unknown", "NotAsked"),
}


class Placing(Frozen):
    """Where the gateway is: its namespace, its Deployment (empty: it is not restarted), the Secret, and its folder."""

    namespace: str
    deployment: str = ""
    secret: str = "lakegate-sites"  # noqa: S105 - a name, no secret
    folder: str = "/etc/lakegate/sites"


class EdgeSites:
    """What to do about EdgeSite objects; ``objects`` gives all of them."""

    resource = EDGE_SITES

    def __init__(
        self, *, gateway: GatewayApi, api: KubernetesApi, placing: Placing, objects: Callable[[], Iterable[Json]]
    ) -> None:
        self._gateway = gateway
        self._api = api
        self._placing = placing
        self._objects = objects
        self._writing = asyncio.Lock()
        self._written: tuple[object, float, Mapping[str, Misconfigured]] | None = None

    def holds(self, found: Json) -> bool:
        """Tell that a site may go at once: the others are written without it."""
        return False

    async def act(self, found: Json) -> Outcome:
        """Write all sites, and tell how this one is."""
        name = name_of(found)
        wrong = (await self._write()).get(name)
        if wrong is not None:
            raise Misconfigured(str(wrong), wrong.reason)
        if found["spec"].get("suspend"):
            reason = Condition(type="Ready", status="False", reason="Suspended", message="left out of the gateway")
            return Outcome(conditions=(reason,), again=None)
        return _outcome((await self._gateway.sites()).get(name))

    async def undo(self, found: Json) -> None:
        """Nothing is held."""

    async def gone(self, key: str) -> None:
        """Write the others."""
        await self._write()

    async def _write(self) -> Mapping[str, Misconfigured]:
        """Write all sites where something changed; return those that cannot be written, with the reason."""
        async with self._writing:
            living = [each for each in self._objects() if not each["metadata"].get("deletionTimestamp")]
            state = sorted((name_of(each), each["metadata"]["uid"], generation_of(each)) for each in living)
            now = time.monotonic()
            if self._written is not None and self._written[0] == state and now - self._written[1] < _FRESH_SECONDS:
                return self._written[2]
            self._written = None
            wrong = await self._publish(living)
            self._written = (state, now, wrong)
            return wrong

    async def _publish(self, living: Iterable[Json]) -> dict[str, Misconfigured]:
        wrong: dict[str, Misconfigured] = {}
        sites: list[Json] = []
        files: dict[str, str] = {}
        for each in sorted(living, key=name_of):
            if each["spec"].get("suspend"):
                continue
            try:
                site = wanted_site(name_of(each), each["spec"], folder=self._placing.folder)
                values = await self._secrets_of(site)
            except Misconfigured as error:
                wrong[name_of(each)] = error
            else:
                sites.append(site.content)
                files |= values
        await self._apply(files | {FILE: yaml.safe_dump(sites, sort_keys=True)})
        return wrong

    async def _secrets_of(self, site: WantedSite) -> dict[str, str]:
        namespace = self._placing.namespace
        return {each.file: await read_secret(self._api, namespace, each.name, each.key) for each in site.secrets}

    async def _apply(self, files: Mapping[str, str]) -> None:
        placing = self._placing
        data = {name: base64.b64encode(content.encode()).decode() for name, content in files.items()}
        secret = _object(SECRETS.api_version, SECRETS.kind, placing.namespace, placing.secret)
        secret["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "lakegate-operator"}
        path = SECRETS.path(placing.namespace, placing.secret)
        version = (await self._api.apply(path, secret | {"type": "Opaque", "data": data}))["metadata"][
            "resourceVersion"
        ]
        if placing.deployment:
            pods = {"metadata": {"annotations": {ANNOTATION: version}}}
            deployment = _object(DEPLOYMENTS.api_version, DEPLOYMENTS.kind, placing.namespace, placing.deployment)
            path = DEPLOYMENTS.path(placing.namespace, placing.deployment)
            await self._api.apply(path, deployment | {"spec": {"template": pods}})


def _object(version: str, kind: str, namespace: str, name: str) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _outcome(told: Json | None) -> Outcome:
    if told is None:
        pending = Condition(
            type="Ready", status="False", reason="Pending", message="the gateway does not know the site yet"
        )
        return Outcome(conditions=(pending,), again=_PENDING_SECONDS)
    health = told["health"]
    truth, reason = _HEALTH.get(health["status"], ("Unknown", "Unknown"))
    fields: Json = {"health": health["status"]}
    if told.get("collections") is not None:
        fields["collections"] = len(told["collections"])
    reachable = Condition(
        type="Reachable",
        status="True" if truth == "True" else "False" if truth == "False" else "Unknown",
        reason=reason,
        message=str(health.get("reason") or "")[:300],
    )
    caught = "; ".join(told.get("quirks") or ())
    conditions = (
        Condition(type="Ready", status=reachable.status, reason=reason, message=reachable.message),
        reachable,
        Condition(
            type="Trusted",
            status="False" if caught else "True",
            reason="Caught" if caught else "NothingFound",
            message=caught[:500],
        ),
    )
    return Outcome(conditions=conditions, fields=fields, again=_LOOK_SECONDS)
